//! One thing that deserves attention: what is seen, why it matters, what to do.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// It costs time or space now, or will before long.
    Warning,
    /// Something stands still or is about to.
    Critical,
}

/// What a check of the database's health or a rule on a plan has found.
///
/// No text in it holds a constant of a statement or a value of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// A stable name for this kind of finding.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about, names as they are written in SQL.
    pub subject: String,
    /// What is seen, for people.
    pub seen: String,
    /// The same as numbers, by stable names; their units end the names.
    pub numbers: BTreeMap<&'static str, f64>,
    /// Why it matters.
    pub why: Cow<'static, str>,
    /// What to do.
    pub action: Cow<'static, str>,
    /// The statement that does it, where there is one. Nothing here runs it.
    pub sql: Option<String>,
}

impl Finding {
    pub(crate) fn new(
        code: &'static str,
        severity: Severity,
        subject: impl Into<String>,
    ) -> Finding {
        Finding {
            code,
            severity,
            subject: subject.into(),
            seen: String::new(),
            numbers: BTreeMap::new(),
            why: Cow::Borrowed(""),
            action: Cow::Borrowed(""),
            sql: None,
        }
    }

    pub(crate) fn seen(mut self, seen: impl Into<String>) -> Finding {
        self.seen = seen.into();
        self
    }

    pub(crate) fn number(mut self, name: &'static str, value: f64) -> Finding {
        self.numbers.insert(name, value);
        self
    }

    pub(crate) fn why(mut self, why: impl Into<Cow<'static, str>>) -> Finding {
        self.why = why.into();
        self
    }

    pub(crate) fn action(mut self, action: impl Into<Cow<'static, str>>) -> Finding {
        self.action = action.into();
        self
    }

    pub(crate) fn sql(mut self, sql: impl Into<Option<String>>) -> Finding {
        self.sql = sql.into();
        self
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}: {}", self.severity, self.code, self.subject)?;
        writeln!(f, "    seen: {}", self.seen)?;
        writeln!(f, "    why:  {}", self.why)?;
        write!(f, "    do:   {}", self.action)?;
        match &self.sql {
            Some(sql) => write!(f, "\n    sql:  {sql}"),
            None => Ok(()),
        }
    }
}
