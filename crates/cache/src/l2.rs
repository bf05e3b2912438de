//! The second tier: Redis, asked with a limit and not while it does not answer.

use std::{
    hash::{BuildHasher as _, RandomState},
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::{Error as RedisError, ErrorKind},
    interfaces::{
        ClientLike as _, ClusterInterface as _, FredResult, KeysInterface as _, LuaInterface as _,
        PubsubInterface as _,
    },
    types::{
        Value,
        config::{Options, Server},
    },
};
use futures_util::future::{join_all, try_join_all};
use ruleiq_scope::Scope;
use tokio::time::{Instant, timeout_at};

use crate::{
    CacheMetrics, Coherence, Error,
    backplane::PATTERN,
    breaker::{Breaker, Permit},
    envelope::{self, Life},
    manager::AT_ONCE,
    names::Names,
    scripts::{self, LOAD_LEASE, ONLY_LEASE, WRITE_LEASE},
};

/// Names per page of a scan, and the most that one `UNLINK` of it carries: a page may have some more. With a thousand all
/// are told as fast, and everybody else waits for longer.
const PAGE: u16 = 100;
/// Scans of a cluster that changes meanwhile.
const SCANS: usize = 3;
/// How long the generation of a tag is kept that nobody asks for. When it is gone, the tag's values are.
const GENERATION_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long after an invalidation a load reads the primary: a replica that is further behind than that should
/// have no readers.
pub(crate) const INVALIDATED_FOR: Duration = Duration::from_secs(10);
/// How long others wait for one who has died that was to load alone.
const ONLY_LEASE_TIME: Duration = Duration::from_secs(3);
/// An answer that takes more than this part of its limit is slow.
const SLOW_PART: u32 = 4;
/// What leases last longer than what they are for.
const LEASE_SLACK: Duration = Duration::from_secs(1);

pub(crate) struct L2 {
    client: Client,
    commands: WithOptions<Client>,
    names: Names,
    /// Where instances are told of changes, or nothing.
    channel: String,
    breaker: Breaker,
    limit: Duration,
    /// Whether the last answer took a large part of that.
    is_slow: AtomicBool,
    load_lease_time: Duration,
    metrics: CacheMetrics,
    process: u64,
    leases: AtomicU64,
}

/// What one who would load a value asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// To load it, whoever else does.
    Shared,
    /// To be the only one.
    Alone,
    /// To load it when nobody is the only one.
    Turn,
}

/// A generation, and how long ago it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) age: Duration,
}

/// What one who would load a value is told.
pub(crate) enum Leased {
    /// Somebody has stored it meanwhile.
    Value(Bytes),
    /// Whether it is one's own says the flag; loads can share one.
    Lease(Bytes, bool),
    /// Somebody is setting it.
    Written,
    /// Somebody loads it, and is to be the only one.
    Loaded,
}

/// What is known of a key's time to live.
pub(crate) enum Ttl {
    Absent,
    Endless,
    Left(Duration),
}

impl L2 {
    pub(crate) fn new(
        client: &Client,
        names: Names,
        coherence: Coherence,
        (limit, load_timeout): (Duration, Duration),
        metrics: CacheMetrics,
    ) -> L2 {
        let channel = match coherence {
            Coherence::PubSub => names.channel().to_owned(),
            Coherence::Tracking | Coherence::None => String::new(),
        };
        L2 {
            commands: client.with_options(&options()),
            client: client.clone(),
            names,
            channel,
            breaker: Breaker::default(),
            limit,
            is_slow: AtomicBool::new(false),
            // The load begins when the lease has been taken, and the value is sent when it ends.
            load_lease_time: load_timeout + limit * 2 + LEASE_SLACK,
            metrics,
            process: RandomState::new().hash_one(std::process::id()),
            leases: AtomicU64::new(0),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The masters of a cluster, as far as the client knows them; otherwise one that needs no name.
    pub(crate) fn masters(client: &Client) -> Vec<Option<Server>> {
        let cluster = client.cached_cluster_state();
        match cluster.filter(|_| client.is_clustered()) {
            Some(cluster) => {
                let mut masters = cluster.unique_primary_nodes();
                masters.sort();
                masters.into_iter().map(Some).collect()
            }
            None => vec![None],
        }
    }

    /// Whether each answer that is waited for is felt: a load then waits for one in the place of three.
    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow.load(Relaxed)
    }

    /// Whether Redis has answered lately, as far as it was asked.
    pub(crate) fn is_available(&self) -> bool {
        self.breaker.is_closed()
    }

    /// What stands under a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let permit = self.permit(false)?;
        // Where it stands, for whoever calls this has a place for it.
        let command = pin!(self.commands.get(self.names.name(key)));
        self.wait(permit, command).await
    }

    /// What stands under keys, in their order.
    pub(crate) async fn mget(&self, keys: &[&str]) -> Result<Vec<Option<Bytes>>, Error> {
        // One command reaches one master.
        if self.commands.is_clustered() {
            let mut values = Vec::with_capacity(keys.len());
            for keys in keys.chunks(AT_ONCE) {
                let found = join_all(keys.iter().map(|key| self.get(key))).await;
                // What one master does not answer is counted, and keeps no other's answers back.
                values.extend(found.into_iter().map(|it| it.ok().flatten()));
            }
            return Ok(values);
        }
        let names: Vec<String> = keys.iter().map(|key| self.names.name(key)).collect();
        let permit = self.permit(false)?;
        self.ask(permit, self.commands.mget(names)).await
    }

    /// The right to store a value, or the value that has come meanwhile. A value without this header, or with
    /// this mark, is not wanted.
    pub(crate) async fn lease(
        &self,
        key: &str,
        header: Bytes,
        unwanted: Bytes,
        wanted: Wanted,
    ) -> Result<Leased, Error> {
        let (kind, time) = match wanted {
            Wanted::Alone => (ONLY_LEASE, ONLY_LEASE_TIME),
            Wanted::Shared | Wanted::Turn => (LOAD_LEASE, self.load_lease_time),
        };
        let own = self.new_lease(kind);
        let waits = i64::from(wanted != Wanted::Shared);
        let arguments = vec![
            header.into(),
            own.clone().into(),
            milliseconds(time).into(),
            unwanted.into(),
            waits.into(),
        ];
        let answer: Value = self.script(scripts::LEASE, key, arguments).await?;
        Ok(match (answer.is_null(), answer.into_bytes()) {
            (true, _) => Leased::Written,
            (_, Some(bytes)) if bytes.starts_with(envelope::VALUE) => Leased::Value(bytes),
            (_, Some(bytes)) if bytes.starts_with(b"R") => {
                // The kind may be another one.
                let is_own = bytes[kind.len()..] == own[kind.len()..];
                Leased::Lease(bytes, is_own)
            }
            _ => Leased::Loaded,
        })
    }

    /// Keeps the right to be the only one that loads.
    pub(crate) async fn renew(&self, key: &str, lease: Bytes) -> Result<(), Error> {
        let arguments = vec![lease.into(), milliseconds(ONLY_LEASE_TIME).into()];
        self.script::<()>(scripts::RENEW, key, arguments).await
    }

    /// Gives a right back.
    pub(crate) async fn release(&self, key: &str, lease: Bytes) -> Result<(), Error> {
        let arguments = vec![lease.into(), milliseconds(INVALIDATED_FOR).into()];
        self.script::<()>(scripts::RELEASE, key, arguments).await
    }

    /// The generations of tags.
    pub(crate) async fn generations(&self, tags: &[&str]) -> Result<Vec<Generation>, Error> {
        self.of_tags(scripts::GENERATIONS, tags, false).await
    }

    /// Raises the generations of tags, and answers them. For `anyway` see [`Breaker::permit_anyway`].
    pub(crate) async fn raise(
        &self,
        tags: &[&str],
        anyway: bool,
    ) -> Result<Vec<Generation>, Error> {
        self.of_tags(scripts::RAISE, tags, anyway).await
    }

    /// How many keys or tags one script is for, as one reaches one slot.
    pub(crate) fn per_script(&self) -> usize {
        if self.commands.is_clustered() {
            1
        } else {
            AT_ONCE
        }
    }

    async fn of_tags(
        &self,
        script: &'static str,
        tags: &[&str],
        anyway: bool,
    ) -> Result<Vec<Generation>, Error> {
        let at_once = self.per_script();
        let mut generations = Vec::with_capacity(tags.len());
        for tags in tags.chunks(AT_ONCE) {
            let answers = tags.chunks(at_once).map(|tags| async move {
                let names: Vec<String> = tags.iter().map(|it| self.names.tag(it)).collect();
                let remembered = i64::try_from(INVALIDATED_FOR.as_micros()).unwrap_or(i64::MAX);
                let time = milliseconds(GENERATION_TIME);
                let arguments = vec![time.into(), self.channel(), remembered.into()];
                let asking = self.commands.eval(script, names, arguments);
                self.ask::<Vec<u64>>(self.permit(anyway)?, asking).await
            });
            for mut answer in try_join_all(answers).await? {
                // The last is the time; an answer without one has no generations either.
                let now = answer.pop().unwrap_or_default();
                generations.extend(answer.into_iter().map(|number| Generation {
                    number,
                    age: Duration::from_micros(now.saturating_sub(number)),
                }));
            }
        }
        Ok(generations)
    }

    /// Puts a lease in the place of whatever the key has, for a value that is to be written.
    pub(crate) async fn lease_for_write(&self, key: &str) -> Result<Bytes, Error> {
        let lease = self.new_lease(WRITE_LEASE);
        // One command's answer, and the next command; and if that fails, the value has been invalidated.
        let time = milliseconds((self.limit * 2 + LEASE_SLACK).max(INVALIDATED_FOR));
        let arguments = vec![lease.clone().into(), time.into(), self.channel()];
        self.script::<()>(scripts::TAKE, key, arguments).await?;
        Ok(lease)
    }

    /// Takes away what the key has, if the lease is still there: its source has nothing any more.
    pub(crate) async fn drop_value(&self, key: &str, lease: Bytes) -> Result<bool, Error> {
        let remembered = milliseconds(INVALIDATED_FOR);
        let arguments = vec![lease.into(), remembered.into(), self.channel()];
        let dropped = self.script::<i64>(scripts::DROP, key, arguments);
        Ok(dropped.await? == 1)
    }

    /// Stores a loaded value, if the lease is still there. Answers whether it was.
    pub(crate) async fn fill(
        &self,
        key: &str,
        lease: Bytes,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, Error> {
        // Nobody has an older one: whatever took that away has told of it.
        self.put(key, lease, value, ttl, "".into()).await
    }

    /// Stores a value that is set, if the lease is still there. Answers whether it was.
    pub(crate) async fn write(
        &self,
        key: &str,
        lease: Bytes,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, Error> {
        self.put(key, lease, value, ttl, self.channel()).await
    }

    async fn put(
        &self,
        key: &str,
        lease: Bytes,
        value: Bytes,
        ttl: Duration,
        channel: Value,
    ) -> Result<bool, Error> {
        let ttl = milliseconds(ttl).into();
        let arguments = vec![lease.into(), value.into(), ttl, channel];
        Ok(self.script::<i64>(scripts::FILL, key, arguments).await? == 1)
    }

    fn channel(&self) -> Value {
        self.channel.as_str().into()
    }

    /// Sends a message to all instances, if they are told by messages.
    pub(crate) async fn publish(&self, message: String, anyway: bool) -> Result<(), Error> {
        if self.channel.is_empty() {
            return Ok(());
        }
        let publishing = self.commands.publish(self.channel.as_str(), message);
        self.ask(self.permit(anyway)?, publishing).await
    }

    /// How long a key has to live, and the start of what stands there.
    pub(crate) async fn ttl(&self, key: &str) -> Result<(Ttl, Bytes), Error> {
        let end = i64::try_from(envelope::FRONT_BYTES).expect("it is short") - 1;
        let answer = self.script::<(i64, Bytes)>(scripts::TTL, key, vec![end.into()]);
        let (left, front) = answer.await?;
        let ttl = match u64::try_from(left) {
            Ok(left) => Ttl::Left(Duration::from_millis(left)),
            Err(_) if left == -1 => Ttl::Endless,
            Err(_) => Ttl::Absent,
        };
        Ok((ttl, front))
    }

    pub(crate) async fn expire(&self, key: &str, ttl: Duration) -> Result<bool, Error> {
        let life = Bytes::copy_from_slice(&Life::of(ttl).times());
        let at = i64::try_from(envelope::LIFE_AT).expect("it stands near the start");
        let version = Bytes::from_static(envelope::VALUE);
        let arguments = vec![
            milliseconds(ttl).into(),
            at.into(),
            life.into(),
            version.into(),
            self.channel(),
        ];
        Ok(self.script::<i64>(scripts::EXPIRE, key, arguments).await? == 1)
    }

    /// Deletes keys, and ends what loads and writes them. For `anyway` see [`Breaker::permit_anyway`].
    pub(crate) async fn delete(&self, keys: &[impl AsRef<str>], anyway: bool) -> Result<(), Error> {
        // A lease is where its value is.
        let at_once = self.per_script();
        for keys in keys.chunks(AT_ONCE) {
            let deleting = keys.chunks(at_once).map(|keys| async move {
                let values = keys.iter().map(|it| self.names.name(it.as_ref()));
                let pairs = values.map(|value| {
                    let lease = self.names.lease(&value);
                    [value, lease]
                });
                let names: Vec<String> = pairs.flatten().collect();
                let arguments = vec![milliseconds(INVALIDATED_FOR).into(), self.channel()];
                let deleting = self.commands.eval(scripts::DELETE, names, arguments);
                self.ask::<()>(self.permit(anyway)?, deleting).await
            });
            try_join_all(deleting).await?;
        }
        Ok(())
    }

    /// Deletes, page by page, all keys that a pattern matches, and counts those that had a value.
    ///
    /// First all leases, then all values: whoever had begun to load by then has stored a value that the
    /// second scan finds, as it is there from its beginning to its end, or stores none.
    pub(crate) async fn unlink_matching(&self, pattern: &str, anyway: bool) -> Result<u64, Error> {
        let [leases, values] = self.names.scan_patterns(pattern);
        let mut count = 0;
        let mut masters = self.present_masters(anyway).await?;
        for _ in 0..SCANS {
            for master in &masters {
                self.unlink_found(master, &leases, pattern, anyway).await?;
            }
            for master in &masters {
                count += self.unlink_found(master, &values, pattern, anyway).await?;
            }
            let now = self.present_masters(anyway).await?;
            if now == masters {
                break;
            }
            // What has moved may not have been seen.
            masters = now;
        }
        self.publish(format!("{PATTERN}{pattern}"), anyway).await?;
        Ok(count)
    }

    /// The masters of a cluster, as it says itself.
    async fn present_masters(&self, anyway: bool) -> Result<Vec<Option<Server>>, Error> {
        if self.commands.is_clustered() {
            self.ask(self.permit(anyway)?, self.client.sync_cluster())
                .await?;
        }
        Ok(L2::masters(&self.client))
    }

    /// Deletes what a scan of one master finds and is meant.
    async fn unlink_found(
        &self,
        master: &Option<Server>,
        scan_pattern: &str,
        pattern: &str,
        anyway: bool,
    ) -> Result<u64, Error> {
        let commands = self.client.with_options(&Options {
            cluster_node: master.clone(),
            ..options()
        });
        let mut cursor = "0".to_owned();
        let mut count = 0;
        loop {
            let page = commands.scan_page(cursor, scan_pattern, Some(PAGE.into()), None);
            let (next, mut names): (String, Vec<String>) =
                self.ask(self.permit(anyway)?, page).await?;
            names.retain(|name| self.names.is_meant(pattern, name));
            count += self.unlink_names(names, anyway).await?;
            if next == "0" {
                return Ok(count);
            }
            cursor = next;
        }
    }

    /// Deletes names of one page, and counts those that were there.
    async fn unlink_names(&self, names: Vec<String>, anyway: bool) -> Result<u64, Error> {
        let mut count = 0;
        if !self.commands.is_clustered() {
            for names in names.chunks(PAGE.into()) {
                let unlinking = self.commands.unlink(names.to_vec());
                count += self.ask::<u64>(self.permit(anyway)?, unlinking).await?;
            }
            return Ok(count);
        }
        for names in names.chunks(AT_ONCE) {
            let unlinking = names.iter().map(|name| async move {
                let unlinking = self.commands.unlink(name.as_str());
                self.ask::<u64>(self.permit(anyway)?, unlinking).await
            });
            for unlinked in join_all(unlinking).await {
                count += unlinked?;
            }
        }
        Ok(count)
    }

    /// A lease that no other process and no other call has.
    fn new_lease(&self, kind: &str) -> Bytes {
        let number = self.leases.fetch_add(1, Relaxed);
        format!("{kind}{:016x}{number:016x}", self.process).into()
    }

    async fn script<R: fred::types::FromValue>(
        &self,
        script: &'static str,
        key: &str,
        arguments: Vec<Value>,
    ) -> Result<R, Error> {
        let permit = self.permit(false)?;
        let value = self.names.name(key);
        let lease = self.names.lease(&value);
        let names = vec![value, lease];
        self.ask(permit, self.commands.eval(script, names, arguments))
            .await
    }

    fn permit(&self, anyway: bool) -> Result<Permit<'_>, Error> {
        if anyway {
            return Ok(self.breaker.permit_anyway());
        }
        self.breaker
            .permit()
            .ok_or(Error::Unavailable { source: None })
    }

    /// Sends a command. On the heap from the beginning: the driver's futures have several kilobytes, and
    /// each layer around them would copy them.
    fn ask<R>(
        &self,
        permit: Permit<'_>,
        command: impl Future<Output = FredResult<R>> + Send,
    ) -> impl Future<Output = Result<R, Error>> + Send {
        let mut command = Box::pin(command);
        async move { self.wait(permit, command.as_mut()).await }
    }

    async fn wait<R>(
        &self,
        permit: Permit<'_>,
        command: Pin<&mut impl Future<Output = FredResult<R>>>,
    ) -> Result<R, Error> {
        let asked = Instant::now();
        // Here and not by the client, which keeps to a limit only while its own task runs.
        let answer = timeout_at(asked + self.limit, command).await;
        let elapsed = asked.elapsed();
        self.metrics.redis_duration.observe(elapsed.as_secs_f64());
        self.is_slow
            .store(elapsed > self.limit / SLOW_PART, Relaxed);
        if let Some(scope) = Scope::current() {
            scope.record_cache(elapsed);
        }
        let error = match answer {
            Ok(Ok(answer)) => {
                permit.succeeded();
                return Ok(answer);
            }
            Ok(Err(error)) => self.failure(error),
            Err(_) => Error::TimedOut { after: self.limit },
        };
        self.metrics.count_redis_error(&error);
        match error {
            // It is there, and quick to answer.
            Error::Refused { .. } => permit.succeeded(),
            _ => permit.failed(),
        }
        Err(error)
    }

    fn failure(&self, error: RedisError) -> Error {
        match error.kind() {
            ErrorKind::Timeout => Error::TimedOut { after: self.limit },
            ErrorKind::Unknown if !is_an_answer(error.details()) => Error::Unavailable {
                source: Some(error),
            },
            ErrorKind::Unknown
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidCommand
            | ErrorKind::Parse
            | ErrorKind::NotFound => Error::Refused { source: error },
            _ => Error::Unavailable {
                source: Some(error),
            },
        }
    }
}

/// Of a command: tried once. Its limit is kept here, and the client need not set a timer of its own.
fn options() -> Options {
    Options {
        max_attempts: Some(1),
        timeout: Some(Duration::ZERO),
        fail_fast: true,
        ..Options::default()
    }
}

/// Whether the text of an error is from Redis, which begins with a code such as `OOM`, and not from
/// the client, to which a broken connection is unknown too: "Failed to route command."
fn is_an_answer(details: &str) -> bool {
    let code = details.split(' ').next().unwrap_or_default();
    code.len() > 1 && code.chars().all(|c| c.is_ascii_uppercase())
}

/// At least one: Redis refuses zero.
fn milliseconds(duration: Duration) -> i64 {
    let whole = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(whole).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_no_answer_of_redis() {
        for (details, expect) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                true,
            ),
            ("WRONGTYPE Operation against a key", true),
            ("ERR unknown command", true),
            ("Failed to route command.", false),
            ("Missing response.", false),
            ("", false),
        ] {
            assert_eq!(is_an_answer(details), expect, "{details}");
        }
    }
}
