//! Looking after one client of Redis.
//!
//! The driver closes a connection that owes an answer only when nothing has been sent on it for a while;
//! under traffic a Redis that hangs would be waited for as long as it hangs. And it keeps what went
//! wrong to itself: callers are told that their time ran out.

use std::time::Duration;

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike as _, EventInterface as _},
    types::config::Server,
};
use tokio::{
    sync::broadcast::{Receiver, error::TryRecvError},
    time::{self, Instant},
};

use super::shared::{InFlight, answers};

const EVERY: Duration = Duration::from_millis(250);
/// One that nobody uses is asked for an answer so often.
const ASK_AFTER: Duration = Duration::from_secs(15);
/// A connection on which commands wait and nothing is answered for so long is opened anew.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// What went wrong, and with which server.
type Failure = (Error, Option<Server>);

/// Until the task is aborted.
pub(super) async fn watch(client: Client) {
    let mut errors = client.error_rx();
    let in_flight = InFlight::new(&client);
    let mut is_down = false;
    let mut seen = (answers(&client), Instant::now());
    let mut asked = Instant::now();
    loop {
        time::sleep(EVERY).await;
        if let Some(error) = last(&mut errors)
            && !is_down
            && !client.is_connected()
        {
            is_down = true;
            tell(&error);
        }
        if is_down && client.is_connected() {
            is_down = false;
            tracing::info!("redis can be reached again");
        }
        let answers = answers(&client);
        if answers == seen.0 && asked.elapsed() >= ASK_AFTER && client.is_connected() {
            asked = Instant::now();
            // Who vanished without a word owes the answer from now on.
            drop(time::timeout(EVERY, client.ping::<()>(None)).await);
        }
        if answers != seen.0 || in_flight.of(&client) == 0 || !client.is_connected() {
            seen = (answers, Instant::now());
        } else if seen.1.elapsed() >= HANGS_AFTER {
            seen.1 = Instant::now();
            tracing::warn!("redis does not answer: its connection is opened anew");
            // Whether it can be is told by the errors.
            drop(time::timeout(EVERY, client.force_reconnection()).await);
        }
    }
}

/// The newest of what has gone wrong, if anything has.
fn last(errors: &mut Receiver<Failure>) -> Option<Failure> {
    let mut last = None;
    loop {
        match errors.try_recv() {
            Ok(error) => last = Some(error),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return last,
        }
    }
}

fn tell((error, server): &Failure) {
    let server = server.as_ref().map(ToString::to_string);
    tracing::warn!(%error, server, "redis cannot be reached");
}
