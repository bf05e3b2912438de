//! What a pool itself costs: no statement, nobody waits.

use std::sync::Arc;

use ruleiq_bench::{Arm, Fault};

use crate::{
    Env,
    around::{in_batches, verified},
    postgres::{PoolSettings, Pooled, counted, warm},
};

/// A side: a checkout and a return of the pool `P`.
///
/// Outside a request: making a scope would cost more than what is measured here.
pub(super) async fn checkout<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<PoolSettings>,
) -> Result<Box<dyn Arm>, Fault> {
    let pool: P = warm(env.database_url()?, &settings, "SELECT 1", &[]).await?;
    let its_pool = pool.clone();
    let operation = move || {
        let pool = its_pool.clone();
        async move { pool.checkout().await.map(drop) }
    };
    let arm = counted(in_batches(operation), env.owner_url()?);
    let connections = settings.connections;
    Ok(verified(arm, move || {
        all_are_there(pool.clone(), connections)
    }))
}

/// Checks all connections out at once and uses each: none was lost, and none is somebody else's.
async fn all_are_there<P: Pooled>(pool: P, connections: usize) -> Result<(), Fault> {
    let mut held = Vec::new();
    for _ in 0..connections {
        held.push(pool.checkout().await?);
    }
    let mut backends = std::collections::BTreeSet::new();
    for connection in &held {
        let row = P::query_one(connection, "SELECT pg_backend_pid()", &[]).await?;
        backends.insert(row.get::<_, i32>(0));
    }
    if backends.len() == connections && (pool.utilization() - 1.0).abs() < 1e-9 {
        return Ok(());
    }
    Err(Fault::Wrong(format!(
        "{} backends for {connections} checkouts, utilization {}",
        backends.len(),
        pool.utilization()
    )))
}
