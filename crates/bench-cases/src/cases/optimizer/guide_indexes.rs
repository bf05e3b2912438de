//! The guide's searches on databases that differ in their indexes alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally, concurrent};
use ruleiq_db_optimizer::DatabaseOptimizer;
use tokio_postgres::Client;

use super::{
    schema::{Filled, UpTo},
    workload::{Workload, found},
};
use crate::{
    Env,
    postgres::{OwnedDatabase, connect},
};

/// The database that begins with keys alone and has all indexes that were advised.
pub(super) async fn with_advice(env: Arc<Env>, filled: Arc<Filled>) -> Result<Box<dyn Arm>, Fault> {
    let database = filled.create(&env, UpTo::Schema).await?;
    let client = connect(database.url()).await?;
    let optimizer = DatabaseOptimizer::new(&client);
    let advice = optimizer.recommend_indexes().await.map_err(Fault::failed)?;
    for it in &advice {
        client.batch_execute(&it.sql).await.map_err(Fault::failed)?;
    }
    let left = optimizer.recommend_indexes().await.map_err(Fault::failed)?;
    if let Some(again) = left.first() {
        return Err(Fault::Wrong(format!(
            "`{}` was done, and is advised again",
            again.sql
        )));
    }
    #[expect(clippy::cast_precision_loss, reason = "there are six")]
    let advice_found = found(&advice) as f64;
    let counts = BTreeMap::from([("advice_found".to_owned(), advice_found)]);
    searching(database, client, counts).await
}

/// The database that the guide's own migration made.
pub(super) async fn with_guide(env: Arc<Env>, filled: Arc<Filled>) -> Result<Box<dyn Arm>, Fault> {
    let database = filled.create(&env, UpTo::GuideIndexes).await?;
    let client = connect(database.url()).await?;
    searching(database, client, BTreeMap::new()).await
}

/// The database with keys alone.
pub(super) async fn without(env: Arc<Env>, filled: Arc<Filled>) -> Result<Box<dyn Arm>, Fault> {
    let database = filled.create(&env, UpTo::Schema).await?;
    let client = connect(database.url()).await?;
    searching(database, client, BTreeMap::new()).await
}

async fn searching(
    database: OwnedDatabase,
    client: Client,
    counts: BTreeMap<String, f64>,
) -> Result<Box<dyn Arm>, Fault> {
    let analyzed = client.batch_execute("VACUUM (ANALYZE)").await;
    analyzed.map_err(Fault::failed)?;
    let workload = Arc::new(Workload::prepare(&client).await?);
    let client = Arc::new(client);
    let rounds = Arc::new(AtomicUsize::new(0));
    let (mine, its_client) = (Arc::clone(&workload), Arc::clone(&client));
    let operation = move || {
        let (workload, client) = (Arc::clone(&mine), Arc::clone(&its_client));
        let round = rounds.fetch_add(1, Relaxed);
        async move { workload.run(&client, round).await }
    };
    Ok(Box::new(Searching {
        arm: concurrent(1, operation, |()| Ok(())),
        workload,
        client,
        counts,
        _database: database,
    }))
}

/// All searches over and over, on one connection.
struct Searching {
    arm: Box<dyn Arm>,
    workload: Arc<Workload>,
    client: Arc<Client>,
    counts: BTreeMap<String, f64>,
    _database: OwnedDatabase,
}

impl Arm for Searching {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async {
            let mut counts = self.workload.counts(&self.client).await?;
            counts.extend(self.counts.clone());
            Ok(counts)
        })
    }
}
