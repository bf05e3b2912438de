//! The statements of one request, counted by shape and call site.

use std::{panic::Location, time::Duration};

use ruleiq_query::Fingerprint;

/// How many pairs of statement and call site are told apart; further ones are only counted.
pub const MAX_DISTINCT: usize = 256;

/// One statement as run from one place.
#[derive(Clone, Debug)]
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
}

/// The log of the statements of one scope.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    distinct: Vec<StatementUse>,
    count: u64,
    untold: u64,
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

    pub(crate) fn record(
        &mut self,
        fingerprint: Fingerprint,
        call_site: &'static Location<'static>,
        elapsed: Duration,
        rows: u64,
    ) {
        self.count += 1;
        // Newest first: a loop that runs one statement many times finds it at once.
        let known = self
            .distinct
            .iter_mut()
            .rev()
            .find(|it| it.fingerprint == fingerprint && it.call_site == call_site);
        if let Some(known) = known {
            known.count = known.count.saturating_add(1);
            known.rows += rows;
            known.elapsed += elapsed;
        } else if self.distinct.len() < MAX_DISTINCT {
            self.distinct.push(StatementUse {
                fingerprint,
                call_site,
                count: 1,
                rows,
                elapsed,
            });
        } else {
            self.untold += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_counts_on() {
        let mut log = Statements::default();
        let here = Location::caller();
        for n in 0..MAX_DISTINCT + 10 {
            let sql = format!("select c{n}");
            log.record(Fingerprint::of(&sql), here, Duration::from_micros(1), 1);
            log.record(Fingerprint::of(&sql), here, Duration::from_micros(1), 2);
        }

        assert_eq!(log.distinct().len(), MAX_DISTINCT);
        assert_eq!(log.distinct()[7].count, 2);
        assert_eq!(log.distinct()[7].rows, 3);
        assert_eq!(log.count(), 2 * (MAX_DISTINCT as u64 + 10));
        assert_eq!(log.untold(), 20);
    }
}
