//! The statements of one request, counted by shape and call site.

use std::{borrow::Cow, panic::Location, time::Duration};

use ruleiq_query::{Arguments, Fingerprint, Shape};

use crate::pattern::{ArgumentPattern, Seen};

/// How many pairs of statement and call site are told apart; further ones are only counted.
pub const MAX_DISTINCT: usize = 256;

/// One run of a statement, as it goes into the log.
#[derive(Clone, Debug)]
pub struct StatementRun {
    /// Which statement.
    pub shape: Shape,
    /// The line that ran it.
    pub call_site: &'static Location<'static>,
    /// What it was run with, where that was looked at: see [`Scope::begins_again`](crate::Scope::begins_again).
    pub arguments: Option<Arguments>,
    /// The rows that it returned or touched.
    pub rows: u64,
    /// The time from sending to the last row.
    pub elapsed: Duration,
}

/// One statement as run from one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatementUse {
    /// Which statement.
    pub fingerprint: Fingerprint,
    /// The line that ran it.
    pub call_site: &'static Location<'static>,
    /// How often.
    pub count: u32,
    /// The rows that it returned or touched, in all.
    pub rows: u64,
    /// The time from sending to the last row, in all.
    pub elapsed: Duration,
    shape: Shape,
    seen: Seen,
}

/// The log of the statements of one scope.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    distinct: Vec<StatementUse>,
    count: u64,
    untold: u64,
}

impl StatementUse {
    /// The statement without its constants, as [`Fingerprint::normalized`] writes it; at most 4 KiB of it.
    pub fn statement(&self) -> Cow<'_, str> {
        self.shape.normalized()
    }

    /// Whether it ran with the same constants and parameters each time.
    pub fn arguments(&self) -> ArgumentPattern {
        self.seen.pattern()
    }

    fn of(run: StatementRun) -> StatementUse {
        StatementUse {
            fingerprint: run.shape.fingerprint(),
            call_site: run.call_site,
            count: 1,
            rows: run.rows,
            elapsed: run.elapsed,
            shape: run.shape,
            seen: Seen::Nothing.and(run.arguments),
        }
    }

    fn again(&mut self, run: &StatementRun) {
        self.count = self.count.saturating_add(1);
        self.rows += run.rows;
        self.elapsed += run.elapsed;
        self.seen = self.seen.and(run.arguments);
    }

    fn is(&self, fingerprint: Fingerprint, call_site: &Location<'_>) -> bool {
        self.fingerprint == fingerprint && self.call_site == call_site
    }

    fn without(&self, earlier: &StatementUse) -> StatementUse {
        StatementUse {
            count: self.count.saturating_sub(earlier.count),
            rows: self.rows.saturating_sub(earlier.rows),
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            ..self.clone()
        }
    }
}

impl Statements {
    /// The statements in the order in which they were first run, at most [`MAX_DISTINCT`].
    pub fn distinct(&self) -> &[StatementUse] {
        &self.distinct
    }

    /// How many statements ran.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are missing from [`distinct`](Statements::distinct), for lack of room.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// What has run since the log was as it was then.
    #[must_use]
    pub fn since(&self, then: &Statements) -> Statements {
        let later = self.distinct.iter().map(|it| {
            let mut earlier = then.distinct.iter();
            match earlier.find(|earlier| earlier.is(it.fingerprint, it.call_site)) {
                Some(earlier) => it.without(earlier),
                None => it.clone(),
            }
        });
        Statements {
            distinct: later.filter(|it| it.count > 0).collect(),
            count: self.count.saturating_sub(then.count),
            untold: self.untold.saturating_sub(then.untold),
        }
    }

    pub(crate) fn repeated(&self, least: u32) -> Vec<StatementUse> {
        let often = self.distinct.iter().filter(|it| it.count >= least);
        often.cloned().collect()
    }

    #[inline]
    pub(crate) fn record(&mut self, run: StatementRun) {
        self.count += 1;
        let (fingerprint, call_site) = (run.shape.fingerprint(), run.call_site);
        // Newest first: a loop that runs one statement many times finds it at once.
        let mut known = self.distinct.iter_mut().rev();
        if let Some(known) = known.find(|it| it.is(fingerprint, call_site)) {
            known.again(&run);
        } else if self.distinct.len() < MAX_DISTINCT {
            self.distinct.push(StatementUse::of(run));
        } else {
            self.untold += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sql: &str, argument: Option<u32>, rows: u64) -> StatementRun {
        StatementRun {
            shape: Shape::of(sql),
            call_site: Location::caller(),
            arguments: argument.map(|it| Arguments::of(&it.to_string(), &[], &[])),
            rows,
            elapsed: Duration::from_micros(1),
        }
    }

    #[test]
    fn the_log_is_bounded_and_counts_on() {
        let mut log = Statements::default();
        for n in 0..MAX_DISTINCT + 10 {
            let sql = format!("select c{n}");
            log.record(run(&sql, None, 1));
            log.record(run(&sql, None, 2));
        }

        assert_eq!(log.distinct().len(), MAX_DISTINCT);
        assert_eq!(log.distinct()[7].count, 2);
        assert_eq!(log.distinct()[7].rows, 3);
        assert_eq!(log.distinct()[7].statement(), "select c7");
        assert_eq!(log.count(), 2 * (MAX_DISTINCT as u64 + 10));
        assert_eq!(log.untold(), 20);
        assert_eq!(log.repeated(2).len(), MAX_DISTINCT);
        assert!(log.repeated(3).is_empty());
    }

    #[test]
    fn the_log_knows_whether_the_arguments_were_the_same() {
        use ArgumentPattern::{Different, Same, Unknown};
        for (arguments, pattern) in [
            (&[None][..], Unknown),
            (&[None, Some(1)], Unknown),
            (&[None, Some(1), Some(1)], Same),
            (&[None, Some(1), None, Some(1)], Same),
            (&[None, Some(1), Some(2)], Different),
            (&[None, Some(1), Some(2), Some(2)], Different),
            (&[None, None, None], Unknown),
        ] {
            let mut log = Statements::default();
            for argument in arguments {
                log.record(run("select ?", *argument, 0));
            }
            assert_eq!(log.distinct()[0].arguments(), pattern, "{arguments:?}");
        }
    }

    #[test]
    fn what_ran_since_then_is_all_but_what_had_run() {
        let mut log = Statements::default();
        log.record(run("select a", None, 1));
        log.record(run("select b", None, 1));
        let then = log.clone();
        log.record(run("select b", None, 5));
        log.record(run("select c", None, 1));

        let since = log.since(&then);
        let found = since.distinct().iter();
        let found: Vec<_> = found
            .map(|it| (it.statement(), it.count, it.rows))
            .collect();
        assert_eq!(
            found,
            [("select b".into(), 1, 5), ("select c".into(), 1, 1)]
        );
        assert_eq!(since.count(), 2);
        assert_eq!(log.since(&log).count(), 0);
        assert!(log.since(&log).distinct().is_empty());
    }
}
