//! Tags: names by which the values of many keys fall at once, and nothing is scanned for it.
//!
//! Redis has a number for each tag, its generation, which an invalidation changes. A value carries the generation
//! that each of its tags had before it was loaded, and is right as long as they are the same. Whatever
//! happens to such a number, the next one is the time of the server in microseconds, so that no value comes
//! back to life. One tag has no name and is every value's: the epoch.
//!
//! A process remembers the generations that it has read: as long as Redis tells it of changes, and otherwise for
//! [`UNHEARD`]. It also counts, for each tag, the invalidations that it has made or heard of. A copy in
//! the first tier holds those counts, and is gone when one has changed; what was only heard of, such as a generation
//! that has been given more time, changes nothing once the generation has been read again and is the same.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::envelope::Stamps;

/// The most tags of one value.
pub const MAX_TAGS: usize = 32;
/// The longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 200;
/// What a table's tag begins with.
pub(crate) const TABLE: &str = "table:";
/// How long a generation is believed while Redis does not tell of changes.
pub(crate) const UNHEARD: Duration = Duration::from_secs(1);
/// After this many, those are forgotten that no value in the process has.
const MAX_REMEMBERED: usize = 262_144;

/// What this process knows of tags.
#[derive(Debug)]
pub(crate) struct Tags {
    epoch: Arc<Tag>,
    /// The generation of the epoch in which, or later, all values in the process were read and loaded.
    begun: AtomicU64,
    /// Generations could not be read, and are not asked for before.
    left_alone_until: Mutex<Option<Instant>>,
    named: RwLock<HashMap<Arc<str>, Arc<Tag>>>,
}

pub(crate) struct Tag {
    name: Arc<str>,
    /// Invalidations that this process has made, has heard of, or may have missed. Changes under the lock of
    /// `known` alone, like the next.
    version: AtomicU64,
    /// Those that it has made.
    made: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    generation: Option<Generation>,
    /// When somebody invalidated it, as far as this process knows.
    changed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Generation {
    number: u64,
    /// Until when it is believed, if that has an end.
    until: Option<Instant>,
}

/// Tags, each with its version at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted(Option<Arc<[Version]>>);

/// A tag at one moment.
#[derive(Debug)]
pub(crate) struct Version {
    tag: Arc<Tag>,
    version: AtomicU64,
    made: AtomicU64,
    /// That of then, once it is known; before that, zero.
    generation: AtomicU64,
}

/// What is known of a value by what it carries.
#[derive(Debug)]
pub(crate) enum Judged {
    Right(Noted),
    /// One of its tags has been invalidated since it was loaded.
    Overtaken,
    /// Some generation is not known.
    Unknown,
}

impl Default for Tags {
    fn default() -> Tags {
        Tags {
            epoch: Arc::new(Tag::new("".into())),
            begun: AtomicU64::new(0),
            left_alone_until: Mutex::default(),
            named: RwLock::default(),
        }
    }
}

impl Tags {
    /// The tag that every value has.
    pub(crate) fn epoch(&self) -> Version {
        Version::of(&self.epoch)
    }

    /// No value in the process is older than this generation of the epoch. Answers whether that is new.
    pub(crate) fn begin(&self, epoch: u64) -> bool {
        self.begun.swap(epoch, SeqCst) != epoch
    }

    pub(crate) fn is_left_alone(&self, now: Instant) -> bool {
        let until = self.left_alone_until.lock();
        until
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|it| now < it)
    }

    pub(crate) fn leave_alone(&self, until: Instant) {
        let mut before = self
            .left_alone_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *before = Some(until);
    }

    pub(crate) fn knows_epoch(&self) -> bool {
        self.epoch.known().generation(Instant::now()).is_some()
    }

    /// The generation of the epoch, if it is known.
    pub(crate) fn known_epoch(&self) -> Option<u64> {
        self.epoch().generation(Instant::now())
    }

    /// The tags of these names as they stand now.
    pub(crate) fn note<'a>(&self, names: impl ExactSizeIterator<Item = &'a str>) -> Noted {
        if names.len() == 0 {
            return Noted::default();
        }
        let versions = names.map(|name| Version::of(&self.tag(name)));
        Noted(Some(versions.collect()))
    }

    /// What is known of a value that carries these.
    pub(crate) fn judge(&self, stamps: Stamps<'_>, now: Instant) -> Judged {
        let mut is_known = true;
        let mut stands = |version: &Version, generation: u64| match version.generation(now) {
            Some(known) => known == generation,
            None => {
                is_known = false;
                true
            }
        };
        let epoch = self.epoch.known().generation(now);
        if epoch.is_some_and(|it| it != stamps.epoch()) {
            return Judged::Overtaken;
        }
        let mut versions = Vec::new();
        for (name, generation) in stamps.tags() {
            let version = Version::of(&self.tag(name));
            if !stands(&version, generation) {
                return Judged::Overtaken;
            }
            version.generation.store(generation, SeqCst);
            versions.push(version);
        }
        match is_known && epoch.is_some() {
            true => Judged::Right(Noted::of(versions)),
            false => Judged::Unknown,
        }
    }

    /// Those of the tags, and the epoch, whose generation is not known.
    pub(crate) fn unknown<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> Vec<Version> {
        let mut unknown: Vec<Version> = names
            .map(|name| Version::of(&self.tag(name)))
            .chain([self.epoch()])
            .filter(|it| it.generation(now).is_none())
            .collect();
        unknown.sort_unstable_by(|one, other| one.tag.name.cmp(&other.tag.name));
        unknown.dedup_by(|one, other| one.tag.name == other.tag.name);
        unknown
    }

    /// This process invalidates a tag. Answers it as it stands from then on.
    pub(crate) fn invalidate(&self, name: &str) -> Version {
        let tag = self.tag(name);
        tag.invalidate();
        Version::of(&tag)
    }

    /// Somebody has changed the generation of a tag. Answers whether it is the epoch.
    pub(crate) fn hear(&self, name: &str) -> bool {
        if name.is_empty() {
            self.epoch.overtake();
            return true;
        }
        // Nobody has read a generation of one that is not remembered.
        let tag = self.named().get(name).map(Arc::clone);
        if let Some(tag) = tag {
            tag.overtake();
        }
        false
    }

    /// Any tag may have been invalidated, and nobody has told of it.
    pub(crate) fn forget(&self) {
        self.epoch.overtake();
        for tag in self.named().values() {
            tag.overtake();
        }
    }

    /// Forgets the tags that nobody has, if there are too many. Answers whether there are still too many.
    pub(crate) fn bound(&self) -> bool {
        if self.named().len() <= MAX_REMEMBERED {
            return false;
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, tag| Arc::strong_count(tag) > 1);
        // So that this is not done again for each one that comes.
        named.len() > MAX_REMEMBERED / 2
    }

    fn tag(&self, name: &str) -> Arc<Tag> {
        if name.is_empty() {
            return Arc::clone(&self.epoch);
        }
        if let Some(tag) = self.named().get(name) {
            return Arc::clone(tag);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let name: Arc<str> = name.into();
        let tag = named
            .entry(Arc::clone(&name))
            .or_insert_with(|| Arc::new(Tag::new(name)));
        Arc::clone(tag)
    }

    fn named(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Arc<str>, Arc<Tag>>> {
        self.named.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tag {
    fn new(name: Arc<str>) -> Tag {
        Tag {
            name,
            version: AtomicU64::new(0),
            made: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// Somebody may have invalidated it; whether and when, its generation will tell.
    fn overtake(&self) {
        let mut known = self.known();
        known.generation = None;
        self.version.fetch_add(1, SeqCst);
    }

    /// This process invalidates it.
    fn invalidate(&self) {
        let mut known = self.known();
        known.generation = None;
        known.changed = Some(Instant::now());
        self.version.fetch_add(1, SeqCst);
        // Later: who sees this one sees the other.
        self.made.fetch_add(1, SeqCst);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn generation(&self, now: Instant) -> Option<u64> {
        let generation = self.generation?;
        let is_believed = generation.until.is_none_or(|it| now < it);
        is_believed.then_some(generation.number)
    }
}

impl Version {
    fn of(tag: &Arc<Tag>) -> Version {
        Version {
            // First: who sees an invalidation here sees it in the version, too.
            made: AtomicU64::new(tag.made.load(SeqCst)),
            version: AtomicU64::new(tag.version.load(SeqCst)),
            generation: AtomicU64::new(0),
            tag: Arc::clone(tag),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.tag.name
    }

    /// Notes the tag anew. Answers its generation, if it is known.
    fn renew(&self, now: Instant) -> Option<u64> {
        let known = self.tag.known();
        let generation = known.generation(now);
        self.made.store(self.tag.made.load(SeqCst), SeqCst);
        self.version.store(self.tag.version.load(SeqCst), SeqCst);
        self.generation.store(generation.unwrap_or(0), SeqCst);
        generation
    }

    /// The generation that the tag has had since then, if it is known.
    fn generation(&self, now: Instant) -> Option<u64> {
        let known = self.tag.known();
        known.generation(now).filter(|_| self.is_untouched())
    }

    /// Remembers what Redis has answered to a question that was asked later than this was noted, and how long ago
    /// the generation began.
    pub(crate) fn learn(&self, number: u64, age: Duration, until: Option<Instant>) {
        let now = Instant::now();
        let mut known = self.tag.known();
        // Answers can overtake each other, and generations only rise.
        let is_older = known.generation(now).is_some_and(|it| it > number);
        if !self.is_untouched() || is_older {
            return;
        }
        if known.generation.is_some_and(|it| it.number != number) {
            // Somebody has invalidated it, of which nobody has told.
            let version = self.tag.version.fetch_add(1, SeqCst) + 1;
            self.version.store(version, SeqCst);
        }
        known.generation = Some(Generation { number, until });
        known.changed = now.checked_sub(age).max(known.changed);
    }

    /// Whether nobody has invalidated the tag since, as far as this process knows.
    fn is_current(&self) -> bool {
        if self.is_untouched() {
            return true;
        }
        let (now, known) = (Instant::now(), self.tag.known());
        let generation = known.generation(now);
        let was = self.generation.load(SeqCst);
        let is_made_here = self.tag.made.load(SeqCst) != self.made.load(SeqCst);
        let is_same = !is_made_here && was > 0 && generation == Some(was);
        if is_same {
            self.version.store(self.tag.version.load(SeqCst), SeqCst);
        }
        is_same
    }

    fn is_untouched(&self) -> bool {
        self.tag.version.load(SeqCst) == self.version.load(SeqCst)
    }
}

impl Noted {
    fn of(versions: Vec<Version>) -> Noted {
        Noted((!versions.is_empty()).then(|| versions.into()))
    }

    /// Whether none has been invalidated since.
    pub(crate) fn are_current(&self) -> bool {
        self.iter().all(Version::is_current)
    }

    /// Notes the tags anew, for what begins now. Answers their generations, if all are known.
    pub(crate) fn renew(&self) -> Option<Vec<(&str, u64)>> {
        let now = Instant::now();
        // All of them, known or not.
        let renewed: Vec<_> = self.iter().map(|it| (it.name(), it.renew(now))).collect();
        let known = renewed.into_iter().map(|(name, it)| Some((name, it?)));
        known.collect()
    }

    /// Whether this process has invalidated one of them since.
    pub(crate) fn are_invalidated_here(&self) -> bool {
        self.iter()
            .any(|it| it.tag.made.load(SeqCst) != it.made.load(SeqCst))
    }

    /// Whether somebody is known to have invalidated one of them after `since`.
    pub(crate) fn have_changed(&self, since: Instant) -> bool {
        self.iter()
            .any(|it| it.tag.known().changed.is_some_and(|at| at > since))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What they take in memory, beside the tags themselves.
    pub(crate) fn size(&self) -> usize {
        self.iter().len() * size_of::<Version>()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Version> {
        self.0.as_deref().unwrap_or_default().iter()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tag").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::stamps;

    fn learn(version: &Version, number: u64) {
        version.learn(number, Duration::MAX, None);
    }

    fn is_right(tags: &Tags, generations: &[(&str, u64)]) -> Option<bool> {
        let bytes = stamps(1, generations.iter().copied());
        match tags.judge(Stamps::parse(&bytes).unwrap().0, Instant::now()) {
            Judged::Right(_) => Some(true),
            Judged::Overtaken => Some(false),
            Judged::Unknown => None,
        }
    }

    #[test]
    fn a_value_is_right_while_all_its_tags_have_the_generations_that_it_carries() {
        let tags = Tags::default();
        assert_eq!(is_right(&tags, &[("a", 7)]), None);
        learn(&tags.epoch(), 1);
        assert_eq!(is_right(&tags, &[]), Some(true));
        assert_eq!(is_right(&tags, &[("a", 7)]), None);
        learn(tags.note(["a"].into_iter()).iter().next().unwrap(), 7);
        assert_eq!(is_right(&tags, &[("a", 7)]), Some(true));
        assert_eq!(is_right(&tags, &[("a", 8)]), Some(false));
        assert_eq!(is_right(&tags, &[("a", 7), ("b", 1)]), None);
        assert_eq!(is_right(&tags, &[("b", 1), ("a", 8)]), Some(false));
        assert!(tags.hear(""));
        assert_eq!(is_right(&tags, &[]), None);
    }

    #[test]
    fn what_was_asked_before_an_invalidation_is_not_believed_after_it() {
        let tags = Tags::default();
        for overtake in [
            |tags: &Tags| drop(tags.invalidate("a")),
            |tags: &Tags| assert!(!tags.hear("a")),
            |tags: &Tags| tags.forget(),
        ] {
            let noted = tags.note(["a"].into_iter());
            let version = noted.iter().next().unwrap();
            learn(version, 7);
            assert_eq!(version.generation(Instant::now()), Some(7));
            overtake(&tags);
            assert!(!noted.are_current());
            learn(version, 7);
            assert_eq!(version.generation(Instant::now()), None);
            assert!(!noted.are_current());
            assert_eq!(tags.unknown(["a"].into_iter(), Instant::now()).len(), 2);
        }
    }

    #[test]
    fn what_was_heard_for_nothing_is_taken_back_and_what_was_made_here_is_not() {
        let tags = Tags::default();
        let noted = tags.note(["a"].into_iter());
        assert_eq!(noted.renew(), None);
        learn(noted.iter().next().unwrap(), 7);
        assert_eq!(noted.renew(), Some(vec![("a", 7)]));
        tags.hear("a");
        assert!(!noted.are_current());
        learn(tags.note(["a"].into_iter()).iter().next().unwrap(), 7);
        assert!(noted.are_current());
        tags.hear("a");
        learn(tags.note(["a"].into_iter()).iter().next().unwrap(), 8);
        assert!(!noted.are_current());

        assert_eq!(noted.renew(), Some(vec![("a", 8)]));
        tags.invalidate("a");
        // Redis has not been told yet.
        learn(tags.note(["a"].into_iter()).iter().next().unwrap(), 8);
        assert!(!noted.are_current());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_tells_of_is_believed_for_a_while_alone() {
        let tags = Tags::default();
        let version = tags.epoch();
        version.learn(7, Duration::MAX, Some(Instant::now() + UNHEARD));
        assert_eq!(version.generation(Instant::now()), Some(7));
        tokio::time::advance(UNHEARD).await;
        assert_eq!(version.generation(Instant::now()), None);
    }

    #[test]
    fn what_has_changed_unheard_takes_along_what_was_before() {
        let tags = Tags::default();
        let version = tags.epoch();
        learn(&version, 7);
        assert!(!tags.note([""].into_iter()).have_changed(Instant::now()));
        let noted = tags.note([""].into_iter());
        assert!(noted.renew().is_some() && noted.are_current());
        version.learn(8, Duration::ZERO, None);
        assert!(!noted.are_current());
        assert_eq!(tags.known_epoch(), Some(8));
        let before = Instant::now().checked_sub(Duration::from_millis(1));
        assert!(tags.note([""].into_iter()).have_changed(before.unwrap()));
    }

    #[test]
    fn tags_that_nobody_has_are_forgotten_when_there_are_many() {
        let tags = Tags::default();
        let kept: Vec<Noted> = (0..10)
            .map(|n| tags.note([&*format!("kept {n}")].into_iter()))
            .collect();
        for n in 0..=MAX_REMEMBERED {
            tags.invalidate(&n.to_string());
        }
        assert!(!tags.bound());
        assert_eq!(tags.named().len(), kept.len());
        for noted in &kept {
            let version = noted.iter().next().unwrap();
            tags.hear(version.name());
            assert!(!noted.are_current());
        }
    }
}
