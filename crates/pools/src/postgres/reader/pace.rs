//! How long statements take, as far as is known: whether others may wait behind them.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{super::recent::Recent, stateless};

/// Quick runs on a connection of its own before a statement may share one.
const PROVEN: u32 = 2;
/// From this debt on a statement is slow, until it has none. A run that takes four times too long is
/// enough.
const SLOW_DEBT: u32 = 16;
/// However slow it was, so many quick runs make it quick again.
const MOST_DEBT: u32 = 256;
/// An answer that is longer than this, in bytes, takes the time of others, however quick the server was.
const LONG_ANSWER: usize = 64 * 1024;
/// Texts whose pace is known.
const TEXTS: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not zero");

/// What is known of one statement's time.
///
/// Each run that takes longer than it may adds a debt, the square of how many times too long it was, and
/// each other run pays one off. So the statement is slow if it often takes a little too long or sometimes
/// much, and what is slow for a moment only, such as the whole machine, is quick again soon.
#[derive(Debug, Default)]
pub(super) struct Pace {
    runs: AtomicU32,
    debt: AtomicU32,
    is_slow: AtomicBool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Judgement {
    Unproven,
    Quick,
    Slow,
}

/// The paces of the statements that were run last.
#[derive(Debug)]
pub(super) struct Paces(Mutex<Recent<Arc<Pace>>>);

impl Pace {
    pub(super) fn judgement(&self) -> Judgement {
        if self.is_slow.load(Relaxed) {
            Judgement::Slow
        } else if self.runs.load(Relaxed) < PROVEN {
            Judgement::Unproven
        } else {
            Judgement::Quick
        }
    }

    /// Notes a run, of an answer of so many bytes.
    pub(super) fn ran(&self, took: Duration, bytes: usize, limit: Duration) {
        let times = took.as_secs_f64() / limit.as_secs_f64().max(1e-9);
        if times <= 1.0 && self.runs.load(Relaxed) < PROVEN {
            self.runs.fetch_add(1, Relaxed);
        }
        if times > 1.0 || bytes > LONG_ANSWER {
            let times = if bytes > LONG_ANSWER {
                times.max(4.0)
            } else {
                times
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is above 1, and what is too large is `u32::MAX`"
            )]
            self.owe((times * times) as u32);
        } else if self.debt.load(Relaxed) > 0 {
            self.pay();
        }
    }

    /// The server had to stop it.
    pub(super) fn was_stopped(&self) {
        self.owe(MOST_DEBT);
    }

    fn owe(&self, more: u32) {
        let add = |debt: u32| Some(debt.saturating_add(more).min(MOST_DEBT));
        let before = self.debt.fetch_update(Relaxed, Relaxed, add);
        let debt = before.unwrap_or_else(|debt| debt).saturating_add(more);
        if debt >= SLOW_DEBT {
            self.is_slow.store(true, Relaxed);
        }
    }

    fn pay(&self) {
        let paid = self
            .debt
            .fetch_update(Relaxed, Relaxed, |debt| debt.checked_sub(1));
        if paid == Ok(1) {
            self.is_slow.store(false, Relaxed);
        }
    }
}

impl Paces {
    pub(super) fn new() -> Paces {
        Paces(Mutex::new(Recent::new(TEXTS)))
    }

    /// The pace of a text, or what is wrong with it where it may not run on a shared connection.
    pub(super) fn of(&self, sql: &str) -> Result<Arc<Pace>, &'static str> {
        let known = self.lock().get(sql);
        if let Some(pace) = known {
            return Ok(pace);
        }
        if let Some(why) = stateless::refusal(sql) {
            return Err(why);
        }
        let pace = Arc::default();
        self.lock().insert(sql, Arc::clone(&pace));
        Ok(pace)
    }

    /// How many statements are slow.
    pub(super) fn slow(&self) -> usize {
        let paces = self.lock();
        let is_slow = |pace: &&Arc<Pace>| pace.judgement() == Judgement::Slow;
        paces.values().filter(is_slow).count()
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Arc<Pace>>> {
        // Nothing panics while it is held but an allocation, and the map stays whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(5);
    const QUICK: Duration = Duration::from_micros(50);

    fn proven() -> Pace {
        let pace = Pace::default();
        assert_eq!(pace.judgement(), Judgement::Unproven);
        for _ in 0..PROVEN {
            pace.ran(QUICK, 10, LIMIT);
        }
        assert_eq!(pace.judgement(), Judgement::Quick);
        pace
    }

    #[test]
    fn what_takes_much_too_long_is_slow_at_once_and_quick_again_after_many_runs() {
        let pace = proven();
        pace.ran(LIMIT * 10, 10, LIMIT);
        assert_eq!(pace.judgement(), Judgement::Slow);
        for _ in 0..99 {
            pace.ran(QUICK, 10, LIMIT);
            assert_eq!(pace.judgement(), Judgement::Slow);
        }
        pace.ran(QUICK, 10, LIMIT);
        assert_eq!(pace.judgement(), Judgement::Quick);
    }

    #[test]
    fn a_little_too_long_is_slow_only_where_it_is_often() {
        let pace = proven();
        for _ in 0..100 {
            pace.ran(LIMIT * 2, 10, LIMIT);
            for _ in 0..4 {
                pace.ran(QUICK, 10, LIMIT);
            }
        }
        assert_eq!(pace.judgement(), Judgement::Quick);
        for _ in 0..4 {
            pace.ran(LIMIT * 2, 10, LIMIT);
        }
        assert_eq!(pace.judgement(), Judgement::Slow);
    }

    #[test]
    fn long_answers_are_slow_and_stopped_runs_for_long() {
        let pace = proven();
        pace.ran(QUICK, LONG_ANSWER + 1, LIMIT);
        assert_eq!(pace.judgement(), Judgement::Slow);
        let pace = proven();
        pace.was_stopped();
        pace.was_stopped();
        for _ in 0..MOST_DEBT {
            assert_eq!(pace.judgement(), Judgement::Slow);
            pace.ran(QUICK, 10, LIMIT);
        }
        assert_eq!(pace.judgement(), Judgement::Quick);
    }

    #[test]
    fn paces_are_kept_by_text() {
        let paces = Paces::new();
        paces.of("SELECT 1").unwrap().was_stopped();
        assert_eq!(paces.of("SELECT 1").unwrap().judgement(), Judgement::Slow);
        assert_eq!(
            paces.of("SELECT 2").unwrap().judgement(),
            Judgement::Unproven
        );
        assert_eq!(paces.slow(), 1);
        assert!(paces.of("BEGIN").is_err());
    }
}
