//! The statements that indexes are to serve.

mod file;
pub(crate) mod recorded;

use std::fmt;

use serde::Serialize;

use crate::NotPlanned;

pub use self::file::WorkloadError;

/// So many characters of a statement are printed in a line.
const LINE: usize = 100;

/// Statements, each with how much it counts.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    statements: Vec<WorkloadStatement>,
    /// Whether they were recorded: what reads no table of a user is nobody's concern then.
    pub(crate) is_recorded: bool,
    hidden: u64,
}

/// One statement of a workload.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkloadStatement {
    /// What reports call it.
    pub name: String,
    /// The statement, without a semicolon. It is planned, and run in a trial alone.
    pub sql: String,
    /// How often it runs, against the others.
    pub calls: f64,
}

/// What could not be planned, and so is not served.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Unplanned {
    /// The statement's name.
    pub name: String,
    /// How often it runs.
    pub calls: f64,
    /// Why.
    pub reason: NotPlanned,
    /// Its text without constants, of at most 4 KiB.
    pub statement: String,
}

impl Workload {
    /// These statements.
    pub fn new(statements: impl IntoIterator<Item = WorkloadStatement>) -> Workload {
        Workload {
            statements: statements.into_iter().collect(),
            ..Workload::default()
        }
    }

    /// Reads statements from a file: each ends with a semicolon, and may be named and weighed by a
    /// comment on the line before it, `-- name: q1 weight: 10`.
    ///
    /// ```
    /// # use ruleiq_db_optimizer::Workload;
    /// let workload = Workload::parse(
    ///     "-- name: by_customer weight: 900
    ///      SELECT * FROM orders WHERE customer_id = 42;
    ///      SELECT count(*) FROM orders;",
    /// )?;
    /// assert_eq!(workload.statements()[0].calls, 900.0);
    /// assert_eq!(workload.statements()[1].name, "statement 2");
    /// # Ok::<_, ruleiq_db_optimizer::WorkloadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no statement in it, or too many, or a weight is no positive number.
    pub fn parse(text: &str) -> Result<Workload, WorkloadError> {
        file::parse(text).map(Workload::new)
    }

    /// How many recorded statements of other roles this role may not read, and so are not among these.
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// The statements, in order.
    pub fn statements(&self) -> &[WorkloadStatement] {
        &self.statements
    }

    /// Leaves out the statements with these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Workload {
        self.statements
            .retain(|it| !names.contains(&it.name.as_str()));
        self
    }
}

impl WorkloadStatement {
    /// A statement that runs so often.
    pub fn new(name: impl Into<String>, sql: impl Into<String>, calls: f64) -> WorkloadStatement {
        WorkloadStatement {
            name: name.into(),
            sql: sql.into(),
            calls,
        }
    }
}

/// As much of a text as fits a line.
pub(crate) fn beginning(text: &str) -> String {
    let mut beginning: String = text.chars().take(LINE).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

impl fmt::Display for Unplanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not planned: {:?}", self.name, self.reason)?;
        write!(f, ": {}", beginning(&self.statement))
    }
}
