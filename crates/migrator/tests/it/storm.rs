//! Cuts a migrator off after ever more polls, until it ends by itself.

use std::{
    env,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use ruleiq_migrator::Target;
use ruleiq_test_support::TestDatabase;

use crate::{
    files::table_and_index,
    seen::{is_valid, owned, versions},
};

/// How many more polls than the one before each attempt gets. It takes some hundreds; at full
/// size it is cut at each.
fn stride() -> usize {
    let is_full = env::var("RULEIQ_SOAK").is_ok_and(|it| it == "full");
    if is_full { 1 } else { 41 }
}

#[allow(
    clippy::print_stdout,
    reason = "the figures of a soak are read from there"
)]
fn report(cuts: usize) {
    let verdict = if cuts >= 10 { "ok" } else { "MISSED" };
    println!("soak migrator_cuts {cuts} cuts bar >=10 {verdict}");
}

#[tokio::test]
async fn a_migrator_dropped_at_any_moment_leaves_nothing_half_done() {
    let database = TestDatabase::empty().await;
    let migrator = table_and_index();
    let ownership = owned(&database);
    let mut cuts = 0;
    for polls in (0..).step_by(stride()) {
        let up_ended = polled(polls, migrator.up(database.url())).await.is_some();
        migrator.up(database.url()).await.unwrap();
        assert_eq!(
            versions(&database).await,
            [1, 2],
            "up, cut after {polls} polls"
        );
        assert!(
            is_valid(&database, "t_x").await,
            "up, cut after {polls} polls"
        );

        let down = migrator.down(database.url(), Target::Zero, &ownership);
        let down_ended = polled(polls, down).await.is_some();
        migrator.up(database.url()).await.unwrap();
        assert_eq!(
            versions(&database).await,
            [1, 2],
            "down, cut after {polls} polls"
        );
        assert!(
            is_valid(&database, "t_x").await,
            "down, cut after {polls} polls"
        );

        if up_ended && down_ended {
            break;
        }
        cuts += 1;
        let down = migrator.down(database.url(), Target::Zero, &ownership);
        down.await.unwrap();
        assert!(versions(&database).await.is_empty());
    }
    report(cuts);
}

/// Polls a future so many times and drops it.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
