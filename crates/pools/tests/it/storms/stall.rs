//! A network that stalls, and does not close.

use std::time::Duration;

use futures_util::future::join_all;
use ruleiq_pools::{CheckoutError, PoolManager};
use ruleiq_query::{Error, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{FaultProxy, TestDatabase};
use tokio::time::Instant;

use super::{Bar::AtMost, is_full, report, report_time};
use crate::fixture::{PLACES, config, every_place_answers, manager};

const CALLERS: usize = 20;
const DEADLINE: Duration = Duration::from_millis(200);

/// How late a request had its error, and whether it was another than that of its deadline.
async fn request(pools: &PoolManager) -> (Duration, bool) {
    let started = Instant::now();
    let deadline = started + DEADLINE;
    let scope = Scope::builder().deadline(deadline).build();
    let is_expected = scope
        .run(async {
            match pools.session().await {
                Ok(session) => match session.query_one("SELECT 1", &[]).await {
                    // Before the stall, or after.
                    Ok(_) => true,
                    Err(error) => matches!(error, Error::TimedOut { .. } | Error::DeadlinePassed),
                },
                Err(error) => matches!(
                    error,
                    CheckoutError::DeadlinePassed { .. } | CheckoutError::Shed { .. }
                ),
            }
        })
        .await;
    (started.elapsed().saturating_sub(DEADLINE), !is_expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_costs_nobody_more_than_the_deadline() {
    let times = if is_full() { 20 } else { 2 };
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(config(&proxy.url(database.url())));
    let (mut latest, mut others, mut kept) = (Duration::ZERO, 0, 0);
    for _ in 0..times {
        let before = every_place_answers(&pools).await;
        proxy.stall().await;
        for (late, is_other) in join_all((0..CALLERS).map(|_| request(&pools))).await {
            latest = latest.max(late);
            others += usize::from(is_other);
        }
        proxy.heal().await;
        let after = every_place_answers(&pools).await;
        kept += before.intersection(&after).count();
    }
    assert_eq!(every_place_answers(&pools).await.len(), PLACES);
    // Whatever was used in the meantime is not trusted any more.
    report("stall_kept", kept, "connections", AtMost(0));
    report("stall_other_errors", others, "errors", AtMost(0));
    report_time("stall_past_deadline", latest.as_millis(), AtMost(50));
}
