//! One statement that reads, by keys that exist.

use std::sync::Arc;

use ruleiq_bench::{Arm, Fault, concurrent};
use ruleiq_performance::benchmark::{DatabaseCase, Key, Parameter};
use serde::Serialize;
use tokio_postgres::Row;

use crate::{
    Env,
    around::verified,
    draws::Draws,
    postgres::{PoolSettings, Pooled, connect, counted, warm},
};

/// How many answers a check compares in full.
const VERIFIED: usize = 5;

/// What both sides are set up from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reading {
    #[serde(flatten)]
    pool: PoolSettings,
    statement: &'static str,
    keys: &'static str,
    #[serde(skip)]
    case: DatabaseCase,
}

/// Shared by the tasks of a side.
struct Asked {
    case: DatabaseCase,
    keys: Draws<Key>,
}

impl Reading {
    pub(super) fn new(pool: PoolSettings, case: DatabaseCase) -> Reading {
        Reading {
            pool,
            statement: case.statement,
            keys: "uniform over a sample of at most 1,000",
            case,
        }
    }
}

/// A side: the statement through the pool `P`.
pub(super) async fn reading<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<Reading>,
) -> Result<Box<dyn Arm>, Fault> {
    let url = env.database_url()?;
    let case = settings.case.clone();
    let plain = connect(url).await?;
    let keys = case.sample(&plain).await.map_err(Fault::failed)?;
    let keys = Draws::uniform(env.seed(), case.name, keys)?;
    let asked = Arc::new(Asked { case, keys });
    let statement = asked.case.statement;
    let first = asked.keys.next().params();
    let pool: P = warm(url, &settings.pool, statement, &first).await?;

    let (tasks, mine, its_pool) = (settings.pool.tasks, Arc::clone(&asked), pool.clone());
    let operation = move || {
        let (pool, asked) = (its_pool.clone(), Arc::clone(&mine));
        async move { pool.request(ask(&pool, &asked)).await }
    };
    let arm = counted(concurrent(tasks, operation, |_| Ok(())), env.owner_url()?);
    let plain = Arc::new(plain);
    Ok(verified(arm, move || {
        let (pool, asked, plain) = (pool.clone(), Arc::clone(&asked), Arc::clone(&plain));
        async move {
            for _ in 0..VERIFIED {
                verify(&pool, &asked, &plain).await?;
            }
            Ok(())
        }
    }))
}

/// One operation. Every answer's rows are counted, and compared with the key.
async fn ask<P: Pooled>(pool: &P, asked: &Asked) -> Result<Vec<Row>, Fault> {
    let key = asked.keys.next();
    let connection = pool.checkout().await?;
    let rows = P::query(&connection, asked.case.statement, &key.params()).await?;
    asked
        .case
        .check(key, &rows)
        .map_err(|it| Fault::Wrong(it.to_string()))?;
    Ok(rows)
}

/// Compares an answer with that of a connection that no pool has touched, column by column.
async fn verify<P: Pooled>(
    pool: &P,
    asked: &Asked,
    plain: &tokio_postgres::Client,
) -> Result<(), Fault> {
    let key = asked.keys.next();
    let connection = pool.checkout().await?;
    let rows = P::query(&connection, asked.case.statement, &key.params()).await?;
    let expected = plain.query(asked.case.statement, &key.params()).await;
    let expected = expected.map_err(Fault::failed)?;
    if values(&rows)? == values(&expected)? {
        return Ok(());
    }
    Err(Fault::Wrong(format!(
        "`{}` has other rows through this pool than without one",
        asked.case.name
    )))
}

fn values(rows: &[Row]) -> Result<Vec<Vec<Parameter>>, Fault> {
    let of = |row: &Row| {
        let columns = 0..row.len();
        columns.map(|it| row.try_get::<_, Parameter>(it)).collect()
    };
    let all: Result<_, tokio_postgres::Error> = rows.iter().map(of).collect();
    all.map_err(Fault::failed)
}
