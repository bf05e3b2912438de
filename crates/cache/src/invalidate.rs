//! Taking values away, and telling a Redis that was away of it later.

use std::{cell::Cell, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    CacheManager, Error,
    breaker::jittered,
    glob,
    l2::L2,
    manager::Inner,
    pending::{Mark, Work},
};

/// Names in one `UNLINK`.
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
            if l2.unlink(keys, false).await.is_err() {
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
    /// It reads the names of all keys of the Redis database twice, a thousand at a time. Keys of more than
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

    /// Takes everything away that this cache's prefix has. Answers as
    /// [`delete_pattern`](CacheManager::delete_pattern) does, and costs as much.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it goes on in the background.
    pub async fn clear(&self) -> u64 {
        self.delete_matching("*").await
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

    /// Tells Redis what is next. Answers whether there is more.
    async fn deliver_next(&self, l2: &L2) -> Result<bool, Error> {
        match self.pending.next_work() {
            None => return Ok(false),
            Some(Work::Keys(keys)) => {
                let names: Vec<&str> = keys.iter().map(|(key, _)| &**key).collect();
                l2.unlink(&names, true).await?;
                keys.iter()
                    .for_each(|(key, mark)| self.pending.settle(key, *mark));
            }
            Some(Work::Pattern(pattern, mark)) => {
                l2.unlink_matching(&pattern, true).await?;
                self.pending.settle_matching(mark);
            }
            Some(Work::Everything(mark)) => {
                l2.unlink_matching("*", true).await?;
                self.pending.settle_everything(mark);
            }
        }
        Ok(true)
    }
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
    let mut pause = FIRST_PAUSE;
    loop {
        match inner.deliver_next(l2).await {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => {
                delivery.is_over = true;
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "redis cannot be told of invalidations yet");
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
