//! Statements per operation, as the server itself counts them.

use std::collections::BTreeMap;

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio_postgres::{Client, error::SqlState};

use super::connect;

/// So many operations are counted: a statement that comes once in some would show.
const OPERATIONS: u64 = 128;

/// What `pg_stat_statements` counts in one database.
pub(crate) struct Statements {
    owner: Client,
}

impl Statements {
    /// Asks as the owner. None where the extension is not there, or not preloaded.
    pub(crate) async fn of(owner_url: &str) -> Result<Option<Statements>, Fault> {
        let statements = Statements {
            owner: connect(owner_url).await?,
        };
        match statements.calls().await {
            Ok(_) => Ok(Some(statements)),
            Err(error) => match error.code() {
                Some(
                    &SqlState::UNDEFINED_TABLE
                    | &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE
                    | &SqlState::INSUFFICIENT_PRIVILEGE,
                ) => Ok(None),
                _ => Err(Fault::failed(error)),
            },
        }
    }

    /// How many statements the server has run in this database, these ones left out.
    pub(crate) async fn calls(&self) -> Result<u64, tokio_postgres::Error> {
        let row = self
            .owner
            .query_one(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND query NOT LIKE '%pg_stat_statements%'",
                &[],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }
}

struct Counted {
    arm: Box<dyn Arm>,
    owner_url: String,
}

/// `arm`, with `statements_per_op` among its counts where the server counts statements.
pub(crate) fn counted(arm: Box<dyn Arm>, owner_url: &str) -> Box<dyn Arm> {
    Box::new(Counted {
        arm,
        owner_url: owner_url.to_owned(),
    })
}

impl Counted {
    async fn count(&mut self) -> Result<BTreeMap<String, f64>, Fault> {
        let mut counts = self.arm.counts().await?;
        if let Some(statements) = Statements::of(&self.owner_url).await? {
            let before = statements.calls().await.map_err(Fault::failed)?;
            let tally = self.arm.run(Budget::Operations(OPERATIONS)).await?;
            let after = statements.calls().await.map_err(Fault::failed)?;
            if tally.operations != OPERATIONS {
                return Err(Fault::Failed(format!(
                    "{} of {OPERATIONS} operations failed while statements were counted",
                    OPERATIONS.saturating_sub(tally.operations)
                )));
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of statements")]
            let per_op = (after - before) as f64 / OPERATIONS as f64;
            counts.insert("statements_per_op".to_owned(), per_op);
        }
        Ok(counts)
    }
}

impl Arm for Counted {
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
