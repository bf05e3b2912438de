//! Hears what happens to the values in Redis, so that the first tier lets go of what anybody has changed.
//!
//! Redis tells whoever asks for it the names of keys that were written, deleted or have expired ("Client-side
//! caching in Redis", broadcasting mode). One connection per master asks and does nothing else. As long as
//! it is sure to hear of everything, values live in the first tier for `l1_ttl`, and otherwise for
//! `outage_ttl`. Whenever something may have been missed, and when it is heard of again, the first tier is
//! emptied before it serves again.
//!
//! Where instances tell each other by messages instead, see [`crate::backplane`].
//!
//! Any trouble ends the connection, and another one is opened: what the driver opens by itself listens to
//! nothing.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    error::{Error as RedisError, ErrorKind},
    interfaces::{
        ClientInterface as _, ClientLike as _, EventInterface as _, TrackingInterface as _,
    },
    types::{
        Builder as ClientBuilder, Key, RespVersion,
        client::Toggle,
        config::{Options, Server},
    },
};
use futures_util::future::{join_all, try_join_all};
use tokio::{
    runtime::Handle,
    sync::broadcast::error::RecvError,
    time::{Instant, sleep, timeout},
};

use crate::{Coherence, breaker::jittered, l2::L2, manager::Inner, metrics::Flush, names::Subject};

/// A connection that has died without a word is noticed within both.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// The epoch is asked for so often that a Redis which evicts what is seldom read keeps it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Messages, each of many names, that wait to be heard. If there are more, the first tier is emptied.
const CHANNEL: usize = 1_024;

/// Whether this cache hears of everything.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    is_armed: AtomicBool,
    has_begun: AtomicBool,
}

/// The task that listens. Dropped with its runtime, it leaves it to another.
pub(crate) struct Listener {
    pub(crate) cache: Weak<Inner>,
    coherence: Coherence,
    pub(crate) channel: String,
    template: Client,
    /// Of the names that it asks for.
    starts: [String; 3],
}

impl Tracking {
    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed.load(SeqCst)
    }
}

impl Inner {
    /// Begins to listen, unless somebody does.
    pub(crate) fn listen(self: &Arc<Inner>) {
        let wants = self.coherence != Coherence::None;
        let Some(l2) = self.l2.as_ref().filter(|_| wants) else {
            return;
        };
        let has_begun = &self.tracking.has_begun;
        if has_begun.load(SeqCst) {
            return;
        }
        // Outside a runtime it is left to the next call inside one.
        if let Ok(runtime) = Handle::try_current()
            && !has_begun.swap(true, SeqCst)
        {
            let listener = Listener {
                cache: Arc::downgrade(self),
                coherence: self.coherence,
                channel: l2.names().channel().to_owned(),
                template: l2.client().clone(),
                starts: l2.names().starts(),
            };
            runtime.spawn(listener.run());
        }
    }

    /// Everything that happens from now on is heard of.
    pub(crate) fn tracking_begins(&self, is_first: bool) {
        match is_first {
            // Copies from before live for `outage_ttl` as it is. What is on its way here would not.
            true => {
                self.tags.forget();
                self.fences.hear_of_all();
            }
            false => self.flush(Flush::TrackingBegun),
        }
        self.tracking.is_armed.store(true, SeqCst);
    }

    /// Something may happen that is not heard of. Answers whether that is new.
    fn tracking_ends(&self) -> bool {
        // Before the flush: what is read after it lives for as long as without tracking.
        let was_armed = self.tracking.is_armed.swap(false, SeqCst);
        if was_armed {
            self.flush(Flush::TrackingLost);
        }
        was_armed
    }

    /// Values and generations of these names have changed.
    pub(crate) async fn hear(&self, names: impl Iterator<Item = &str>) {
        let Some(l2) = &self.l2 else { return };
        let mut is_of_all = false;
        for name in names {
            self.metrics.heard.inc();
            match l2.names().subject(name) {
                Some(Subject::Value(identity)) => self
                    .fences
                    .hear(&identity, || self.l1.remove_identity(&identity)),
                Some(Subject::Tag(tag)) => is_of_all |= self.tags.hear(&tag),
                None => {}
            }
        }
        if is_of_all {
            self.look_at_epoch(l2).await;
        }
    }

    /// Forgets all values, unless the epoch is what it was: this process hears of what it has raised itself, too.
    async fn look_at_epoch(&self, l2: &L2) {
        self.learn(l2, [].into_iter()).await;
        let epoch = self.tags.known_epoch();
        if epoch.is_none_or(|it| self.tags.begin(it)) {
            self.forget_all();
        }
    }

    /// Takes everything out of the first tier and overtakes what is on its way there from Redis.
    pub(crate) fn flush(&self, why: Flush) {
        self.metrics.flushed(why);
        self.tags.forget();
        self.fences.hear_of_all();
        self.l1.remove_all(|_| true);
    }
}

impl Listener {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut is_told = false;
        let mut is_first = true;
        loop {
            let error = match self.client() {
                Ok(client) => {
                    let connection = client.connect();
                    let ended = match self.coherence {
                        Coherence::PubSub => self.hear_messages(&client, is_first).await,
                        Coherence::Tracking | Coherence::None => {
                            self.session(&client, is_first).await
                        }
                    };
                    let Err(error) = ended;
                    // First of all: the farewell takes time.
                    self.lose(&mut pause, &mut is_told);
                    if client.is_connected() {
                        // It waits for what is not answered, and that may be for ever.
                        drop(timeout(ANSWER_LIMIT, client.quit()).await);
                    }
                    connection.abort();
                    error
                }
                Err(error) => error,
            };
            is_first = false;
            let Some(cache) = self.cache.upgrade() else {
                return;
            };
            if !is_told {
                is_told = true;
                let outage_ttl = cache.outage_ttl;
                tracing::warn!(
                    %error,
                    ?outage_ttl,
                    prefix = cache.prefix,
                    "redis does not tell of changes: values live in the process for `outage_ttl` at most"
                );
            }
            drop(cache);
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The connection is lost. If it was listened to, that is told again, and the next one is tried at once.
    fn lose(&self, pause: &mut Duration, is_told: &mut bool) {
        if self.cache.upgrade().is_some_and(|it| it.tracking_ends()) {
            *pause = FIRST_PAUSE;
            *is_told = false;
        }
    }

    /// A client that is not connected yet and does not reconnect.
    fn client(&self) -> Result<Client, RedisError> {
        let mut config = self.template.client_config();
        if self.coherence == Coherence::Tracking {
            config.version = RespVersion::RESP3;
        }
        config.fail_fast = true;
        ClientBuilder::from_config(config)
            .with_connection_config(|it| {
                *it = self.template.connection_config().clone();
                it.max_command_attempts = 1;
            })
            .with_performance_config(|it| {
                it.broadcast_channel_capacity = CHANNEL;
                it.default_command_timeout = ANSWER_LIMIT;
            })
            .build()
    }

    /// Listens as long as nothing can have been missed and somebody wants to know.
    async fn session(&self, client: &Client, is_first: bool) -> Result<Infallible, RedisError> {
        let mut heard = client.invalidation_rx();
        connected(client).await?;
        let mut errors = client.error_rx();
        let mut changes = client.cluster_change_rx();
        self.begin_epoch().await;
        let masters = L2::masters(client);
        let asking = masters.iter().map(|master| {
            let client = client.with_options(&at(master.clone()));
            let starts = self.starts.to_vec();
            async move {
                let on = client.client_tracking::<(), _, _>(
                    Toggle::On,
                    None,
                    starts,
                    true,
                    false,
                    false,
                    false,
                );
                timeout(ANSWER_LIMIT, on)
                    .await
                    .unwrap_or_else(|_| Err(too_late()))
            }
        });
        try_join_all(asking).await?;
        self.cache()?.tracking_begins(is_first);
        match is_first {
            true => tracing::debug!("redis tells of changes"),
            false => tracing::info!("redis tells of changes again"),
        }
        let mut silence = pin!(self.silence(client, &masters));
        loop {
            tokio::select! {
                biased;
                message = heard.recv() => {
                    let cache = self.cache()?;
                    match message {
                        Ok(message) => {
                            let names = message.keys.iter().filter_map(Key::as_str);
                            cache.hear(names).await;
                        }
                        Err(RecvError::Lagged(_)) => cache.flush(Flush::Lagged),
                        Err(RecvError::Closed) => return Err(gone()),
                    }
                }
                error = errors.recv() => return Err(error.map_or_else(|_| gone(), |(it, _)| it)),
                _ = changes.recv(), if client.is_clustered() => return Err(moved()),
                error = &mut silence => return Err(error),
            }
        }
    }

    /// Sees to it that there is an epoch, since nobody should hear of its beginning as of its end.
    pub(crate) async fn begin_epoch(&self) {
        if let Some((cache, epoch)) = self.epoch().await {
            // What may be older goes when it is listened to.
            cache.tags.begin(epoch);
        }
    }

    /// Sees to it that the epoch lasts.
    pub(crate) async fn look_at_epoch(&self) {
        if let Some((cache, epoch)) = self.epoch().await
            && cache.tags.begin(epoch)
        {
            cache.forget_all();
        }
    }

    /// `None` if Redis does not tell: then the first to ask for it sees to it.
    async fn epoch(&self) -> Option<(Arc<Inner>, u64)> {
        let cache = self.cache.upgrade()?;
        let (version, until) = (cache.tags.epoch(), cache.believed_until());
        let generations = cache.l2.as_ref()?.generations(&[""]).await.ok()?;
        let epoch = generations.first()?;
        version.learn(epoch.number, epoch.age, until);
        Some((cache, epoch.number))
    }

    pub(crate) fn cache(&self) -> Result<Arc<Inner>, RedisError> {
        self.cache.upgrade().ok_or_else(gone)
    }

    /// Ends when a master does not answer, when there are others, or when nobody needs to know any more.
    async fn silence(&self, client: &Client, masters: &[Option<Server>]) -> RedisError {
        let mut looked = Instant::now();
        while self.cache.strong_count() > 0 {
            sleep(PING_EVERY).await;
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                self.look_at_epoch().await;
            }
            // Values come from those that the other client knows, which is sent from one to the next.
            if self.template.is_connected() && L2::masters(&self.template) != masters {
                return moved();
            }
            let pings = masters.iter().map(|master| {
                let client = client.with_options(&at(master.clone()));
                async move { client.ping::<()>(None).await }
            });
            match timeout(ANSWER_LIMIT, join_all(pings)).await {
                Ok(answers) => {
                    if let Some(error) = answers.into_iter().find_map(Result::err) {
                        return error;
                    }
                }
                Err(_) => return too_late(),
            }
        }
        gone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.upgrade() {
            cache.tracking_ends();
            cache.tracking.has_begun.store(false, SeqCst);
        }
    }
}

fn at(master: Option<Server>) -> Options {
    Options {
        cluster_node: master,
        max_attempts: Some(1),
        fail_fast: true,
        ..Options::default()
    }
}

pub(crate) async fn connected(client: &Client) -> Result<(), RedisError> {
    let connecting = timeout(CONNECT_LIMIT, client.wait_for_connect()).await;
    connecting.unwrap_or_else(|_| Err(too_late()))
}

pub(crate) fn too_late() -> RedisError {
    RedisError::new(ErrorKind::Timeout, "no answer in time")
}

pub(crate) fn gone() -> RedisError {
    RedisError::new(ErrorKind::Canceled, "the client has ended")
}

fn moved() -> RedisError {
    RedisError::new(ErrorKind::Cluster, "the cluster has changed")
}
