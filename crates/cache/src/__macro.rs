//! What the expansion of `#[cached]` calls. Not part of the public API.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    sync::{Arc, Once, atomic::Ordering::Relaxed},
};

use ruleiq_scope::Scope;
use serde::{Serialize, de::DeserializeOwned};

use crate::{CacheManager, LoadError, Policy, ambient::PLAIN_RUNS, installed};

/// The installed cache, if there is one and it may be asked.
pub fn ambient(plainly: &Plainly) -> Option<CacheManager> {
    match installed() {
        Some(cache) => given(cache.clone()),
        None => {
            plainly.count();
            None
        }
    }
}

/// This cache, if it may be asked: not inside of a transaction, which sees what nobody else may see yet.
pub fn given(cache: CacheManager) -> Option<CacheManager> {
    let is_inside = Scope::current().is_some_and(|scope| scope.open_transactions() > 0);
    if is_inside {
        cache.inner.metrics.bypassed.inc();
        return None;
    }
    Some(cache)
}

/// A function that has run without a cache says so once.
#[derive(Debug)]
pub struct Plainly(Once);

impl Plainly {
    #[allow(clippy::new_without_default, reason = "only the macro makes one")]
    pub const fn new() -> Plainly {
        Plainly(Once::new())
    }

    fn count(&self) {
        PLAIN_RUNS.fetch_add(1, Relaxed);
        self.0.call_once(|| {
            tracing::warn!(
                "a cached function runs without a cache: give it one by `ruleiq_cache::install` or `cache = ...`"
            );
        });
    }
}

/// An argument that can be a part of a key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of a cache key",
    label = "this argument is not `Serialize`",
    note = "leave it out of the key by `#[cached(skip(name), ...)]`, or give a key of your own by `key = ...`"
)]
pub trait CacheKey: Serialize {}

impl<T: Serialize + ?Sized> CacheKey for T {}

/// Room for the arguments of most keys, so that few are moved while they are built.
const ARGUMENTS: usize = 64;

/// A key made of a prefix and arguments: `prefix:[1,"a"]`.
#[derive(Debug)]
pub struct Key {
    /// UTF-8, as JSON is.
    text: Vec<u8>,
    is_whole: bool,
}

impl Key {
    pub fn new(prefix: &str) -> Key {
        let mut text = Vec::with_capacity(prefix.len() + ARGUMENTS);
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(b":[");
        Key {
            text,
            is_whole: true,
        }
    }

    /// `prefix:"owner":[1,"a"]`: so that the owner stands where a long key is not hashed.
    pub fn of_owner<A: CacheKey + ?Sized>(prefix: &str, owner: &A) -> Key {
        let mut key = Key {
            text: Vec::with_capacity(prefix.len() + ARGUMENTS),
            is_whole: true,
        };
        key.text.extend_from_slice(prefix.as_bytes());
        key.text.push(b':');
        key = key.with(owner);
        key.text.pop();
        key.text.extend_from_slice(b":[");
        key
    }

    #[must_use]
    pub fn with<A: CacheKey + ?Sized>(mut self, argument: &A) -> Key {
        if let Err(error) = serde_json::to_writer(&mut self.text, argument) {
            tracing::warn!(
                key = %String::from_utf8_lossy(&self.text),
                %error,
                "an argument is no JSON: the function runs without the cache"
            );
            self.is_whole = false;
        }
        // The last one becomes the bracket.
        self.text.push(b',');
        self
    }

    pub fn finish(mut self) -> Option<String> {
        match self.text.last_mut() {
            Some(comma @ b',') => *comma = b']',
            _ => self.text.push(b']'),
        }
        self.is_whole.then(|| String::from_utf8(self.text).ok())?
    }
}

/// Runs a cached function's body by what it returns: the inherent method, which is there for results
/// alone, goes before [`Plain`]'s.
#[derive(Debug)]
pub struct Output<R>(PhantomData<fn() -> R>);

impl<R> Output<R> {
    #[allow(clippy::new_without_default, reason = "only the macro makes one")]
    pub const fn new() -> Output<R> {
        Output(PhantomData)
    }
}

impl<T, E> Output<Result<T, E>> {
    // The bounds stand here: on the impl, a result that does not keep to them would be plain.
    pub async fn load(
        self,
        cache: &CacheManager,
        key: &str,
        policy: Policy,
        body: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<LoadError<E>> + Send + Sync + 'static,
    {
        let value = cache.get_or_load(key, policy, || body).await?;
        Ok(Arc::unwrap_or_clone(value))
    }
}

/// Functions that return no result.
pub trait Plain<R> {
    fn load(
        self,
        cache: &CacheManager,
        key: &str,
        policy: Policy,
        body: impl Future<Output = R>,
    ) -> impl Future<Output = R>;
}

impl<R> Plain<R> for Output<R>
where
    R: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn load(
        self,
        cache: &CacheManager,
        key: &str,
        policy: Policy,
        body: impl Future<Output = R>,
    ) -> R {
        let mut body = Some(body);
        let load = || {
            let body = body.take();
            async { Ok::<_, Infallible>(body.expect("a load is begun once").await) }
        };
        let loaded = cache.get_or_load_unlimited(key, policy, load).await;
        match (loaded, body) {
            (Ok(value), _) => Arc::unwrap_or_clone(value),
            // Somebody else's load took too long, or panicked.
            (Err(_), Some(body)) => body.await,
            (Err(error), None) => rethrow(&error),
        }
    }
}

/// The function has no way to say that it failed but the one that its body took.
fn rethrow<E: fmt::Debug>(error: &LoadError<E>) -> ! {
    match error {
        LoadError::Panicked { message } => panic!("{message}"),
        other => panic!("a load without a limit ended as {other:?}"),
    }
}
