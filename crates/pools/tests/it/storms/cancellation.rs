//! Callers that give up at random steps, on a network that is cut now and then.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, pin_mut, stream};
use ruleiq_pools::{PoolManager, PostgresConfig, Session};
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};

use super::{
    Bar::{AtLeast, AtMost},
    Random, is_full, report,
};
use crate::fixture::{
    PATIENCE, config, every_place_answers, is_outside_a_transaction, manager, poll_times,
    session_again, stats,
};

const SEED: u64 = 0x5eed_5702;
const CALLERS: u64 = 16;

/// Longer than the test lasts: whoever gets a connection that still runs this waits for it.
const ABANDONED: &str = "SELECT pg_sleep(600)";

#[derive(Default)]
struct Figures {
    given_up: AtomicUsize,
    handed_on_busy: AtomicUsize,
    handed_on_in_transaction: AtomicUsize,
}

/// Something that a caller does and may give up at any step. Errors are the network's.
async fn step(mut session: Session, kind: u64) -> Result<(), Error> {
    match kind {
        0 => drop(session.query(ABANDONED, &[]).await?),
        1 => drop(session.query("SELECT 1", &[]).await?),
        2 => {
            let transaction = session.transaction().await?;
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
            drop(transaction.query(ABANDONED, &[]).await?);
        }
        3 => {
            session
                .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
                .await?
        }
        4 => {
            let chunks = stream::iter([Bytes::from_static(b"1\n")]).chain(stream::pending());
            session.copy_in("COPY t FROM STDIN", chunks).await?;
        }
        _ => {
            let rows = session
                .stream("SELECT generate_series(1, 2000)", &[])
                .await?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                row?;
            }
        }
    }
    Ok(())
}

/// What the next caller finds.
async fn look(session: &Session, figures: &Figures) {
    match tokio::time::timeout(PATIENCE, is_outside_a_transaction(session)).await {
        Ok(Ok(true)) => {}
        // The network was cut.
        Ok(Err(error)) if error.as_db_error().is_none() => {}
        Ok(_) => {
            figures.handed_on_in_transaction.fetch_add(1, Relaxed);
        }
        Err(_) => {
            figures.handed_on_busy.fetch_add(1, Relaxed);
        }
    }
}

async fn caller(pools: PoolManager, number: u64, rounds: usize, figures: &Figures) {
    let mut random = Random(SEED ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for _ in 0..rounds {
        let polls = usize::try_from(random.below(9)).unwrap();
        drop(poll_times(polls, pools.session()).await);
        let session = session_again(&pools).await;
        look(&session, figures).await;
        let step = poll_times(polls, step(session, random.below(6)));
        // Some would wait for ever after any poll, so the clock gives them up too.
        let ended = tokio::time::timeout(Duration::from_millis(20), step).await;
        if !matches!(ended, Ok(Some(_))) {
            figures.given_up.fetch_add(1, Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_up_hands_nothing_on() {
    let database = TestDatabase::empty().await;
    let create = "CREATE TABLE t (n int)";
    database.client().await.batch_execute(create).await.unwrap();
    let config = config(database.url());
    storm("cancellation_storm", config, database.url()).await;
}

/// Lets callers give up on the database at the address, which has a table `t`.
pub(crate) async fn storm(name: &str, config: PostgresConfig, url: &str) {
    let rounds = if is_full() { 1_000 } else { 12 };
    // PgBouncer 1.18 dies when a client that cancels is cut off (its issue 801).
    let cuts_wanted = if config.transaction_pooling { 0 } else { 3 };
    let proxy = FaultProxy::in_front_of(url).await;
    let pools = manager(PostgresConfig {
        url: proxy.url(url).into(),
        ..config
    });
    let figures = Figures::default();

    let callers = (0..CALLERS).map(|number| caller(pools.clone(), number, rounds, &figures));
    let mut storm = Box::pin(join_all(callers));
    let mut cuts = 0;
    let cut_after = rounds * usize::try_from(CALLERS).unwrap() / 6;
    loop {
        let next_cut = eventually(Duration::from_secs(3600), || async {
            figures.given_up.load(Relaxed) > (cuts + 1) * cut_after
        });
        tokio::select! {
            _ = &mut storm => break,
            () = next_cut => {
                if cuts_wanted > 0 {
                    proxy.cut().await;
                }
                cuts += 1;
            }
        }
    }

    drop(storm);
    // What is under way ends by itself.
    eventually(PATIENCE, || async {
        let stats = stats(&pools);
        stats.closing == 0 && stats.connecting == 0
    })
    .await;
    let after = stats(&pools);
    assert_eq!((after.checked_out, after.waiting), (0, 0), "{after:?}");
    every_place_answers(&pools).await;
    let least = if is_full() { 10_000 } else { 50 };
    let given_up = figures.given_up.into_inner();
    report(name, given_up, "steps", AtLeast(least));
    if cuts_wanted > 0 {
        report(&format!("{name}_cuts"), cuts, "cuts", AtLeast(cuts_wanted));
    }
    let busy = figures.handed_on_busy.into_inner();
    report(&format!("{name}_busy"), busy, "connections", AtMost(0));
    let in_transaction = figures.handed_on_in_transaction.into_inner();
    report(
        &format!("{name}_in_transaction"),
        in_transaction,
        "connections",
        AtMost(0),
    );
}
