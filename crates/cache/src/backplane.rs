//! Hears of changes by messages of other instances, where Redis itself cannot tell of them.
//!
//! A message is `=` and the name of a value or a generation that has changed, `~` and a pattern whose keys were
//! deleted, or `!` and a number, which the listener sends to itself each second through the client that the
//! values go through: if it does not come back, nothing else does.

use std::{convert::Infallible, pin::pin};

use fred::{
    clients::Client,
    error::Error as RedisError,
    interfaces::{EventInterface as _, PubsubInterface as _},
};
use tokio::{
    select,
    sync::{broadcast::error::RecvError, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    Error, glob,
    manager::Inner,
    metrics::Flush,
    tracking::{ANSWER_LIMIT, LOOK_EVERY, Listener, PING_EVERY, connected, gone, too_late},
};

const NAME: char = '=';
pub(crate) const PATTERN: char = '~';
const PING: char = '!';

impl Listener {
    /// Listens as long as nothing can have been missed and somebody wants to know.
    pub(crate) async fn hear_messages(
        &self,
        client: &Client,
        is_first: bool,
    ) -> Result<Infallible, RedisError> {
        let mut heard = client.message_rx();
        connected(client).await?;
        let mut errors = client.error_rx();
        self.begin_epoch().await;
        let subscribing = client.subscribe(self.channel.as_str());
        let subscribed = timeout(ANSWER_LIMIT, subscribing).await;
        subscribed.unwrap_or_else(|_| Err(too_late()))?;
        self.cache()?.tracking_begins(is_first);
        match is_first {
            true => tracing::debug!("instances tell of changes"),
            false => tracing::info!("instances tell of changes again"),
        }
        // The last ping that has come back.
        let (echoed, echo) = watch::channel(0);
        let own = fastrand::u64(..);
        let mut silence = pin!(self.echoless(own, echo));
        loop {
            select! {
                biased;
                message = heard.recv() => {
                    let cache = self.cache()?;
                    match message {
                        Ok(message) => {
                            // What is no text is not from an instance of ours.
                            let text = message.value.as_str().unwrap_or_default();
                            match text.strip_prefix(PING).and_then(|it| ping(it, own)) {
                                Some(number) => drop(echoed.send_replace(number)),
                                None => cache.hear_message(&text).await,
                            }
                        }
                        Err(RecvError::Lagged(_)) => cache.flush(Flush::Lagged),
                        Err(RecvError::Closed) => return Err(gone()),
                    }
                }
                error = errors.recv() => return Err(error.map_or_else(|_| gone(), |(it, _)| it)),
                error = &mut silence => return Err(error),
            }
        }
    }

    /// Ends when a ping does not come back, or when nobody needs to know any more.
    async fn echoless(&self, own: u64, mut echo: watch::Receiver<u64>) -> RedisError {
        let mut looked = Instant::now();
        for number in 1_u64.. {
            sleep(PING_EVERY).await;
            let Ok(cache) = self.cache() else { break };
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                self.look_at_epoch().await;
            }
            let echoed = async {
                cache
                    .publish(format!("{PING}{own:x} {number}"))
                    .await
                    .ok()?;
                echo.wait_for(|it| *it == number).await.ok().map(drop)
            };
            if !matches!(timeout(ANSWER_LIMIT, echoed).await, Ok(Some(()))) {
                return too_late();
            }
        }
        gone()
    }
}

/// The number of a ping of one's own.
fn ping(text: &str, own: u64) -> Option<u64> {
    let (whose, number) = text.split_once(' ')?;
    let is_own = u64::from_str_radix(whose, 16).ok()? == own;
    is_own.then(|| number.parse().ok())?
}

impl Inner {
    async fn publish(&self, message: String) -> Result<(), Error> {
        match &self.l2 {
            Some(l2) => l2.publish(message, false).await,
            None => Ok(()),
        }
    }

    async fn hear_message(&self, message: &str) {
        if let Some(name) = message.strip_prefix(NAME) {
            self.hear([name].into_iter()).await;
        } else if let Some(pattern) = message.strip_prefix(PATTERN) {
            self.metrics.heard.inc();
            self.fences.hear_of_all();
            self.l1.remove_all(|key| glob::matches(pattern, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pings_of_ones_own_count() {
        assert_eq!(ping("ff 7", 255), Some(7));
        for other in ["fe 7", "ff x", "ff", "", "x 7"] {
            assert_eq!(ping(other, 255), None, "{other}");
        }
    }
}
