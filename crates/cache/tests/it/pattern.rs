//! Deleting by pattern: all that is meant and nothing else.

use std::collections::BTreeSet;

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _},
};
use ruleiq_cache::CacheManager;

use crate::place::{Place, TTL, in_process};

async fn fill(cache: &CacheManager, keys: &[&str]) {
    cache
        .mset(keys.iter().map(|key| (key, 1_u8)), TTL)
        .await
        .unwrap();
}

async fn left<'a>(cache: &CacheManager, keys: &[&'a str]) -> BTreeSet<&'a str> {
    let values = cache.mget::<u8>(keys).await;
    let keys = keys.iter().zip(values);
    keys.filter(|(_, value)| value.is_some())
        .map(|(key, _)| *key)
        .collect()
}

#[tokio::test]
async fn patterns_take_away_what_they_match_in_both_tiers() {
    let keys = [
        "user:1", "user:12", "users:1", "a*b", "axb", "a[b]", "ab", r"a\b", "a?b", "ünï",
    ];
    let place = Place::new().await;
    let caches = [in_process(), place.cache().await, place.redis_alone().await];
    for (pattern, gone) in [
        ("user:*", &["user:1", "user:12"][..]),
        ("user:?", &["user:1"]),
        ("user*:1", &["user:1", "users:1"]),
        ("a*b", &["a*b", "axb", "ab", r"a\b", "a?b"]),
        (r"a\*b", &["a*b"]),
        (r"a\[b\]", &["a[b]"]),
        ("a[*x]b", &["a*b", "axb"]),
        (r"a\\b", &[r"a\b"]),
        ("a[^x]b", &["a*b", r"a\b", "a?b"]),
        ("ünï", &["ünï"]),
        ("nothing*", &[]),
        ("?*", &keys),
    ] {
        for cache in &caches {
            fill(cache, &keys).await;
            let count = cache.delete_pattern(pattern).await.unwrap();
            assert_eq!(count, gone.len() as u64, "`{pattern}` {cache:?}");
            let expected: BTreeSet<&str> = keys
                .iter()
                .copied()
                .filter(|it| !gone.contains(it))
                .collect();
            assert_eq!(left(cache, &keys).await, expected, "`{pattern}` {cache:?}");
            assert_eq!(cache.stats().pending_invalidations, 0);
        }
    }
}

#[tokio::test]
async fn a_prefix_with_wildcards_means_itself() {
    let place = Place::new().await;
    let client = place.redis.client().await;
    let instance = |suffix: &str| {
        let prefix = format!("{}{suffix}", place.redis.prefix());
        place
            .options(client.clone())
            .prefix(prefix)
            .build()
            .unwrap()
    };
    let wild = ["*", "?", "[ab]", r"\", "-a"].map(instance);
    let others = ["x", "a", "b", "", "-b"].map(instance);
    for cache in wild.iter().chain(&others) {
        fill(cache, &["user:1", "user:2"]).await;
    }
    for cache in &wild {
        assert_eq!(cache.delete_pattern("?*").await.unwrap(), 2, "{cache:?}");
    }
    for cache in &others {
        assert_eq!(
            left(cache, &["user:1", "user:2"]).await.len(),
            2,
            "{cache:?}"
        );
    }
}

#[tokio::test]
async fn long_keys_go_with_their_start() {
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    let long = |start: &str| format!("{start}{}", "ü".repeat(500));
    let (user, framework) = (long("user:"), long("framework:"));
    fill(&cache, &[&user, &framework]).await;
    assert_eq!(cache.delete_pattern("user:*").await.unwrap(), 1);
    assert_eq!(
        left(&cache, &[&user, &framework]).await,
        [&*framework].into()
    );
    assert_eq!(
        cache
            .delete_pattern(&format!("{framework}*"))
            .await
            .unwrap(),
        1
    );
}

async fn count(client: &Client, prefix: &str) -> usize {
    let mut cursor = "0".to_owned();
    let mut found = BTreeSet::new();
    loop {
        let page = client.scan_page(cursor, format!("{prefix}:*"), Some(1_000), None);
        let (next, names): (String, Vec<String>) = page.await.unwrap();
        found.extend(names);
        if next == "0" {
            return found.len();
        }
        cursor = next;
    }
}

#[tokio::test]
async fn many_pages_of_keys_are_counted_exactly() {
    let place = Place::new().await;
    let (cache, client) = (place.cache().await, place.redis.client().await);
    let keys: Vec<String> = (0..5_000).map(|n| format!("{}:{n}", n % 2)).collect();
    cache
        .mset(keys.iter().map(|key| (key, 1_u8)), TTL)
        .await
        .unwrap();
    assert_eq!(cache.delete_pattern("0:*").await.unwrap(), 2_500);
    assert_eq!(count(&client, place.redis.prefix()).await, 2_500);
    assert_eq!(cache.delete_pattern("?*").await.unwrap(), 2_500);
    assert_eq!(count(&client, place.redis.prefix()).await, 0);
    assert_eq!(cache.stats().l1_entries, 0);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn everything_is_taken_away_only_where_that_is_said() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        fill(&cache, &["a", "b"]).await;
        for pattern in ["*", "***"] {
            let error = cache.delete_pattern(pattern).await.unwrap_err();
            assert!(error.to_string().contains("`clear`"), "{error}");
        }
        assert_eq!(cache.delete_pattern("").await.unwrap(), 0);
        assert_eq!(left(&cache, &["a", "b"]).await.len(), 2);
        cache.clear().await;
        assert!(left(&cache, &["a", "b"]).await.is_empty());
    }
}
