//! Invalidations that have not reached Redis yet.
//!
//! A key, tag or pattern is marked before Redis is told and settled when Redis has answered. As long as it
//! is marked, its values go around Redis: what stands there may be old. Who marked it tells Redis; what
//! they let go of untold is delivered in the background. Its number is bounded; when there is too
//! much, all of Redis is gone around until the epoch has been raised.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crate::glob;

/// The most keys and the most tags that are remembered when nobody tells Redis of them, some 100 bytes each.
const MAX_KEYS: usize = 20_000;
/// The most patterns: each is tried on each key that is read.
const MAX_PATTERNS: usize = 64;
/// The most keys or tags that are delivered at once.
const BATCH: usize = 500;
/// Of work.
const KINDS: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// How much is marked, so that a read costs no lock while nothing is.
    marked: AtomicUsize,
    state: Mutex<State>,
}

/// Tells one mark of a key from a later one, which a settlement of the first must not take away.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mark(u64);

/// What to deliver.
#[derive(Debug)]
pub(crate) enum Work {
    Keys(Vec<(Arc<str>, Mark)>),
    Tags(Vec<(Arc<str>, Mark)>),
    Pattern(Arc<str>, Mark),
    /// The epoch.
    Everything(Mark),
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Arc<str>, Mark>,
    tags: HashMap<Arc<str>, Mark>,
    patterns: BTreeMap<Mark, Arc<str>>,
    everything: Option<Mark>,
    last: u64,
    /// The marks whose makers are still at it. What they tell Redis themselves must not be delivered
    /// as well: that could take away what they have written by then, and would never end under load.
    held: HashSet<Mark>,
    /// Somebody gave up telling Redis.
    due: bool,
    delivering: bool,
}

impl Pending {
    /// Marks keys, until the mark is let go of.
    pub(crate) fn mark(&self, keys: &[Arc<str>]) -> Mark {
        self.change(|state| {
            let mark = state.hold_next_mark();
            let marked = keys.iter().map(|key| (Arc::clone(key), mark));
            state.keys.extend(marked);
            mark
        })
    }

    /// Marks the values of tags, until the mark is let go of.
    pub(crate) fn mark_tags(&self, tags: &[Arc<str>]) -> Mark {
        self.change(|state| {
            let mark = state.hold_next_mark();
            let marked = tags.iter().map(|tag| (Arc::clone(tag), mark));
            state.tags.extend(marked);
            mark
        })
    }

    /// Marks all values, until the mark is let go of.
    pub(crate) fn mark_everything(&self) -> Mark {
        self.change(|state| {
            let mark = state.hold_next_mark();
            state.everything = Some(mark);
            mark
        })
    }

    /// Marks all keys that a pattern matches, until the mark is let go of.
    pub(crate) fn mark_matching(&self, pattern: &str) -> Mark {
        self.change(|state| {
            let mark = state.hold_next_mark();
            state.patterns.insert(mark, pattern.into());
            mark
        })
    }

    /// Takes a mark off a key: Redis has been told.
    pub(crate) fn settle(&self, key: &str, mark: Mark) {
        self.change(|state| {
            if state.keys.get(key) == Some(&mark) {
                state.keys.remove(key);
            }
        });
    }

    /// Takes a mark off a tag.
    pub(crate) fn settle_tag(&self, tag: &str, mark: Mark) {
        self.change(|state| {
            if state.tags.get(tag) == Some(&mark) {
                state.tags.remove(tag);
            }
        });
    }

    /// Takes a mark off what a pattern matches.
    pub(crate) fn settle_matching(&self, mark: Mark) {
        self.change(|state| state.patterns.remove(&mark));
    }

    /// Takes back that too much was marked.
    pub(crate) fn settle_everything(&self, mark: Mark) {
        self.change(|state| {
            if state.everything == Some(mark) {
                state.everything = None;
            }
        });
    }

    /// Whether a key's mark is still this one: nobody has invalidated it since.
    pub(crate) fn is_marked(&self, key: &str, mark: Mark) -> bool {
        self.state().keys.get(key) == Some(&mark)
    }

    /// Whether the key must go around Redis.
    pub(crate) fn covers(&self, key: &str) -> bool {
        if self.marked.load(SeqCst) == 0 {
            return false;
        }
        let state = self.state();
        state.everything.is_some()
            || state.keys.contains_key(key)
            || state.patterns.values().any(|it| glob::matches(it, key))
    }

    /// Whether values with one of these tags must go around Redis.
    pub(crate) fn covers_tags<'a>(&self, mut tags: impl Iterator<Item = &'a str>) -> bool {
        self.marked.load(SeqCst) > 0 && {
            let state = self.state();
            state.everything.is_some()
                || (!state.tags.is_empty() && tags.any(|it| state.tags.contains_key(it)))
        }
    }

    /// Ends the work of who has marked something. What Redis has not been told of must be delivered by
    /// somebody else.
    pub(crate) fn let_go(&self, mark: Mark, told: bool) {
        self.change(|state| {
            state.held.remove(&mark);
            if !told {
                state.due = true;
                state.bound();
            }
        });
    }

    /// Whether somebody has to begin delivering: the caller, if so.
    pub(crate) fn begin_delivery(&self) -> bool {
        if self.marked.load(SeqCst) == 0 {
            return false;
        }
        let mut state = self.state();
        let begins = state.due && !state.delivering;
        state.delivering |= begins;
        begins
    }

    /// What to deliver next; `None` ends the delivery. After failures it is something else each time, if there is
    /// something else: what cannot be delivered is nobody's obstacle.
    pub(crate) fn next_work(&self, failures: usize) -> Option<Work> {
        let mut state = self.state();
        for kind in 0..KINDS {
            let work = state.work((kind + failures) % KINDS, failures);
            if work.is_some() {
                return work;
            }
        }
        state.due = false;
        state.delivering = false;
        None
    }

    /// The delivery ends before all that is due is delivered.
    pub(crate) fn abandon_delivery(&self) {
        self.state().delivering = false;
    }

    /// How many keys, tags and patterns are marked; everything counts as one.
    pub(crate) fn len(&self) -> usize {
        self.marked.load(SeqCst)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        let marked = state.keys.len()
            + state.tags.len()
            + state.patterns.len()
            + usize::from(state.everything.is_some());
        self.marked.store(marked, SeqCst);
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_mark(&mut self) -> Mark {
        self.last += 1;
        Mark(self.last)
    }

    fn hold_next_mark(&mut self) -> Mark {
        let mark = self.next_mark();
        self.held.insert(mark);
        mark
    }

    /// What is due of a kind.
    fn work(&self, kind: usize, failures: usize) -> Option<Work> {
        match kind {
            0 => {
                let mark = self.everything.filter(|it| !self.held.contains(it))?;
                Some(Work::Everything(mark))
            }
            1 => {
                let due: Vec<_> = self.due_patterns().collect();
                let (mark, pattern) = *due.get(failures % due.len().max(1))?;
                Some(Work::Pattern(Arc::clone(pattern), *mark))
            }
            2 => self.batch(&self.tags, failures).map(Work::Tags),
            _ => self.batch(&self.keys, failures).map(Work::Keys),
        }
    }

    fn batch(
        &self,
        marked: &HashMap<Arc<str>, Mark>,
        failures: usize,
    ) -> Option<Vec<(Arc<str>, Mark)>> {
        let due: Vec<_> = self.due(marked).collect();
        let from = failures.wrapping_mul(BATCH) % due.len().max(1);
        let batch = due.iter().cycle().skip(from).take(BATCH.min(due.len()));
        let batch: Vec<_> = batch
            .map(|(name, mark)| (Arc::clone(name), **mark))
            .collect();
        (!batch.is_empty()).then_some(batch)
    }

    /// Those of keys or tags.
    fn due<'a>(
        &'a self,
        marked: &'a HashMap<Arc<str>, Mark>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Mark)> {
        marked.iter().filter(|(_, it)| !self.held.contains(it))
    }

    fn due_patterns(&self) -> impl Iterator<Item = (&Mark, &Arc<str>)> {
        let patterns = self.patterns.iter();
        patterns.filter(|(it, _)| !self.held.contains(it))
    }

    /// Counts what is due only where there is too much in all.
    fn bound(&mut self) {
        let too_many_of = |marked| self.due(marked).take(MAX_KEYS + 1).count() > MAX_KEYS;
        let too_many = (self.keys.len() > MAX_KEYS && too_many_of(&self.keys))
            || (self.tags.len() > MAX_KEYS && too_many_of(&self.tags))
            || (self.patterns.len() > MAX_PATTERNS && self.due_patterns().count() > MAX_PATTERNS);
        if too_many {
            self.give_up_details();
        }
    }

    fn give_up_details(&mut self) {
        if self.everything.is_none() {
            tracing::warn!(
                keys = self.keys.len(),
                tags = self.tags.len(),
                patterns = self.patterns.len(),
                "too many invalidations wait for redis: the epoch will be raised, and all values fall"
            );
        }
        self.keys.clear();
        self.tags.clear();
        self.patterns.clear();
        self.everything = Some(self.next_mark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|&it| it.into()).collect()
    }

    #[test]
    fn a_key_is_covered_from_its_mark_to_its_settlement() {
        let pending = Pending::default();
        let mark = pending.mark(&keys(&["a", "b"]));
        assert!(pending.covers("a") && pending.covers("b") && !pending.covers("c"));
        pending.settle("a", mark);
        assert!(!pending.covers("a") && pending.covers("b"));
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn a_settlement_leaves_a_later_mark() {
        let pending = Pending::default();
        let first = pending.mark(&keys(&["a"]));
        let second = pending.mark(&keys(&["a"]));
        pending.settle("a", first);
        assert!(pending.covers("a"));
        pending.settle("a", second);
        assert!(!pending.covers("a"));
    }

    #[test]
    fn a_pattern_covers_what_it_matches() {
        let pending = Pending::default();
        let mark = pending.mark_matching("user:*");
        assert!(pending.covers("user:1") && !pending.covers("users:1"));
        pending.settle_matching(mark);
        assert!(!pending.covers("user:1"));
    }

    #[test]
    fn a_tag_covers_the_values_that_have_it() {
        let pending = Pending::default();
        let mark = pending.mark_tags(&keys(&["a", "b"]));
        assert!(pending.covers_tags(["c", "a"].into_iter()));
        assert!(!pending.covers_tags(["c"].into_iter()) && !pending.covers("a"));
        pending.settle_tag("a", mark);
        pending.let_go(mark, false);
        assert!(pending.begin_delivery());
        assert!(
            matches!(pending.next_work(0), Some(Work::Tags(tags)) if tags == [("b".into(), mark)])
        );
        pending.settle_tag("b", mark);
        assert!(pending.next_work(0).is_none());
    }

    #[test]
    fn everything_is_delivered_when_who_marked_it_has_let_go() {
        let pending = Pending::default();
        let mark = pending.mark_everything();
        assert!(pending.covers("a"));
        assert!(pending.next_work(0).is_none());
        pending.let_go(mark, false);
        assert!(pending.begin_delivery());
        assert!(matches!(pending.next_work(0), Some(Work::Everything(it)) if it == mark));
        pending.settle_everything(mark);
        assert!(!pending.covers("a") && pending.next_work(0).is_none());
    }

    #[test]
    fn too_many_marks_cover_everything() {
        let pending = Pending::default();
        let many: Vec<Arc<str>> = (0..MAX_KEYS).map(|n| n.to_string().into()).collect();
        let many = pending.mark(&many);
        let one_more = pending.mark(&keys(&["one more"]));
        pending.let_go(one_more, false);
        assert!(!pending.covers("other"), "who marked them is still at it");
        pending.let_go(many, false);
        assert!(pending.covers("other") && pending.covers("one more"));
        assert_eq!(pending.len(), 1);

        assert!(pending.begin_delivery());
        let Some(Work::Everything(mark)) = pending.next_work(0) else {
            panic!("the epoch is not raised");
        };
        pending.settle_everything(mark);
        assert!(pending.next_work(0).is_none());
        assert!(!pending.covers("other"));

        for n in 0..=MAX_PATTERNS {
            let mark = pending.mark_matching(&format!("{n}:*"));
            assert!(!pending.covers("other"));
            pending.let_go(mark, false);
        }
        assert!(pending.covers("other"));
    }

    #[test]
    fn one_delivers_what_is_due_until_nothing_is_left() {
        let pending = Pending::default();
        let mark = pending.mark(&keys(&["a"]));
        assert!(!pending.begin_delivery(), "who marked it is still at it");
        pending.let_go(mark, false);
        assert!(pending.begin_delivery());
        assert!(!pending.begin_delivery(), "somebody delivers");
        pending.abandon_delivery();
        assert!(pending.begin_delivery(), "somebody else goes on");
        assert!(matches!(pending.next_work(0), Some(Work::Keys(keys)) if keys.len() == 1));
        pending.settle("a", mark);
        assert!(pending.next_work(0).is_none());
        assert!(!pending.begin_delivery());
    }

    #[test]
    fn what_cannot_be_delivered_holds_up_nothing_else() {
        let pending = Pending::default();
        let names: Vec<Arc<str>> = (0..3 * BATCH).map(|n| n.to_string().into()).collect();
        for mark in [
            pending.mark(&names),
            pending.mark_tags(&names),
            pending.mark_matching("a*"),
            pending.mark_matching("b*"),
        ] {
            pending.let_go(mark, false);
        }
        let (mut keys, mut patterns) = (HashSet::new(), HashSet::new());
        for failures in 0..40 {
            match pending.next_work(failures).unwrap() {
                Work::Keys(batch) => keys.extend(batch.into_iter().map(|(key, _)| key)),
                Work::Pattern(pattern, _) => drop(patterns.insert(pattern)),
                Work::Tags(_) | Work::Everything(_) => {}
            }
        }
        assert_eq!((keys.len(), patterns.len()), (3 * BATCH, 2));
    }

    #[test]
    fn what_somebody_is_still_at_is_not_delivered() {
        let pending = Pending::default();
        let due = pending.mark(&keys(&["due", "again"]));
        pending.let_go(due, false);
        let held = pending.mark(&keys(&["held", "again"]));
        let pattern = pending.mark_matching("user:*");
        assert!(pending.begin_delivery());
        assert!(
            matches!(pending.next_work(0), Some(Work::Keys(keys)) if keys == [("due".into(), due)])
        );
        pending.settle("due", due);
        assert!(pending.next_work(0).is_none());
        for key in ["held", "again", "user:1"] {
            assert!(pending.covers(key), "{key}");
        }
        pending.let_go(pattern, true);
        pending.let_go(held, false);
        assert!(pending.begin_delivery());
    }
}
