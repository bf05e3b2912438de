//! What was found, for programs and for people.

use std::{fmt, panic::Location, time::Duration};

use ruleiq_query::Fingerprint;
use serde::{Serialize, Serializer};

use crate::duration;

/// So many findings are written for people.
const SHOWN: usize = 20;

/// What one request or job has run too often. Written for people, it has the first twenty findings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The route's template or the job's name, where there are findings and the scope has one.
    pub route: Option<String>,
    /// What took the most time first.
    pub findings: Vec<Finding>,
}

/// A statement that was run again and again from one line.
///
/// It holds no constant and no parameter. Serialized, durations are milliseconds and their names end in
/// `_ms`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong with it.
    pub kind: Kind,
    /// Which statement.
    #[serde(serialize_with = "text")]
    pub fingerprint: Fingerprint,
    /// The statement with `?` for each constant and parameter, at most 4 KiB of it.
    pub statement: String,
    /// The line that ran it.
    #[serde(serialize_with = "text")]
    pub call_site: &'static Location<'static>,
    /// How often.
    pub count: u32,
    /// The rows that it returned or touched, in all.
    pub rows: u64,
    /// The time from sending to the last row, in all.
    #[serde(rename = "elapsed_ms", serialize_with = "duration::serialize")]
    pub elapsed: Duration,
    /// That as a part of the time that the scope has spent in the database, from 0 to 1.
    pub share: f64,
    /// A statement that does it at once, with `…` for a type that the text does not tell; `None` where the
    /// text does not tell how.
    pub batched: Option<String>,
}

/// What is wrong with a statement that runs again and again.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A read for each of many keys, where one can read for all.
    NPlusOne,
    /// The same read with the same arguments, whose answer was known.
    RepeatedRead,
    /// A write for each of many rows, where one can write all.
    WriteLoop,
}

impl Kind {
    /// As it is serialized: `n-plus-one`, `repeated-read`, `write-loop`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NPlusOne => "n-plus-one",
            Kind::RepeatedRead => "repeated-read",
            Kind::WriteLoop => "write-loop",
        }
    }

    /// What to do about it, before the batched form, if there is one.
    fn advice(self) -> &'static str {
        match self {
            Kind::NPlusOne => "read for all keys at once",
            Kind::RepeatedRead => "keep its answer, or cache it: it was asked the same each time",
            Kind::WriteLoop => "write all rows in one statement",
        }
    }
}

impl Finding {
    /// What to do about it, in one line.
    pub fn advice(&self) -> String {
        let advice = self.kind.advice();
        match &self.batched {
            Some(batched) => format!("{advice}: {batched}"),
            None => advice.to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            kind,
            count,
            call_site,
            statement,
            ..
        } = self;
        let (percent, elapsed) = (self.share * 100.0, self.elapsed.as_secs_f64() * 1e3);
        writeln!(f, "{} × from {call_site} ({})", count, kind.as_str())?;
        writeln!(f, "    {statement}")?;
        writeln!(
            f,
            "    {elapsed:.1} ms, {percent:.0} % of the time in the database, {} rows",
            self.rows
        )?;
        write!(f, "    {}", self.advice())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route.as_deref().unwrap_or("(no route)");
        let (count, plural) = match self.findings.len() {
            1 => (1, ""),
            count => (count, "s"),
        };
        write!(f, "{route}: {count} statement{plural} run again and again")?;
        for finding in self.findings.iter().take(SHOWN) {
            write!(f, "\n  {finding}")?;
        }
        match self.findings.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            others => write!(f, "\n  and {others} others"),
        }
    }
}

fn text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}
