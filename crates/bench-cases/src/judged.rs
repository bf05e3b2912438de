//! Arms around arms: with answers that are judged while they come, and with exact counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ruleiq_bench::{Arm, Budget, Doing, Tally};

/// Counts wrong answers where an operation cannot say so by its result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrong(Arc<AtomicU64>);

impl Wrong {
    /// Counts an answer, if it is wrong.
    pub(crate) fn judge(&self, is_right: bool) {
        if !is_right {
            self.0.fetch_add(1, Relaxed);
        }
    }
}

/// `arm`, whose operations count into `wrong`, and whose `counts` are known.
pub(crate) fn judged(
    arm: Box<dyn Arm>,
    wrong: Wrong,
    counts: BTreeMap<String, f64>,
) -> Box<dyn Arm> {
    Box::new(Judged { arm, wrong, counts })
}

struct Judged {
    arm: Box<dyn Arm>,
    wrong: Wrong,
    counts: BTreeMap<String, f64>,
}

impl Arm for Judged {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            self.wrong.0.store(0, Relaxed);
            let mut tally = self.arm.run(budget).await?;
            let wrong = self.wrong.0.swap(0, Relaxed);
            tally.wrong += wrong;
            tally.operations = tally.operations.saturating_sub(wrong);
            Ok(tally)
        })
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async { Ok(self.counts.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wrong_answers_are_no_operations() {
        let wrong = Wrong::default();
        let (counted, mut n) = (wrong.clone(), 0);
        let operation = move || {
            n += 1;
            counted.judge(n % 10 != 0);
        };
        let mut arm = judged(
            ruleiq_bench::repeat(operation, |()| Ok(())),
            wrong,
            BTreeMap::new(),
        );
        let tally = arm.run(Budget::Operations(100)).await.unwrap();
        assert_eq!((tally.operations, tally.wrong), (90, 10));
        let tally = arm.run(Budget::Operations(5)).await.unwrap();
        assert_eq!((tally.operations, tally.wrong), (5, 0));
    }
}
