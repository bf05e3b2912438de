//! The cases of the database and of its pool.

use std::sync::Arc;

use ruleiq_bench::{Fault, Target};
use ruleiq_pools::PoolManager;
use ruleiq_query::Read as _;
use serde_json::json;

use super::{
    case::DatabaseCase,
    job::{Doing, Job, Work},
};

/// The names of the pool's cases.
pub(super) const POOL_NAMES: [&str; 1] = ["checkout"];
/// The most connections that a run holds.
const CONNECTIONS: usize = 2;
/// A run holds one of at most so many; pools that are smaller give one all the same.
const ONE_OF: usize = 5;

/// How many connections a run may hold at once.
fn connections(pools: &PoolManager) -> usize {
    let database = pools.stats().database;
    let all = database.map_or(0, |it| it.size + it.max_overflow);
    (all / ONE_OF).clamp(1, CONNECTIONS)
}

/// A statement of the application, with values for it.
///
/// # Errors
///
/// When the values cannot be read, or there are none.
pub(super) async fn job(pools: &PoolManager, case: &DatabaseCase) -> Result<Job, Fault> {
    let session = pools.session().await.map_err(Fault::failed)?;
    let keys = case.sample(&session).await.map_err(Fault::failed)?;
    drop(session);
    if keys.is_empty() {
        return Err(Fault::Failed("the database has no data for it".to_owned()));
    }
    let tasks = connections(pools);
    let settings = json!({ "tasks": tasks, "keys": keys.len() });
    let (about, name) = (case.about, case.name);
    let targets = case.latency_p95_us.map(|(bound, critical)| {
        Target::value_at_most("latency_p95", bound).critical_beyond(critical)
    });
    let shared = Arc::new((pools.clone(), case.clone(), keys));
    let operation = move |time: u64| -> Doing {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let (pools, case, keys) = &*shared;
            let key = usize::try_from(time).unwrap_or(usize::MAX) % keys.len();
            let key = &keys[key];
            let session = pools.session().await.map_err(Fault::failed)?;
            let rows = session.query(case.statement, &key.params()).await;
            let rows = rows.map_err(Fault::failed)?;
            let checked = case.check(key, &rows);
            checked.map_err(|wrong| Fault::Wrong(wrong.to_string()))
        })
    };
    Ok(Job {
        component: "database",
        case: name,
        about,
        settings,
        targets: targets.into_iter().collect(),
        cache: None,
        work: Work::Waiting {
            tasks,
            prepare: None,
            operation: Arc::new(operation),
        },
    })
}

/// A connection is taken and given back.
pub(super) fn checkout(pools: &PoolManager) -> Job {
    let pools = pools.clone();
    let operations = move |times| -> Doing {
        let pools = pools.clone();
        Box::pin(async move {
            for _ in 0..times {
                drop(pools.session().await.map_err(Fault::failed)?);
            }
            Ok(())
        })
    };
    Job {
        component: "pools",
        case: "checkout",
        about: "A connection is taken and given back.",
        // As the command does, whatever its concurrency: nobody waits for a connection here.
        settings: json!({ "tasks": 1 }),
        targets: vec![],
        cache: None,
        work: Work::Short {
            operations: Arc::new(operations),
        },
    }
}
