//! Asking for advice about indexes, on a database with keys alone.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use ruleiq_bench::{Arm, Fault, concurrent};
use ruleiq_db_optimizer::DatabaseOptimizer;

use super::schema::{Filled, UpTo};
use crate::{
    Env,
    around::{keeping, verified},
    postgres::{Bare, Ours, PoolSettings, Pooled, connect, counted, warm},
};

/// Finds single-column keys whose column no index begins with, and nothing else of what the
/// optimizer looks at: its lower limit.
const SHORT_QUERY: &str = "SELECT con.conrelid::regclass::text, att.attname::text
 FROM pg_constraint con
 JOIN pg_attribute att ON att.attrelid = con.conrelid AND att.attnum = con.conkey[1]
 WHERE con.contype = 'f' AND NOT EXISTS (
     SELECT FROM pg_index idx
     WHERE idx.indrelid = con.conrelid AND idx.indisvalid AND idx.indpred IS NULL
       AND idx.indkey[0] = con.conkey[1])";

/// Tables and columns that want an index.
type Found = BTreeSet<(String, String)>;

/// The side that asks the optimizer, which is to leave no table out for its size.
pub(super) async fn advised(env: Arc<Env>, filled: Arc<Filled>) -> Result<Box<dyn Arm>, Fault> {
    asking(&env, &filled, ask_optimizer).await
}

/// The side that asks the catalogue in the shortest way.
pub(super) async fn asked_shortly(
    env: Arc<Env>,
    filled: Arc<Filled>,
) -> Result<Box<dyn Arm>, Fault> {
    asking(&env, &filled, ask_shortly).await
}

async fn ask_optimizer(pool: Ours) -> Result<Found, Fault> {
    let session = pool.checkout().await?;
    let optimizer = DatabaseOptimizer::new(&session).min_table_bytes(0);
    let advice = optimizer.recommend_indexes().await.map_err(Fault::failed)?;
    let found = advice.iter().map(|it| {
        let table = it.table.trim_start_matches("public.");
        (table.to_owned(), it.columns.join(", "))
    });
    Ok(found.collect())
}

async fn ask_shortly(pool: Bare) -> Result<Found, Fault> {
    let connection = pool.checkout().await?;
    let rows = Bare::query(&connection, SHORT_QUERY, &[]).await?;
    let found = rows.iter().map(|row| (row.get(0), row.get(1)));
    Ok(found.collect())
}

async fn asking<P: Pooled, F>(
    env: &Env,
    filled: &Filled,
    ask: impl Fn(P) -> F + Copy + Send + Sync + 'static,
) -> Result<Box<dyn Arm>, Fault>
where
    F: Future<Output = Result<Found, Fault>> + Send + 'static,
{
    let database = filled.create(env, UpTo::Schema).await?;
    let pool: P = warm(database.url(), &PoolSettings::new(1, 1), SHORT_QUERY, &[]).await?;
    let plain = connect(database.url()).await?;
    let rows = plain.query(SHORT_QUERY, &[]).await.map_err(Fault::failed)?;
    let expected: Arc<Found> = Arc::new(rows.iter().map(|it| (it.get(0), it.get(1))).collect());

    let its_pool = pool.clone();
    let operation = move || ask(its_pool.clone());
    let arm = counted(concurrent(1, operation, |_| Ok(())), database.url());
    let arm = verified(arm, move || {
        let (pool, expected) = (pool.clone(), Arc::clone(&expected));
        async move {
            let found = ask(pool).await?;
            if found == *expected && !found.is_empty() {
                return Ok(());
            }
            Err(Fault::Wrong(format!(
                "{found:?} want an index, and should be {expected:?}"
            )))
        }
    });
    Ok(keeping(arm, database))
}
