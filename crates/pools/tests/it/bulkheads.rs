//! Shares of the pool that nobody can take away.

use futures_util::future::try_join_all;
use ruleiq_pools::{BulkheadConfig, PoolManager, PostgresConfig};
use ruleiq_test_support::{TestDatabase, eventually};

use crate::fixture::{PATIENCE, PLACES, config, manager, stats};

fn shared(url: &str, shares: &[(&str, f64)]) -> PostgresConfig {
    let bulkhead = |(name, share): &(&str, f64)| BulkheadConfig {
        name: (*name).to_owned(),
        share: *share,
    };
    PostgresConfig {
        bulkheads: shares.iter().map(bulkhead).collect(),
        ..config(url)
    }
}

#[tokio::test]
async fn a_share_is_lent_and_comes_back_first() {
    let database = TestDatabase::empty().await;
    let pools = manager(shared(database.url(), &[("payments", 0.5)]));
    let payments = pools.bulkhead("payments").unwrap();
    // Nobody pays, so that others have everything.
    let mut others = try_join_all((0..PLACES).map(|_| pools.session()))
        .await
        .unwrap();
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(pools.session())).collect();
    eventually(PATIENCE, || async { stats(&pools).waiting == 3 }).await;

    let first = tokio::spawn(payments.session());
    let second = tokio::spawn(payments.session());
    let third = tokio::spawn(payments.session());
    eventually(PATIENCE, || async { pools.bulkheads()[0].waiting == 3 }).await;
    // Whoever pays came last, and has the next two all the same; the third is beyond the share.
    others.truncate(PLACES - 2);
    let paying = [
        first.await.unwrap().unwrap(),
        second.await.unwrap().unwrap(),
    ];
    assert_eq!(
        (pools.bulkheads()[0].checked_out, stats(&pools).waiting),
        (2, 4)
    );
    drop(others);
    for other in waiting.into_iter().take(2) {
        drop(other.await.unwrap().unwrap());
    }
    drop(paying);
    third.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_share_that_cannot_be_given_is_refused() {
    for shares in [
        &[("a", 0.0)][..],
        &[("a", 1.5)],
        &[("a", f64::NAN)],
        &[("a", 0.6), ("b", 0.6)],
        &[("a", 0.1), ("a", 0.1)],
    ] {
        let config = shared("postgres://localhost/x", shares);
        let error = PoolManager::builder().postgres(config).build().unwrap_err();
        assert!(error.to_string().contains("bulkhead"), "{error}");
    }
    let pools = manager(shared("postgres://localhost/x", &[("a", 1.0)]));
    assert!(pools.bulkhead("b").is_none());
}
