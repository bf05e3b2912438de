//! PostgreSQL is killed and started again, under load.

use std::{sync::Mutex, time::Duration};

use futures_util::future::join_all;
use prometheus::Registry;
use ruleiq_pools::{PoolManager, PoolMetrics};
use ruleiq_query::Read as _;
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, Which, eventually};
use tokio::{sync::watch, time::Instant};

use super::{Bar::AtMost, is_full, report, report_time};
use crate::fixture::{PATIENCE, config, every_place_is_usable};

const CALLERS: usize = 50;
/// The bar: attempts to connect in each second while the server is down.
const ATTEMPTS_PER_SECOND: f64 = 20.0;

/// Asks again and again. Notes when it last had an error.
async fn caller(pools: &PoolManager, mut is_over: watch::Receiver<bool>, last: &Mutex<Instant>) {
    let asking = async {
        loop {
            let answer = async {
                let session = pools.session().await.ok()?;
                session.query_one("SELECT 1", &[]).await.ok()
            };
            if answer.await.is_none() {
                *last.lock().unwrap() = Instant::now();
                // A client that is refused comes back a little later.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = is_over.wait_for(|it| *it) => {}
    }
}

fn attempts(registry: &Registry) -> f64 {
    let families = registry.gather();
    let failed = families
        .iter()
        .find(|family| family.name() == "ruleiq_pools_connects_failed_total")
        .unwrap();
    failed.get_metric()[0].get_counter().get_value()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_not_answered_by_a_storm_of_logins() {
    let (times, down) = match is_full() {
        true => (5, Duration::from_secs(5)),
        false => (1, Duration::from_secs(1)),
    };
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        ..Spec::default()
    })
    .await;
    let registry = Registry::new();
    let pools = PoolManager::builder()
        .postgres(config(servers.postgres_url()))
        .metrics(PoolMetrics::register(&registry).unwrap())
        .build()
        .unwrap();
    every_place_is_usable(&pools).await;

    let last_error = Mutex::new(Instant::now());
    let (over, is_over) = watch::channel(false);
    let load = join_all((0..CALLERS).map(|_| caller(&pools, is_over.clone(), &last_error)));
    let mut per_second = 0.0_f64;
    let mut late = Duration::ZERO;
    let outages = async {
        for _ in 0..times {
            servers.kill(Which::Postgres).await;
            eventually(PATIENCE, || async { pools.session().await.is_err() }).await;
            let (began, before) = (Instant::now(), attempts(&registry));
            eventually(PATIENCE, || async { began.elapsed() >= down }).await;
            let made = attempts(&registry) - before;
            per_second = per_second.max(made / began.elapsed().as_secs_f64());

            servers.start_again(Which::Postgres).await;
            let accepts = Instant::now();
            eventually(PATIENCE, || async {
                accepts.elapsed() >= Duration::from_secs(1)
            })
            .await;
            let last = *last_error.lock().unwrap();
            late = late.max(last.saturating_duration_since(accepts));
        }
        over.send_replace(true);
    };
    tokio::join!(load, outages);

    every_place_is_usable(&pools).await;
    report(
        "outage_attempts",
        per_second,
        "connects/s",
        AtMost(ATTEMPTS_PER_SECOND),
    );
    report_time("outage_last_error", late.as_millis(), AtMost(200));
}
