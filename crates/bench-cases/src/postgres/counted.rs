//! Statements per operation, as the server itself counts them.

use std::collections::BTreeMap;

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio_postgres::{Client, error::SqlState};

use super::connect;

/// Other programs may ask the same database in the meantime: the least of so many counts has the
/// fewest of their statements.
const ROUNDS: usize = 3;
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

    /// The number of a statement that begins like this, where it has been run and its text may be
    /// read.
    pub(crate) async fn id_of(&self, start: &str) -> Result<Option<i64>, tokio_postgres::Error> {
        let row = self
            .owner
            .query_opt(
                "SELECT queryid FROM pg_stat_statements
                 WHERE position($1 in query) = 1 AND queryid IS NOT NULL LIMIT 1",
                &[&start],
            )
            .await?;
        Ok(row.map(|it| it.get(0)))
    }

    /// How often the statement of a number was run. Reads no texts, which stand in a file.
    pub(crate) async fn calls_of(&self, id: i64) -> Result<u64, tokio_postgres::Error> {
        let row = self
            .owner
            .query_one(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements(false)
                 WHERE queryid = $1",
                &[&id],
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
            let mut least = self.round(&statements).await;
            for _ in 1..ROUNDS {
                // A round in which statements were forgotten says nothing about the others.
                least = match (least, self.round(&statements).await) {
                    (Ok(one), Ok(other)) => Ok(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            let least = least?;
            #[expect(clippy::cast_precision_loss, reason = "a count of statements")]
            let per_op = least as f64 / OPERATIONS as f64;
            counts.insert("statements_per_op".to_owned(), per_op);
        }
        Ok(counts)
    }

    /// The statements of so many operations.
    async fn round(&mut self, statements: &Statements) -> Result<u64, Fault> {
        self.arm.before().await?;
        let before = statements.calls().await.map_err(Fault::failed)?;
        let tally = self.arm.run(Budget::Operations(OPERATIONS)).await?;
        let after = statements.calls().await.map_err(Fault::failed)?;
        self.arm.after().await?;
        if tally.operations != OPERATIONS {
            return Err(Fault::Failed(format!(
                "{} of {OPERATIONS} operations failed while statements were counted",
                OPERATIONS.saturating_sub(tally.operations)
            )));
        }
        grown(before, after)
    }
}

/// How many statements were run meanwhile.
pub(crate) fn grown(before: u64, after: u64) -> Result<u64, Fault> {
    let reset = || {
        let why = "pg_stat_statements was reset, or forgot statements, while they were counted";
        Fault::Failed(why.to_owned())
    };
    after.checked_sub(before).ok_or_else(reset)
}

impl Arm for Counted {
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
        Box::pin(self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_shrank_is_none() {
        assert_eq!(grown(7, 7 + OPERATIONS), Ok(OPERATIONS));
        assert!(grown(7, 6).is_err());
    }
}
