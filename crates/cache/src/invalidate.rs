//! Taking values away, and telling a Redis that was away of it later.

use std::{cell::Cell, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{runtime::Handle, time::Instant};

use crate::{
    CacheManager, Error,
    breaker::jittered,
    glob,
    l2::{Generation, L2},
    manager::Inner,
    pending::{Mark, Work},
    policy::{is_tag, table_tag},
    tags::Version,
};

/// Keys or tags that Redis is told of at once.
const BATCH: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl CacheManager {
    /// Takes away the values of keys.
    ///
    /// When it returns, this process gives none of them any more, whatever loads and reads of them are
    /// under way. If Redis could not be told, it is told in the background, again and again until it
    /// answers; until then this process does not read these keys from it.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn delete(&self, keys: &[&str]) {
        let inner = &self.inner;
        let keys: Vec<Arc<str>> = keys.iter().map(|&it| it.into()).collect();
        let forget = |key: &Arc<str>| {
            inner.fences.invalidate(key, || inner.l1.remove(key));
        };
        let Some(l2) = &inner.l2 else {
            keys.iter().for_each(forget);
            return;
        };
        let marked = inner.mark(&keys);
        keys.iter().for_each(forget);
        for keys in keys.chunks(BATCH) {
            if l2.delete(keys, false).await.is_err() {
                return;
            }
            keys.iter()
                .for_each(|key| inner.pending.settle(key, marked.mark()));
        }
        marked.told();
    }

    /// Takes away the values of all keys that a pattern matches: `*` stands for any bytes, `?` for
    /// one, `[a-c]` for one of a set; `\` takes the next one as it is. Answers how many Redis had, or
    /// without Redis the process; zero when Redis could not be told yet, see
    /// [`delete`](CacheManager::delete).
    ///
    /// It reads the names of all keys of the Redis database twice, a hundred at a time. Keys of more than
    /// 200 bytes are told apart by their first 93 bytes: it may take away too many of them.
    ///
    /// # Errors
    ///
    /// When the pattern is nothing but `*`, which would take everything away: see
    /// [`clear`](CacheManager::clear).
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn delete_pattern(&self, pattern: &str) -> Result<u64, Error> {
        if !pattern.is_empty() && pattern.bytes().all(|it| it == b'*') {
            let pattern = pattern.to_owned();
            return Err(Error::MatchesEverything { pattern });
        }
        Ok(self.delete_matching(pattern).await)
    }

    /// Takes away the values that have one of these tags: see [`Policy::tags`](crate::Policy::tags). It costs a
    /// command, however many values there are; Redis keeps them until their time is up, and nobody reads them.
    /// For what happens when Redis cannot be told see [`delete`](CacheManager::delete).
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn invalidate_tags<S: AsRef<str>>(&self, tags: &[S]) {
        // No value has one that is out of bounds.
        let tags = tags.iter().map(AsRef::as_ref).filter(|it| is_tag(it));
        self.inner
            .invalidate_tags(tags.map(Arc::from).collect())
            .await;
    }

    /// Takes away the values that are read from one of these tables: see
    /// [`Policy::tables`](crate::Policy::tables). Called after the transaction has committed that has changed them;
    /// otherwise like [`invalidate_tags`](CacheManager::invalidate_tags).
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn invalidate_tables<S: AsRef<str>>(&self, tables: &[S]) {
        let tags = tables.iter().map(|it| table_tag(it.as_ref()));
        let tags = tags.filter(|it| is_tag(it)).map(Arc::from);
        self.inner.invalidate_tags(tags.collect()).await;
    }

    /// Takes all values away, with one command. Redis keeps them until their time is up, and nobody reads them.
    /// For what happens when Redis cannot be told see [`delete`](CacheManager::delete).
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn clear(&self) {
        let inner = &self.inner;
        let Some(l2) = &inner.l2 else {
            inner.forget_all();
            return;
        };
        let marked = inner.marked(inner.pending.mark_everything());
        let epoch = inner.tags.invalidate("");
        inner.forget_all();
        let until = inner.believed_until();
        if let Ok(generations) = l2.raise(&[""], false).await {
            learn_raised(&[epoch], &generations, until);
            inner.begin_epoch(&generations);
            inner.pending.settle_everything(marked.mark());
            marked.told();
        }
    }

    async fn delete_matching(&self, pattern: &str) -> u64 {
        let inner = &self.inner;
        let forget = || {
            inner.fences.invalidate_all();
            inner.l1.remove_all(|key| glob::matches(pattern, key))
        };
        let Some(l2) = &inner.l2 else {
            return forget();
        };
        let marked = inner.mark_matching(pattern);
        forget();
        match l2.unlink_matching(pattern, false).await {
            Ok(count) => {
                inner.pending.settle_matching(marked.mark());
                marked.told();
                count
            }
            Err(_) => 0,
        }
    }
}

/// Keys that are marked as pending while Redis is told. Dropped before it has been, it leaves that to
/// the background.
#[derive(Debug)]
pub(crate) struct Marked<'a> {
    inner: &'a Arc<Inner>,
    mark: Mark,
    told: Cell<bool>,
}

impl Marked<'_> {
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Redis has been told of all.
    pub(crate) fn told(&self) {
        self.told.set(true);
    }
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.inner.pending.let_go(self.mark, self.told.get());
        self.inner.deliver_what_is_due();
    }
}

impl Inner {
    async fn invalidate_tags(self: &Arc<Inner>, tags: Vec<Arc<str>>) {
        let invalidated = || -> Vec<Version> {
            let versions = tags.iter().map(|it| self.tags.invalidate(it));
            versions.collect()
        };
        let Some(l2) = &self.l2 else {
            invalidated();
            self.bound_tags();
            return;
        };
        let marked = self.marked(self.pending.mark_tags(&tags));
        let versions = invalidated();
        self.bound_tags();
        let chunks = tags.chunks(BATCH).zip(versions.chunks(BATCH));
        for (tags, versions) in chunks {
            let names: Vec<&str> = tags.iter().map(|it| &**it).collect();
            let until = self.believed_until();
            let Ok(generations) = l2.raise(&names, false).await else {
                return;
            };
            learn_raised(versions, &generations, until);
            tags.iter()
                .for_each(|it| self.pending.settle_tag(it, marked.mark()));
        }
        marked.told();
    }

    /// The epoch has been raised: somebody else may have raised it just before, of whom this process hears no more.
    fn begin_epoch(&self, generations: &[Generation]) {
        for epoch in generations {
            self.tags.begin(epoch.number);
        }
        self.forget_all();
    }

    /// Forgets all values, and overtakes whatever is on its way here.
    pub(crate) fn forget_all(&self) {
        self.fences.invalidate_all();
        self.l1.remove_all(|_| true);
    }

    pub(crate) fn mark(self: &Arc<Inner>, keys: &[Arc<str>]) -> Marked<'_> {
        self.marked(self.pending.mark(keys))
    }

    fn mark_matching(self: &Arc<Inner>, pattern: &str) -> Marked<'_> {
        self.marked(self.pending.mark_matching(pattern))
    }

    fn marked(self: &Arc<Inner>, mark: Mark) -> Marked<'_> {
        Marked {
            inner: self,
            mark,
            told: Cell::new(false),
        }
    }

    /// Starts to deliver in the background, if something is due and nobody delivers.
    pub(crate) fn deliver_what_is_due(self: &Arc<Inner>) {
        // Outside a runtime it is left to the next call inside one.
        if let Ok(runtime) = Handle::try_current()
            && self.l2.is_some()
            && self.pending.begin_delivery()
        {
            runtime.spawn(deliver(Delivery {
                inner: Arc::clone(self),
                is_over: false,
            }));
        }
    }

    /// Tells Redis what is next, or after so many failures something else. Answers whether there is more.
    async fn deliver_next(&self, l2: &L2, failures: usize) -> Result<bool, Error> {
        // One master that is away keeps no other from being told.
        match self.pending.next_work(failures) {
            None => return Ok(false),
            Some(Work::Keys(keys)) => {
                let deleting = keys.chunks(l2.per_script()).map(|keys| async move {
                    let names: Vec<&str> = keys.iter().map(|(key, _)| &**key).collect();
                    l2.delete(&names, true).await?;
                    keys.iter()
                        .for_each(|(key, mark)| self.pending.settle(key, *mark));
                    Ok::<_, Error>(())
                });
                first_error(join_all(deleting).await)?;
            }
            Some(Work::Tags(tags)) => {
                let raising = tags.chunks(l2.per_script()).map(|tags| async move {
                    let names: Vec<&str> = tags.iter().map(|(tag, _)| &**tag).collect();
                    l2.raise(&names, true).await?;
                    for (tag, mark) in tags {
                        // What was read of it meanwhile is old.
                        self.tags.invalidate(tag);
                        self.pending.settle_tag(tag, *mark);
                    }
                    Ok::<_, Error>(())
                });
                first_error(join_all(raising).await)?;
            }
            Some(Work::Pattern(pattern, mark)) => {
                l2.unlink_matching(&pattern, true).await?;
                self.pending.settle_matching(mark);
            }
            Some(Work::Everything(mark)) => {
                let generations = l2.raise(&[""], true).await?;
                self.tags.invalidate("");
                self.begin_epoch(&generations);
                self.pending.settle_everything(mark);
            }
        }
        Ok(true)
    }
}

/// Remembers what Redis says that generations are now.
fn learn_raised(versions: &[Version], generations: &[Generation], until: Option<Instant>) {
    for (version, it) in versions.iter().zip(generations) {
        version.learn(it.number, it.age, until);
    }
}

fn first_error(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
}

/// The one delivery of a cache. When its task is dropped with its runtime, another can begin.
struct Delivery {
    inner: Arc<Inner>,
    /// Whether it has ended by itself: by now another one may have begun.
    is_over: bool,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.pending.abandon_delivery();
        }
    }
}

async fn deliver(mut delivery: Delivery) {
    let inner = Arc::clone(&delivery.inner);
    let Some(l2) = &inner.l2 else { return };
    let (mut pause, mut failures) = (FIRST_PAUSE, 0_usize);
    loop {
        match inner.deliver_next(l2, failures).await {
            Ok(true) => (pause, failures) = (FIRST_PAUSE, 0),
            Ok(false) => {
                delivery.is_over = true;
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "redis cannot be told of invalidations yet");
                failures = failures.wrapping_add(1);
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
