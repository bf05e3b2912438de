//! What keeps a value that has been overtaken out of the first tier, and who loads a key.
//!
//! Each key belongs to one of [`SHARDS`] shards, which counts its invalidations. An invalidation is
//! counted, and takes the entry away, under the shard's lock; a fill, under the same lock, stores only if
//! its key was not among those that came since the value was read or its load began. A shard remembers
//! the last [`RECENT`] of them: where there were more, it stores nothing.
//!
//! What others have changed is only heard of, some time later, and so is what this process has changed
//! itself. It overtakes what is read from Redis, and no load: that has a lease, which is gone at once.
//!
//! A flight is one load of one key. It can be joined until its key is invalidated: whoever comes later
//! starts another one.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use xxhash_rust::xxh3::xxh3_64;

use crate::{names::Identities, tags::Noted};

const SHARDS: usize = 1_024;
/// All shards together take 256 KiB for it.
const RECENT: usize = 16;

#[derive(Debug)]
pub(crate) struct Fences {
    shards: Box<[Mutex<Shard>]>,
    identities: Identities,
    /// Since when tenths of a second are counted.
    begun: Instant,
}

/// How many invalidations a shard had seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Generation {
    made: u64,
    heard: u64,
}

/// Where a value was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Redis,
    /// Not in Redis: that something of any key may have been missed there says nothing of it.
    Load,
}

/// How a caller takes part in the load of a key.
#[derive(Debug)]
pub(crate) enum Role<O> {
    /// By loading.
    Lead(Leader<O>),
    /// By waiting for what the leader finds. The channel closes without an outcome when the leader
    /// gives up.
    Follow(watch::Receiver<Option<O>>),
}

/// The right and duty to load a key. Dropped without an outcome, it passes to one of those who wait.
#[derive(Debug)]
pub(crate) struct Leader<O> {
    fences: Arc<Fences>,
    flight: FlightKey,
    number: u64,
    generation: Generation,
    tags: Noted,
    // Dropped after `Drop::drop`: who is woken by the closed channel finds the flight gone.
    outcome: watch::Sender<Option<O>>,
}

#[derive(Debug, Default)]
struct Shard {
    /// By this process.
    made: Invalidations,
    heard: Invalidations,
    flights: HashMap<FlightKey, Flight>,
    /// Tells one flight of a key from the next.
    last_flight: u64,
}

#[derive(Debug, Default)]
struct Invalidations {
    count: u64,
    /// Whatever was noted before has been overtaken, of whatever key.
    overtaken_before: u64,
    /// The keys of the last ones, each at its number modulo [`RECENT`].
    recent: [Hash; RECENT],
    /// When they were, and when the last one of all keys was, in tenths of a second.
    times: [u32; RECENT],
    overtaken_at: Option<u32>,
}

/// Of a key's identity. Keys with one hash cost each other a fill, never a wrong value.
type Hash = u64;

/// A key, and what is loaded for it: two callers who want different types share nothing.
type FlightKey = (Arc<str>, TypeId);

#[derive(Debug)]
struct Flight {
    number: u64,
    tags: Noted,
    hash: Hash,
    /// A `watch::Receiver<Option<O>>`.
    outcome: Box<dyn Any + Send>,
}

impl Fences {
    pub(crate) fn new(identities: Identities) -> Fences {
        Fences {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            identities,
            begun: Instant::now(),
        }
    }

    /// Whether this process has invalidated the key so short a time ago, as far as it remembers.
    pub(crate) fn was_invalidated(&self, key: &str, within: Duration) -> bool {
        let since = self.now().saturating_sub(tenths(within));
        let hash = self.hash(key);
        self.shard(hash).made.was(hash, since)
    }

    /// The generation to note before a value of this key is read.
    pub(crate) fn generation(&self, key: &str) -> Generation {
        self.shard(self.hash(key)).generation()
    }

    /// Whether this process has invalidated all keys since, or many by a pattern.
    pub(crate) fn is_swept(&self, key: &str, noted: Generation) -> bool {
        let shard = self.shard(self.hash(key));
        noted.made < shard.made.overtaken_before
    }

    /// Whether this process has invalidated the key since.
    pub(crate) fn is_overtaken(&self, key: &str, noted: Generation) -> bool {
        let hash = self.hash(key);
        self.shard(hash).made.have(hash, noted.made)
    }

    /// Stores by `fill` unless the key has been invalidated since.
    pub(crate) fn fill(
        &self,
        key: &str,
        noted: Generation,
        source: Source,
        fill: impl FnOnce(),
    ) -> bool {
        let hash = self.hash(key);
        let shard = self.shard(hash);
        let is_current = !shard.is_overtaken(hash, noted, source);
        if is_current {
            fill();
        }
        drop(shard);
        is_current
    }

    /// Overtakes all reads and loads of this key that have begun, and takes its entry away by
    /// `forget`. Answers the generation that begins.
    pub(crate) fn invalidate(&self, key: &str, forget: impl FnOnce()) -> Generation {
        let hash = self.hash(key);
        let now = self.now();
        let mut shard = self.shard(hash);
        let overtaken = shard.invalidate(hash, now);
        forget();
        let generation = shard.generation();
        drop(shard);
        drop(overtaken);
        generation
    }

    /// Overtakes the reads that have begun of the key with this identity, and takes its entry away by
    /// `forget`.
    pub(crate) fn hear(&self, identity: &str, forget: impl FnOnce()) {
        let hash = xxh3_64(identity.as_bytes());
        let mut shard = self.shard(hash);
        shard.heard.note(hash, 0);
        forget();
    }

    /// Overtakes all reads that have begun. Entries must be taken away afterwards.
    pub(crate) fn hear_of_all(&self) {
        for shard in &self.shards {
            lock(shard).heard.note_all(0);
        }
    }

    /// Ends a write: overtakes all reads and loads that have begun during it, and takes away by `forget` what
    /// they have stored; then stores by `fill`, unless something else has invalidated the key since.
    pub(crate) fn settle(
        &self,
        key: &str,
        noted: Generation,
        forget: impl FnOnce(),
        fill: impl FnOnce(),
    ) -> bool {
        let (hash, now) = (self.hash(key), self.now());
        let mut shard = self.shard(hash);
        let is_current = !shard.is_overtaken(hash, noted, Source::Redis);
        let overtaken = shard.invalidate(hash, now);
        forget();
        if is_current {
            fill();
        }
        drop(shard);
        drop(overtaken);
        is_current
    }

    /// Overtakes all reads and loads that have begun, of whatever key. Entries must be taken away
    /// afterwards.
    pub(crate) fn invalidate_all(&self) {
        let now = self.now();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.made.note_all(now);
            let overtaken = std::mem::take(&mut shard.flights);
            drop(shard);
            drop(overtaken);
        }
    }

    /// Joins the load of a key, or begins it, with these tags. One whose tags have been invalidated cannot
    /// be joined.
    pub(crate) fn join<O: Send + Sync + 'static>(
        self: &Arc<Fences>,
        key: &Arc<str>,
        tags: Noted,
    ) -> Role<O> {
        let flight: FlightKey = (Arc::clone(key), TypeId::of::<O>());
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let generation = shard.generation();
        let running = shard
            .flights
            .get(&flight)
            .filter(|it| it.tags.are_current())
            .and_then(|it| it.outcome.downcast_ref::<watch::Receiver<Option<O>>>());
        if let Some(outcome) = running {
            return Role::Follow(outcome.clone());
        }
        let (outcome, receiver) = watch::channel(None);
        shard.last_flight += 1;
        let number = shard.last_flight;
        let entry = Flight {
            number,
            tags: tags.clone(),
            hash,
            outcome: Box::new(receiver),
        };
        let overtaken = shard.flights.insert(flight.clone(), entry);
        drop(shard);
        drop(overtaken);
        Role::Lead(Leader {
            fences: Arc::clone(self),
            flight,
            number,
            generation,
            tags,
            outcome,
        })
    }

    fn now(&self) -> u32 {
        tenths(self.begun.elapsed())
    }

    fn hash(&self, key: &str) -> Hash {
        xxh3_64(self.identities.of(key).as_bytes())
    }

    fn shard(&self, hash: Hash) -> MutexGuard<'_, Shard> {
        let at = hash % SHARDS as u64;
        lock(&self.shards[usize::try_from(at).unwrap_or(0)])
    }
}

impl Shard {
    fn generation(&self) -> Generation {
        Generation {
            made: self.made.count,
            heard: self.heard.count,
        }
    }

    fn is_overtaken(&self, hash: Hash, noted: Generation, source: Source) -> bool {
        self.made.have(hash, noted.made)
            || match source {
                Source::Redis => self.heard.have(hash, noted.heard),
                Source::Load => self.heard.name(hash, noted.heard),
            }
    }

    /// Counts an invalidation. Answers the flights that cannot be joined any more; they go on for
    /// those who wait for them already.
    fn invalidate(&mut self, hash: Hash, now: u32) -> Vec<Flight> {
        self.made.note(hash, now);
        let overtaken = self.flights.extract_if(|_, it| it.hash == hash);
        overtaken.map(|(_, flight)| flight).collect()
    }
}

impl Invalidations {
    fn note(&mut self, hash: Hash, now: u32) {
        self.count += 1;
        let place = Invalidations::place(self.count);
        self.recent[place] = hash;
        self.times[place] = now;
    }

    fn note_all(&mut self, now: u32) {
        self.note(0, now);
        self.overtaken_before = self.count;
        self.overtaken_at = Some(now);
    }

    /// Whether that of a key was at this time or later.
    fn was(&self, hash: Hash, since: u32) -> bool {
        let count = usize::try_from(self.count).unwrap_or(RECENT).min(RECENT);
        let places = (0..RECENT).filter(|it| count == RECENT || (1..=count).contains(it));
        self.overtaken_at.is_some_and(|at| at >= since)
            || places
                .into_iter()
                .any(|it| self.recent[it] == hash && self.times[it] >= since)
    }

    /// Whether that of a key is, or may be, among those after so many.
    fn have(&self, hash: Hash, noted: u64) -> bool {
        noted < self.overtaken_before || self.name(hash, noted)
    }

    /// The same, where those of all keys count for none.
    fn name(&self, hash: Hash, noted: u64) -> bool {
        self.count - noted > RECENT as u64
            || (noted + 1..=self.count).any(|it| self.recent[Invalidations::place(it)] == hash)
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % RECENT as u64).unwrap_or(0)
    }
}

impl<O> Leader<O> {
    /// The generation in which the load began.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// The tags of what it loads, as they were then.
    pub(crate) fn tags(&self) -> &Noted {
        &self.tags
    }

    /// Waits for what it finds, like those who join.
    pub(crate) fn wait(&self) -> watch::Receiver<Option<O>> {
        self.outcome.subscribe()
    }

    /// Gives the outcome to all who wait, and to all who join until this is dropped.
    pub(crate) fn publish(&self, outcome: O) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl<O> Drop for Leader<O> {
    fn drop(&mut self) {
        let mut shard = self.fences.shard(self.fences.hash(&self.flight.0));
        // A later one may have begun after an invalidation.
        if let Entry::Occupied(entry) = shard.flights.entry(self.flight.clone())
            && entry.get().number == self.number
        {
            entry.remove();
        }
    }
}

/// Enough for thirteen years.
fn tenths(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX)
}

/// Nothing that can panic runs under the lock but a removal from the first tier, and no state is half
/// changed there.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fences() -> Fences {
        Fences::new(Identities::new("test"))
    }

    fn lead(fences: &Arc<Fences>, key: &Arc<str>) -> Leader<u32> {
        match fences.join(key, Noted::default()) {
            Role::Lead(leader) => leader,
            Role::Follow(_) => panic!("somebody leads already"),
        }
    }

    fn follow(fences: &Arc<Fences>, key: &Arc<str>) -> watch::Receiver<Option<u32>> {
        match fences.join(key, Noted::default()) {
            Role::Lead(_) => panic!("nobody leads"),
            Role::Follow(receiver) => receiver,
        }
    }

    #[test]
    fn a_fill_after_an_invalidation_is_refused() {
        let fences = fences();
        let noted = fences.generation("k");
        assert!(fences.fill("k", noted, Source::Redis, || ()));
        fences.invalidate("k", || ());
        assert!(!fences.fill("k", noted, Source::Redis, || panic!("stored")));

        let noted = fences.generation("k");
        fences.invalidate_all();
        assert!(!fences.fill("k", noted, Source::Redis, || panic!("stored")));
    }

    #[test]
    fn what_is_heard_of_overtakes_reads_and_no_loads() {
        let fences = Arc::new(fences());
        let key: Arc<str> = "k".into();
        let noted = fences.generation(&key);
        let leader = lead(&fences, &key);
        fences.hear("other", || ());
        assert!(fences.fill(&key, noted, Source::Redis, || ()));
        for is_of_all in [false, true] {
            let noted = fences.generation(&key);
            match is_of_all {
                true => fences.hear_of_all(),
                false => fences.hear("k", || ()),
            }
            assert!(!fences.fill(&key, noted, Source::Redis, || panic!("stored")));
            assert!(!fences.is_overtaken(&key, leader.generation()));
            assert_eq!(fences.fill(&key, noted, Source::Load, || ()), is_of_all);
        }
        leader.publish(1);
        assert_eq!(*follow(&fences, &key).borrow(), Some(1));
    }

    #[test]
    fn a_write_overtakes_what_began_during_it_and_only_the_last_write_stores() {
        let fences = fences();
        let first = fences.invalidate("k", || ());
        let second = fences.invalidate("k", || ());
        let read = fences.generation("k");
        let mut forgotten = 0;
        assert!(fences.settle("k", second, || forgotten += 1, || ()));
        assert!(!fences.settle("k", first, || forgotten += 1, || panic!("stored")));
        assert_eq!(forgotten, 2);
        assert!(!fences.fill("k", read, Source::Redis, || panic!("stored")));
    }

    #[test]
    fn one_leads_until_it_is_gone() {
        let fences = Arc::new(fences());
        let key: Arc<str> = "k".into();
        let leader = lead(&fences, &key);
        let waiting = follow(&fences, &key);
        drop(leader);
        assert!(waiting.has_changed().is_err(), "the channel is closed");
        let leader = lead(&fences, &key);
        leader.publish(7);
        assert_eq!(*follow(&fences, &key).borrow(), Some(7));
        assert!(
            matches!(fences.join::<u64>(&key, Noted::default()), Role::Lead(_)),
            "another type"
        );
    }

    #[test]
    fn who_comes_after_an_invalidation_does_not_join_an_older_load() {
        let fences = Arc::new(fences());
        let key: Arc<str> = "k".into();
        let older = lead(&fences, &key);
        fences.invalidate(&key, || ());
        let newer = lead(&fences, &key);
        drop(older);
        newer.publish(2);
        assert_eq!(*follow(&fences, &key).borrow(), Some(2));
        drop(newer);
        assert!(fences.shard(fences.hash(&key)).flights.is_empty());
    }

    /// A key of the same shard.
    fn neighbour(fences: &Fences, key: &str, nth: usize) -> String {
        let shard = fences.hash(key) % SHARDS as u64;
        let names = (0..).map(|n| format!("n{n}"));
        let mut neighbours = names.filter(|it| fences.hash(it) % SHARDS as u64 == shard);
        neighbours.nth(nth).unwrap()
    }

    #[test]
    fn neighbours_do_not_overtake_each_other_unless_there_are_very_many() {
        let fences = Arc::new(fences());
        let key: Arc<str> = "k".into();
        let noted = fences.generation(&key);
        let leader = lead(&fences, &key);
        for nth in 0..RECENT {
            let neighbour = neighbour(&fences, &key, nth);
            fences.invalidate(&neighbour, || ());
            assert!(
                fences.fill(&key, noted, Source::Redis, || ()),
                "after {nth}"
            );
        }
        leader.publish(1);
        assert_eq!(*follow(&fences, &key).borrow(), Some(1));
        fences.invalidate("k", || ());
        assert!(fences.is_overtaken(&key, noted));

        let noted = fences.generation(&key);
        for _ in 0..=RECENT {
            fences.invalidate(&neighbour(&fences, &key, 0), || ());
        }
        assert!(!fences.fill(&key, noted, Source::Redis, || panic!("nobody knows which")));
    }
}
