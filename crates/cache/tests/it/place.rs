//! A part of Redis, and caches on it: instances of one application.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{
        Builder as ClientBuilder,
        config::{Config, ReconnectPolicy},
    },
};
use ruleiq_cache::{Builder, CacheManager};
use ruleiq_test_support::{FaultProxy, TestRedis, eventually};

/// For everything that has to happen sooner or later.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const TTL: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) redis: TestRedis,
}

impl Place {
    pub(crate) async fn new() -> Place {
        Place {
            redis: TestRedis::namespace().await,
        }
    }

    /// An instance that is connected.
    pub(crate) async fn cache(&self) -> CacheManager {
        self.cache_at(self.redis.url()).await.build().unwrap()
    }

    /// One that is told of changes: see [`listening`].
    pub(crate) async fn listening(&self) -> CacheManager {
        listening(self.options(self.redis.client().await)).await
    }

    /// An instance that keeps nothing in its own memory.
    pub(crate) async fn redis_alone(&self) -> CacheManager {
        let options = self.cache_at(self.redis.url()).await;
        options.l1_max_bytes(0).build().unwrap()
    }

    /// An instance behind a proxy. It soon gives up a Redis that does not answer.
    pub(crate) async fn behind(&self, proxy: &FaultProxy) -> Builder {
        let options = self.cache_at(&proxy.url(self.redis.url())).await;
        options.command_timeout(Duration::from_millis(250))
    }

    pub(crate) async fn proxy(&self) -> FaultProxy {
        FaultProxy::in_front_of(self.redis.url()).await
    }

    async fn cache_at(&self, url: &str) -> Builder {
        let client = client(url);
        client.init().await.unwrap();
        self.options(client)
    }

    /// An instance that waits for Redis however busy the machine is.
    pub(crate) fn options(&self, client: Client) -> Builder {
        CacheManager::builder()
            .redis(client)
            .prefix(self.redis.prefix())
            .command_timeout(LIMIT)
    }
}

/// A client that reconnects by itself and is not connected yet.
pub(crate) fn client(url: &str) -> Client {
    let mut config = Config::from_url(url).unwrap();
    // Otherwise it gives up for good when the first connection fails.
    config.fail_fast = false;
    ClientBuilder::from_config(config)
        .with_connection_config(|it| it.connection_timeout = Duration::from_millis(500))
        .set_policy(ReconnectPolicy::new_exponential(0, 20, 200, 2))
        .build()
        .unwrap()
}

/// A cache in the process alone.
pub(crate) fn in_process() -> CacheManager {
    CacheManager::builder().build().unwrap()
}

/// Waits until the cache owes Redis nothing and asks it again.
pub(crate) async fn healed(cache: &CacheManager) {
    eventually(LIMIT, || async {
        cache.exists("anything").await.is_ok() && cache.stats().pending_invalidations == 0
    })
    .await;
}

/// Waits until a cache is told of changes.
pub(crate) async fn armed(cache: &CacheManager) {
    eventually(LIMIT, || async { cache.stats().tracking == Some(true) }).await;
}

/// An instance that is told of changes, and whose copies outlive every test.
pub(crate) async fn listening(options: Builder) -> CacheManager {
    let cache = options.l1_ttl(TTL).outage_ttl(TTL).build().unwrap();
    armed(&cache).await;
    cache
}

pub(crate) async fn value(cache: &CacheManager, key: &str) -> Option<u32> {
    cache.get::<u32>(key).await.as_deref().copied()
}

/// Reads until the process has a copy, and proves that it is one.
pub(crate) async fn copied(cache: &CacheManager, key: &str, expected: u32) {
    eventually(LIMIT, || async {
        let before = cache.stats().l1_hits;
        value(cache, key).await == Some(expected) && cache.stats().l1_hits > before
    })
    .await;
}
