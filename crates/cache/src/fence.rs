//! What keeps a value that has been overtaken out of the first tier, and who loads a key.
//!
//! Each key belongs to one of [`SHARDS`] shards, which has a generation. An invalidation raises it and
//! takes the entry away under the shard's lock; a fill, under the same lock, stores only if the
//! generation is the one that was noted before the value was read or its load began. Keys that share
//! a shard cost each other a fill now and then, never a wrong value.
//!
//! A flight is one load of one key. It can be joined as long as its generation is the shard's:
//! whoever comes after an invalidation starts another one.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

const SHARDS: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Fences {
    shards: Box<[Mutex<Shard>]>,
}

/// A state of a shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Generation(u64);

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
    generation: Generation,
    // Dropped after `Drop::drop`: who is woken by the closed channel finds the flight gone.
    outcome: watch::Sender<Option<O>>,
}

#[derive(Debug, Default)]
struct Shard {
    generation: u64,
    flights: HashMap<FlightKey, Flight>,
}

/// A key, and what is loaded for it: two callers who want different types share nothing.
type FlightKey = (Arc<str>, TypeId);

#[derive(Debug)]
struct Flight {
    generation: Generation,
    /// A `watch::Receiver<Option<O>>`.
    outcome: Box<dyn Any + Send>,
}

impl Fences {
    pub(crate) fn new() -> Fences {
        Fences {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The generation to note before a value of this key is read.
    pub(crate) fn generation(&self, key: &str) -> Generation {
        Generation(self.shard(key).generation)
    }

    /// Stores by `fill` unless the key has been invalidated since.
    pub(crate) fn fill(&self, key: &str, noted: Generation, fill: impl FnOnce()) -> bool {
        let shard = self.shard(key);
        let current = Generation(shard.generation) == noted;
        if current {
            fill();
        }
        drop(shard);
        current
    }

    /// Overtakes all reads and loads of this key that have begun, and takes its entry away by
    /// `forget`. Answers the generation that begins.
    pub(crate) fn invalidate(&self, key: &str, forget: impl FnOnce()) -> Generation {
        let mut shard = self.shard(key);
        shard.generation += 1;
        forget();
        Generation(shard.generation)
    }

    /// Ends a write: overtakes all reads and loads that have begun during it, and stores by `fill`
    /// unless something else has invalidated the key since.
    pub(crate) fn settle(&self, key: &str, noted: Generation, fill: impl FnOnce()) -> bool {
        let mut shard = self.shard(key);
        let current = Generation(shard.generation) == noted;
        shard.generation += 1;
        if current {
            fill();
        }
        current
    }

    /// Overtakes all reads and loads that have begun, of whatever key. Entries must be taken away
    /// afterwards.
    pub(crate) fn invalidate_all(&self) {
        for shard in &self.shards {
            lock(shard).generation += 1;
        }
    }

    /// Joins the load of a key, or begins it.
    pub(crate) fn join<O: Send + Sync + 'static>(self: &Arc<Fences>, key: &Arc<str>) -> Role<O> {
        let flight: FlightKey = (Arc::clone(key), TypeId::of::<O>());
        let mut shard = self.shard(key);
        let generation = Generation(shard.generation);
        let running = shard
            .flights
            .get(&flight)
            .filter(|it| it.generation == generation)
            .and_then(|it| it.outcome.downcast_ref::<watch::Receiver<Option<O>>>());
        if let Some(outcome) = running {
            return Role::Follow(outcome.clone());
        }
        let (outcome, receiver) = watch::channel(None);
        let entry = Flight {
            generation,
            outcome: Box::new(receiver),
        };
        // An older flight goes on for those who wait for it already.
        let overtaken = shard.flights.insert(flight.clone(), entry);
        drop(shard);
        drop(overtaken);
        Role::Lead(Leader {
            fences: Arc::clone(self),
            flight,
            generation,
            outcome,
        })
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let at = xxh3_64(key.as_bytes()) % SHARDS as u64;
        lock(&self.shards[usize::try_from(at).unwrap_or(0)])
    }
}

impl<O> Leader<O> {
    /// The generation in which the load began.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Gives the outcome to all who wait, and to all who join until this is dropped.
    pub(crate) fn publish(&self, outcome: O) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl<O> Drop for Leader<O> {
    fn drop(&mut self) {
        let mut shard = self.fences.shard(&self.flight.0);
        // A generation has at most one flight of a key: a later one has another.
        if let Entry::Occupied(entry) = shard.flights.entry(self.flight.clone())
            && entry.get().generation == self.generation
        {
            entry.remove();
        }
    }
}

/// Nothing that can panic runs under the lock but a removal from the first tier, and no state is half
/// changed there.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(fences: &Arc<Fences>, key: &Arc<str>) -> Leader<u32> {
        match fences.join(key) {
            Role::Lead(leader) => leader,
            Role::Follow(_) => panic!("somebody leads already"),
        }
    }

    fn follow(fences: &Arc<Fences>, key: &Arc<str>) -> watch::Receiver<Option<u32>> {
        match fences.join(key) {
            Role::Lead(_) => panic!("nobody leads"),
            Role::Follow(receiver) => receiver,
        }
    }

    #[test]
    fn a_fill_after_an_invalidation_is_refused() {
        let fences = Fences::new();
        let noted = fences.generation("k");
        assert!(fences.fill("k", noted, || ()));
        fences.invalidate("k", || ());
        assert!(!fences.fill("k", noted, || panic!("stored")));

        let noted = fences.generation("k");
        fences.invalidate_all();
        assert!(!fences.fill("k", noted, || panic!("stored")));
    }

    #[test]
    fn a_write_overtakes_what_began_during_it_and_only_the_last_write_stores() {
        let fences = Fences::new();
        let first = fences.invalidate("k", || ());
        let second = fences.invalidate("k", || ());
        let read = fences.generation("k");
        assert!(fences.settle("k", second, || ()));
        assert!(!fences.settle("k", first, || panic!("stored")));
        assert!(!fences.fill("k", read, || panic!("stored")));
    }

    #[test]
    fn one_leads_until_it_is_gone() {
        let fences = Arc::new(Fences::new());
        let key: Arc<str> = "k".into();
        let leader = lead(&fences, &key);
        let waiting = follow(&fences, &key);
        drop(leader);
        assert!(waiting.has_changed().is_err(), "the channel is closed");
        let leader = lead(&fences, &key);
        leader.publish(7);
        assert_eq!(*follow(&fences, &key).borrow(), Some(7));
        assert!(
            matches!(fences.join::<u64>(&key), Role::Lead(_)),
            "another type"
        );
    }

    #[test]
    fn who_comes_after_an_invalidation_does_not_join_an_older_load() {
        let fences = Arc::new(Fences::new());
        let key: Arc<str> = "k".into();
        let older = lead(&fences, &key);
        fences.invalidate(&key, || ());
        let newer = lead(&fences, &key);
        drop(older);
        newer.publish(2);
        assert_eq!(*follow(&fences, &key).borrow(), Some(2));
        drop(newer);
        assert!(fences.shard(&key).flights.is_empty());
    }
}
