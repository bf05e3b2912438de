//! Planning a workload with a set of indexes that was found in a [`Contest`].

use std::{collections::BTreeMap, sync::Arc};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally, concurrent};
use tokio::sync::Mutex;

use super::{
    advise::Sizes,
    contest::{Contest, Outcome, Set},
    planner::Planner,
};
use crate::Env;

/// How far a price may be from that of the contest: somebody may have drawn another sample since.
const TOLERANCE: f64 = 0.1;

/// The side with the subject's set.
pub(super) async fn subject(env: Arc<Env>, contest: Arc<Contest>) -> Result<Box<dyn Arm>, Fault> {
    let outcome = contest.outcome(&env).await?;
    let set = outcome.subject.clone();
    Priced::begin(&contest, outcome, set).await
}

/// The side with the control's set.
pub(super) async fn control(env: Arc<Env>, contest: Arc<Contest>) -> Result<Box<dyn Arm>, Fault> {
    let outcome = contest.outcome(&env).await?;
    let set = outcome.control.clone();
    Priced::begin(&contest, outcome, set).await
}

struct Priced {
    arm: Box<dyn Arm>,
    set: Set,
    are_built: bool,
    outcome: Arc<Outcome>,
}

impl Priced {
    async fn begin(
        contest: &Contest,
        outcome: Arc<Outcome>,
        set: Set,
    ) -> Result<Box<dyn Arm>, Fault> {
        let mut planner = Planner::connect(&outcome.opened.url).await?;
        planner.hold(&set.indexes).await?;
        let queries = outcome.opened.queries.clone();
        let queries = Arc::new(queries.writing(contest.terms.writes_times));
        let planner = Arc::new(Mutex::new(planner));
        let operation = move || {
            let (planner, queries) = (Arc::clone(&planner), Arc::clone(&queries));
            async move {
                let (mut planner, mut plans) = (planner.lock().await, 0.0);
                for query in queries.iter() {
                    plans += query.weight * planner.cost(&query.text).await?;
                }
                Ok(plans)
            }
        };
        let expected = set.price.plans;
        let arm = concurrent(1, operation, move |plans: &f64| {
            if (plans / expected - 1.0).abs() < TOLERANCE {
                return Ok(());
            }
            let text = format!("the plans cost {plans} in place of {expected}");
            Err(Fault::Wrong(text))
        });
        Ok(Box::new(Priced {
            arm,
            set,
            are_built: contest.terms.sizes == Sizes::Own,
            outcome,
        }))
    }

    async fn count(&mut self) -> Result<BTreeMap<String, f64>, Fault> {
        let mut counts = self.set.counts.clone();
        if self.are_built {
            let built = self.outcome.opened.built_bytes(&self.set.indexes).await?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let percent = 100.0 * built as f64 / self.outcome.data_bytes.max(1) as f64;
            counts.insert("sampled_built_percent".to_owned(), percent);
        }
        Ok(counts)
    }
}

impl Arm for Priced {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(self.count())
    }
}
