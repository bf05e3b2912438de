//! A pool that finds out what its settings should be.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_pools::{
    OptimizeError, PoolManager, PoolSetting, PoolStep, PostgresConfig, StepOutcome, TuningConfig,
};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_test_support::{TestDatabase, TestRedis, eventually};

use crate::fixture::{PATIENCE, config, every_place_is_usable, manager, stats};

/// As short as it can be.
pub(crate) const WINDOW: Duration = Duration::from_millis(200);

fn tuned(url: &str, name: &str) -> PostgresConfig {
    PostgresConfig {
        application_name: Some(name.to_owned()),
        tuning: TuningConfig {
            window: WINDOW,
            ..TuningConfig::default()
        },
        ..config(url)
    }
}

/// Keeps connections for a while each, until it is over.
async fn keep_busy(pools: &PoolManager, callers: usize, is_over: &AtomicBool) {
    let caller = || async {
        while !is_over.load(Relaxed) {
            let session = pools.session().await.unwrap();
            session.query("SELECT pg_sleep(0.001)", &[]).await.unwrap();
        }
    };
    join_all((0..callers).map(|_| caller())).await;
}

#[tokio::test]
async fn the_server_says_what_is_fair() {
    let database = TestDatabase::empty().await;
    let name = "ruleiq tuning caf\u{e9}";
    let pools = manager(tuned(database.url(), name));
    let session = pools.session().await.unwrap();
    let called = session.query_one("SHOW application_name", &[]).await;
    let called: String = called.unwrap().get(0);
    let number = called.strip_prefix("ruleiq tuning caf?/").unwrap();
    assert_eq!(number.len(), 6);

    let alone = pools.optimize_pools().await.unwrap().share.unwrap();
    assert_eq!(alone.instances, 1, "{alone:?}");
    let max = "SELECT current_setting('max_connections')::int8";
    let max: i64 = session.query_one(max, &[]).await.unwrap().get(0);
    assert!(alone.allowed < usize::try_from(max).unwrap(), "{alone:?}");
    assert_eq!(alone.connections, alone.allowed - alone.others, "{alone:?}");
    // Those that the reader opens are besides.
    for _ in 0..10 {
        pools.reader().query_one("SELECT 1", &[]).await.unwrap();
    }
    eventually(PATIENCE, || async {
        let share = pools.optimize_pools().await.unwrap().share.unwrap();
        share.besides > 0 && share.connections == share.allowed - share.others - share.besides
    })
    .await;

    // Two others of the service, one of which has two connections, and one who only sounds alike.
    let others = [name, name, "ruleiq tuning"].map(|it| manager(tuned(database.url(), it)));
    let held = others.iter().map(PoolManager::session);
    let _held = join_all(held).await;
    let _second = others[0].session().await.unwrap();
    let three = pools.optimize_pools().await.unwrap().share.unwrap();
    assert_eq!(three.instances, 3, "{three:?}");

    // What the database may have is less than what the server has.
    let limit = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 3", database.name());
    session.batch_execute(&limit).await.unwrap();
    let bounded = pools.optimize_pools().await.unwrap().share.unwrap();
    assert_eq!((bounded.allowed, bounded.others), (3, 1), "{bounded:?}");
    assert_eq!(bounded.connections, 0, "{bounded:?}");
    let advice = pools.optimize_pools().await.unwrap();
    let first = &advice.recommendations[0];
    assert!(first.evidence.contains("too small for all"), "{first:?}");
    let to = PoolSetting::Connections {
        size: 1,
        max_overflow: 0,
    };
    assert_eq!(first.to, to);
}

/// The first step of those that are advised, once enough was seen.
async fn first_step(pools: &PoolManager) -> PoolStep {
    let step = RefCell::new(None);
    eventually(PATIENCE, || async {
        let applied = pools.apply_optimization().await.unwrap();
        *step.borrow_mut() = applied;
        step.borrow().is_some()
    })
    .await;
    step.into_inner().unwrap()
}

fn limit(pools: &PoolManager) -> usize {
    stats(pools).size + stats(pools).max_overflow
}

#[tokio::test]
async fn a_step_is_tried_and_judged() {
    let database = TestDatabase::empty().await;
    let mut config = tuned(database.url(), "ruleiq tuning steps");
    // As many requests as it takes.
    config.tuning.window = Duration::from_secs(1);
    let pools = manager(config);
    pools.resize(1, 0).unwrap();
    let is_over = AtomicBool::new(false);
    let tuning = async {
        // Nothing is done before something was seen.
        assert_eq!(pools.apply_optimization().await, Ok(None));
        let step = first_step(&pools).await;
        assert_eq!(step.outcome, StepOutcome::OnTrial);
        assert_eq!(limit(&pools), 2);
        assert_eq!(
            pools.apply_optimization().await,
            Err(OptimizeError::OnTrial)
        );
        eventually(PATIENCE, || async {
            let steps = pools.optimize_pools().await.unwrap().steps;
            steps[0].outcome != StepOutcome::OnTrial
        })
        .await;
        let judged = pools.optimize_pools().await.unwrap().steps.remove(0);
        let expected = match judged.outcome {
            StepOutcome::Kept => 2,
            // Another test was in the way.
            StepOutcome::Undone => 1,
            other => panic!("{other:?}"),
        };
        assert!(judged.after.unwrap().throughput > 0.0);
        assert_eq!(limit(&pools), expected);

        // Whoever sets the limits has the last word.
        pools.resize(1, 0).unwrap();
        first_step(&pools).await;
        pools.resize(2, 2).unwrap();
        let steps = pools.optimize_pools().await.unwrap().steps;
        assert_eq!(steps.last().unwrap().outcome, StepOutcome::Overruled);
        eventually(PATIENCE, || async {
            pools.optimize_pools().await.unwrap().is_measured
        })
        .await;
        assert_eq!((stats(&pools).size, stats(&pools).max_overflow), (2, 2));
        is_over.store(true, Relaxed);
    };
    tokio::join!(keep_busy(&pools, 6, &is_over), tuning);
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn no_more_than_configured_where_nobody_says_what_is_fair() {
    let database = TestDatabase::empty().await;
    let mut config = tuned(database.url(), "ruleiq tuning pooled");
    config.transaction_pooling = true;
    // As many requests as it takes.
    config.tuning.window = Duration::from_secs(1);
    let pools = manager(config);
    let session = pools.session().await.unwrap();
    let called = session.query_one("SHOW application_name", &[]).await;
    // A pooler would have to tell the server of every change.
    assert_eq!(called.unwrap().get::<_, String>(0), "ruleiq tuning pooled");
    drop(session);
    let advice = pools.optimize_pools().await.unwrap();
    assert_eq!((advice.share, advice.recommendations), (None, vec![]));
    pools.resize(1, 0).unwrap();
    let is_over = AtomicBool::new(false);
    let tuning = async {
        // Twice as many, and then all there were at first.
        while limit(&pools) < 4 {
            let step = first_step(&pools).await;
            assert!(limit(&pools) <= 4, "{step:?}");
            if limit(&pools) == 2 {
                pools.resize(3, 0).unwrap();
            }
        }
        is_over.store(true, Relaxed);
    };
    tokio::join!(keep_busy(&pools, 6, &is_over), tuning);
}

#[tokio::test]
async fn a_bound_of_the_settings_holds() {
    let database = TestDatabase::empty().await;
    let mut config = tuned(database.url(), "ruleiq tuning bound");
    config.tuning.max_connections = NonZeroUsize::new(3);
    let pools = manager(config);
    let step = pools.apply_optimization().await.unwrap().unwrap();
    assert_eq!(step.outcome, StepOutcome::Kept);
    assert_eq!(stats(&pools).size + stats(&pools).max_overflow, 3);
    assert_eq!(pools.apply_optimization().await, Ok(None));
}

#[tokio::test]
async fn what_cannot_be_optimized_says_so() {
    let redis = TestRedis::namespace().await;
    let none = PoolManager::builder().redis(ruleiq_pools::RedisConfig::new(redis.url()));
    let none = none.build().unwrap();
    let error = none.optimize_pools().await.unwrap_err();
    assert_eq!(error, OptimizeError::NotConfigured);
    let database = TestDatabase::empty().await;
    let closed = manager(tuned(database.url(), "ruleiq tuning closed"));
    closed.close().await;
    assert_eq!(
        closed.optimize_pools().await.unwrap_err(),
        OptimizeError::Closed
    );
    assert_eq!(
        closed.apply_optimization().await,
        Err(OptimizeError::Closed)
    );

    // A server that is away has no share, and there is advice all the same.
    let away = manager(tuned("postgres://localhost:1/x", "ruleiq tuning away"));
    assert_eq!(away.optimize_pools().await.unwrap().share, None);
    assert_eq!(away.apply_optimization().await, Ok(None));
}

#[tokio::test]
async fn an_adaptive_pool_permits_what_costs_no_time() {
    let database = TestDatabase::empty().await;
    let mut config = tuned(database.url(), "ruleiq tuning adaptive");
    config.tuning.adaptive = true;
    let pools = manager(config);
    let is_over = AtomicBool::new(false);
    let watching = async {
        // It begins with the size,
        eventually(PATIENCE, || async { stats(&pools).permitted == Some(2) }).await;
        // and connections are kept for no longer when there are more.
        eventually(PATIENCE, || async { stats(&pools).permitted.is_none() }).await;
        is_over.store(true, Relaxed);
    };
    let late = async {
        eventually(PATIENCE, || async { stats(&pools).permitted.is_some() }).await;
        keep_busy(&pools, 6, &is_over).await;
    };
    tokio::join!(watching, late);
    assert!(stats(&pools).connections() <= 4);
    every_place_is_usable(&pools).await;
    pools.close().await;
}
