//! Arms around arms, for what a case does besides its operation.

use std::{collections::BTreeMap, future::Future, hint::black_box, time::Duration};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio_postgres::Client;

/// What keeps a batch's clock readings below a thousandth of its time.
const BATCH: Duration = Duration::from_millis(1);

/// An arm that does one operation after another on one task, in batches: for operations so short
/// that reading the clock at each would cost more than they do.
pub(crate) fn in_batches<T, F>(operation: impl Fn() -> F + Send + Sync + 'static) -> Box<dyn Arm>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    Box::new(InBatches { operation })
}

struct InBatches<O> {
    operation: O,
}

impl<T, F, O> InBatches<O>
where
    T: Send,
    F: Future<Output = Result<T, Fault>> + Send,
    O: Fn() -> F + Send + Sync,
{
    async fn batches(&self, budget: Budget) -> Tally {
        let (limit, most) = budget.limits();
        let mut tally = Tally::default();
        let started = std::time::Instant::now();
        let (mut begun, mut batch, mut before) = (0, 1_u64, Duration::ZERO);
        while begun < most && before < limit {
            let size = batch.min(most - begun);
            for _ in 0..size {
                match (self.operation)().await {
                    Ok(answer) => {
                        black_box(answer);
                        tally.operations += 1;
                    }
                    Err(fault) => tally.fail(&fault),
                }
            }
            begun += size;
            let now = started.elapsed();
            if now - before < BATCH {
                batch *= 2;
            }
            before = now;
        }
        tally
    }
}

impl<T, F, O> Arm for InBatches<O>
where
    T: Send,
    F: Future<Output = Result<T, Fault>> + Send,
    O: Fn() -> F + Send + Sync,
{
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { (self.operation)().await.map(drop) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move { Ok(self.batches(budget).await) })
    }
}

/// `arm`, whose check also does `verify`.
pub(crate) fn verified<F>(
    arm: Box<dyn Arm>,
    verify: impl Fn() -> F + Send + Sync + 'static,
) -> Box<dyn Arm>
where
    F: Future<Output = Result<(), Fault>> + Send + 'static,
{
    Box::new(Verified { arm, verify })
}

struct Verified<V> {
    arm: Box<dyn Arm>,
    verify: V,
}

impl<F, V> Arm for Verified<V>
where
    F: Future<Output = Result<(), Fault>> + Send,
    V: Fn() -> F + Send + Sync,
{
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            self.arm.check().await?;
            (self.verify)().await
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        self.arm.counts()
    }
}

/// `arm`, after each of whose slices `statement` takes back what the slice wrote, so that every
/// slice begins with the same table.
pub(crate) fn undone(arm: Box<dyn Arm>, owner: Client, statement: String) -> Box<dyn Arm> {
    Box::new(Undone {
        arm,
        owner,
        statement,
    })
}

struct Undone {
    arm: Box<dyn Arm>,
    owner: Client,
    statement: String,
}

impl Arm for Undone {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            self.arm.after().await?;
            let undone = self.owner.batch_execute(&self.statement).await;
            undone.map_err(Fault::failed)
        })
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        self.arm.counts()
    }
}

/// `arm`, and what has to live as long as it does.
pub(crate) fn keeping(arm: Box<dyn Arm>, kept: impl Send + 'static) -> Box<dyn Arm> {
    Box::new(Keeping { arm, _kept: kept })
}

struct Keeping<K> {
    // Fields are dropped in this order: the arm's connections end before what they were used on.
    arm: Box<dyn Arm>,
    _kept: K,
}

impl<K: Send> Arm for Keeping<K> {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        self.arm.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_end_with_the_budget_and_count_what_failed() {
        let operation = || async { Ok::<_, Fault>(7) };
        let mut arm = in_batches(operation);
        let tally = arm.run(Budget::Operations(1_000)).await.unwrap();
        assert_eq!(tally.operations, 1_000);
        let tally = arm.run(Budget::For(BATCH * 3)).await.unwrap();
        assert!(tally.operations > 0 && tally.latency.is_none());

        let mut arm = in_batches(|| async { Err::<(), _>(Fault::Wrong("seven".to_owned())) });
        let tally = arm.run(Budget::Operations(5)).await.unwrap();
        assert_eq!((tally.operations, tally.wrong), (0, 5));
        assert!(arm.check().await.is_err());
    }
}
