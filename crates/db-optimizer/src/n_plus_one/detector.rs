//! What counts as one too many.

use std::num::NonZeroU32;

use ruleiq_scope::{ArgumentPattern, Scope, StatementUse};

use super::{
    batched::batched,
    report::{Finding, Kind, Report},
    statement::{Statement, Verb},
};

/// How often a statement has to run from one line to be reported, where nothing else is said.
///
/// Sentry's detector has the same; prosopite, which is for tests, has 2. What a handler says twice or three
/// times it mostly says on purpose, while a list has more items than that.
pub const DEFAULT_THRESHOLD: NonZeroU32 = NonZeroU32::new(5).expect("5 is not 0");

/// From so many rows at a time on, a round trip is paid for.
const ROWS_OF_A_BATCH: u64 = 100;

/// Reads the statement log of a scope.
#[derive(Clone, Debug)]
pub struct Detector {
    threshold: NonZeroU32,
    allowed: Vec<String>,
}

impl Default for Detector {
    fn default() -> Detector {
        Detector::new(DEFAULT_THRESHOLD)
    }
}

impl Detector {
    /// Reports what has run so often, from 2 on: 1 counts as 2.
    ///
    /// Too low: what is said twice on purpose is reported. Too high: a loop over a test's three rows is
    /// not.
    pub fn new(threshold: NonZeroU32) -> Detector {
        Detector {
            threshold,
            allowed: Vec::new(),
        }
    }

    /// Reports nothing whose call site begins with this, as it is written in reports:
    /// `apps/server/src/import.rs` or `apps/server/src/import.rs:117`.
    #[must_use]
    pub fn allow(mut self, call_site: impl Into<String>) -> Detector {
        self.allowed.push(call_site.into());
        self
    }

    /// What the scope has run too often so far, what took the most time first.
    ///
    /// Where nothing has, it allocates nothing and costs a look at each line of the log, of which there
    /// are at most 256.
    pub fn examine(&self, scope: &Scope) -> Report {
        let repeated = scope.repeated_statements(self.threshold.get().max(2));
        let database = scope.times().database;
        let findings = repeated.iter().filter_map(|it| {
            let share = it.elapsed.as_secs_f64() / database.as_secs_f64().max(f64::MIN_POSITIVE);
            self.find(it, share.min(1.0))
        });
        let mut findings: Vec<Finding> = findings.collect();
        findings.sort_by_key(|it| std::cmp::Reverse(it.elapsed));
        let route = match findings.is_empty() {
            true => None,
            false => scope.route().map(str::to_owned),
        };
        Report { route, findings }
    }

    fn find(&self, repeated: &StatementUse, share: f64) -> Option<Finding> {
        if repeated.rows / u64::from(repeated.count) >= ROWS_OF_A_BATCH {
            return None;
        }
        let call_site = repeated.call_site;
        if !self.allowed.is_empty() && self.allows(&call_site.to_string()) {
            return None;
        }
        let text = repeated.statement();
        let statement = Statement::read(&text);
        let kind = kind_of(statement.verb(), repeated.arguments())?;
        let batched = match kind {
            Kind::RepeatedRead => None,
            Kind::NPlusOne | Kind::WriteLoop => batched(&statement, statement.verb()),
        };
        Some(Finding {
            kind,
            fingerprint: repeated.fingerprint,
            statement: statement.spelled(),
            call_site,
            count: repeated.count,
            rows: repeated.rows,
            elapsed: repeated.elapsed,
            share,
            batched,
        })
    }

    /// Whether a call site begins with one of those allowed, and not in the middle of a number.
    fn allows(&self, call_site: &str) -> bool {
        self.allowed.iter().any(|allowed| {
            let rest = call_site.strip_prefix(allowed.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit())
            })
        })
    }
}

fn kind_of(verb: Verb, arguments: ArgumentPattern) -> Option<Kind> {
    match (verb, arguments) {
        (Verb::Read, ArgumentPattern::Same) => Some(Kind::RepeatedRead),
        (Verb::Read, ArgumentPattern::Unknown | ArgumentPattern::Different) => Some(Kind::NPlusOne),
        (Verb::Insert | Verb::Update | Verb::Delete | Verb::Write, _) => Some(Kind::WriteLoop),
        (Verb::Other, _) => None,
    }
}
