//! What is stored comes back, as what it was, for as long as it was said.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fred::interfaces::KeysInterface as _;
use ruleiq_cache::{BuildError, CacheManager, Coherence, Error, MAX_TTL};
use ruleiq_test_support::eventually;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::place::{LIMIT, Place, TTL, healed, in_process};

async fn comes_back<T>(cache: &CacheManager, other: &CacheManager, value: T)
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static,
{
    let key = std::any::type_name::<T>();
    cache.set(key, value.clone(), TTL).await.unwrap();
    for instance in [cache, other] {
        assert_eq!(instance.get(key).await, Some(Arc::new(value.clone())));
        let loaded = instance.get_or_load(key, TTL, || async { Err::<T, _>("a miss") });
        assert_eq!(*loaded.await.unwrap(), value);
    }
}

/// More than the fences remember invalidations of.
#[tokio::test]
async fn however_many_are_set_at_once_all_are_there() {
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    let keys: Vec<String> = (0..20_000).map(|n| format!("many:{n}")).collect();
    let values = keys.iter().zip(0_u32..);
    cache.mset(values, TTL).await.unwrap();
    assert_eq!(cache.stats().refused_fills, 0);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = cache.mget::<u32>(&keys).await;
    let expected = (0..20_000).map(|it| Some(Arc::new(it)));
    assert!(found.into_iter().eq(expected));
}

#[tokio::test]
async fn of_values_under_one_key_the_last_one_is_kept() {
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    // In batches of their own.
    let keys = (0..1_000_u32).map(|n| (format!("key:{}", n % 300), n));
    cache.mset(keys, TTL).await.unwrap();
    for n in 0..300 {
        let last = (0..1_000).rev().find(|it| it % 300 == n);
        let found = cache.get::<u32>(&format!("key:{n}")).await;
        assert_eq!(found.as_deref(), last.as_ref());
    }
}

/// Each kind of invalidation while many values are set, those that come last after it.
#[tokio::test]
async fn what_is_invalidated_while_many_are_set_does_not_come_back() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    for kind in 0..4 {
        let keys: Vec<String> = (0..5_000).map(|n| format!("many:{n}")).collect();
        let last = keys.last().unwrap();
        cache.set("spared", 1_u32, TTL).await.unwrap();
        let setting = async {
            let values = keys.iter().map(|it| (it, 1_u32));
            cache.mset(values, TTL).await.unwrap();
        };
        let invalidating = async {
            // The first are there, and the last are not.
            eventually(LIMIT, || async {
                other.get::<u32>(&keys[0]).await.is_some()
            })
            .await;
            match kind {
                0 => cache.delete(&[last]).await,
                1 => cache.clear().await,
                2 => drop(cache.delete_pattern("many:*").await.unwrap()),
                _ => cache.set(last, 2_u32, TTL).await.unwrap(),
            }
            assert_ne!(cache.get::<u32>(last).await.as_deref(), Some(&1), "{kind}");
        };
        tokio::join!(setting, invalidating);
        healed(&cache).await;
        let found = other.get::<u32>(last).await;
        let expect = (kind == 3).then_some(2);
        assert_eq!(found.as_deref(), expect.as_ref(), "kind {kind}");
        let is_spared = async || other.get::<u32>("spared").await.is_some();
        match kind {
            // It believes the epoch for a moment.
            1 => eventually(LIMIT, || async { !is_spared().await }).await,
            _ => assert!(is_spared().await, "kind {kind}"),
        }
    }
}

#[tokio::test]
async fn values_that_look_like_nothing_are_hits() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    comes_back(&cache, &other, 0_i64).await;
    comes_back(&cache, &other, false).await;
    comes_back(&cache, &other, String::new()).await;
    comes_back(&cache, &other, Vec::<u8>::new()).await;
    comes_back(&cache, &other, None::<u8>).await;
    comes_back(&cache, &other, ()).await;
    comes_back(&cache, &other, BTreeMap::<String, u8>::new()).await;
    comes_back(&cache, &other, "ünï\0cödé".to_owned()).await;
}

#[tokio::test]
async fn a_struct_that_has_changed_is_a_miss_and_is_replaced() {
    mod before {
        #[derive(serde::Deserialize, serde::Serialize)]
        pub(super) struct Profile {
            pub(super) name: String,
        }
    }
    #[derive(Deserialize, Serialize)]
    struct Profile {
        name: String,
        email: String,
    }

    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let profile = before::Profile { name: "Ada".into() };
    cache.set("user:1", profile, TTL).await.unwrap();

    assert!(other.get::<Profile>("user:1").await.is_none());
    let load = || async {
        Ok::<_, ()>(Profile {
            name: "Ada".into(),
            email: "ada@example.org".into(),
        })
    };
    other.get_or_load("user:1", TTL, load).await.unwrap();
    let profile = other.get::<Profile>("user:1").await.unwrap();
    assert_eq!(
        (&*profile.name, &*profile.email),
        ("Ada", "ada@example.org")
    );
    assert!(cache.get::<before::Profile>("user:1").await.is_none());
}

#[tokio::test]
async fn what_somebody_else_left_under_the_name_is_a_miss() {
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    let client = place.redis.client().await;
    let name = |key: &str| format!("{}:{key}", place.redis.prefix());
    client
        .set::<(), _, _>(name("text"), "7", None, None, false)
        .await
        .unwrap();
    // Not even a string.
    let push = "return redis.call('RPUSH', KEYS[1], 'a')";
    use fred::interfaces::LuaInterface as _;
    client
        .eval::<(), _, _, _>(push, name("list"), Vec::<String>::new())
        .await
        .unwrap();

    for key in ["text", "list"] {
        assert!(cache.get::<u32>(key).await.is_none(), "{key}");
        let loaded = cache.get_or_load(key, TTL, || async { Ok::<_, ()>(8_u32) });
        assert_eq!(*loaded.await.unwrap(), 8, "{key}");
        cache.set(key, 9_u32, TTL).await.unwrap();
        assert_eq!(cache.get::<u32>(key).await.as_deref(), Some(&9), "{key}");
    }
    assert_eq!(cache.stats().redis_available, Some(true));
}

#[tokio::test]
async fn a_hit_in_the_process_is_the_same_value_and_not_a_copy() {
    let cache = in_process();
    cache.set("k", vec![1_u8], TTL).await.unwrap();
    let (one, two) = (cache.get::<Vec<u8>>("k").await, cache.get("k").await);
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
}

#[tokio::test]
async fn long_keys_are_told_apart() {
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    let start = "user:ü".repeat(500);
    let keys = [format!("{start}1"), format!("{start}2"), start];
    for (n, key) in keys.iter().enumerate() {
        cache.set(key, n, TTL).await.unwrap();
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(cache.get::<usize>(key).await.as_deref(), Some(&n));
    }
    cache.delete(&[&keys[0]]).await;
    assert!(!cache.exists(&keys[0]).await.unwrap());
    assert!(cache.exists(&keys[1]).await.unwrap());
}

#[tokio::test]
async fn many_keys_are_read_and_written_in_their_order() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    let entries = (0..600).map(|n| (format!("key:{n}"), n));
    cache.mset(entries, TTL).await.unwrap();

    assert!(other.mget::<i32>(&[]).await.is_empty());
    let keys: Vec<String> = (0..700).rev().map(|n| format!("key:{n}")).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("key:5");
    for instance in [&cache, &other] {
        let values = instance.mget::<i32>(&keys).await;
        let values: Vec<Option<i32>> = values.iter().map(|it| it.as_deref().copied()).collect();
        let mut expected: Vec<Option<i32>> =
            (0..700).rev().map(|n| (n < 600).then_some(n)).collect();
        expected.push(Some(5));
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn a_value_that_expires_at_once_takes_the_old_one_away() {
    let cache = in_process();
    cache.set("k", 1_u32, TTL).await.unwrap();
    cache
        .set("k", 2_u32, Duration::from_nanos(1))
        .await
        .unwrap();
    assert_eq!(cache.get::<u32>("k").await, None);
}

#[tokio::test]
async fn of_two_values_for_one_key_the_last_stays() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    cache.mset([("k", 1), ("k", 2)], TTL).await.unwrap();
    assert_eq!(cache.get::<i32>("k").await.as_deref(), Some(&2));
    assert_eq!(other.get::<i32>("k").await.as_deref(), Some(&2));
}

#[tokio::test]
async fn times_to_live_are_told_and_changed() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    for instance in [&cache, &in_process()] {
        assert_eq!(instance.ttl("k").await.unwrap(), None);
        assert!(!instance.expire("k", TTL).await.unwrap());
        instance.set("k", 1, TTL).await.unwrap();
        let left = instance.ttl("k").await.unwrap().unwrap();
        assert!(left <= TTL && left > TTL / 2, "{left:?}");
        assert!(instance.expire("k", TTL * 4).await.unwrap());
        let left = instance.ttl("k").await.unwrap().unwrap();
        assert!(left <= TTL * 4 && left > TTL * 2, "{left:?}");
        assert!(instance.exists("k").await.unwrap());
        instance.delete(&["k"]).await;
        assert!(!instance.exists("k").await.unwrap());
    }

    cache.set("k", 1, TTL).await.unwrap();
    cache.expire("k", Duration::from_millis(1)).await.unwrap();
    for instance in [&cache, &other] {
        eventually(LIMIT, || async { instance.get::<i32>("k").await.is_none() }).await;
    }
}

#[tokio::test]
async fn a_key_that_is_being_loaded_has_no_value_yet() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    let load = || async {
        assert!(!other.exists("k").await.unwrap());
        assert_eq!(other.ttl("k").await.unwrap(), None);
        assert!(!other.expire("k", TTL).await.unwrap());
        assert!(other.get::<u8>("k").await.is_none());
        Ok::<_, ()>(1_u8)
    };
    cache.get_or_load("k", TTL, load).await.unwrap();
    assert!(other.exists("k").await.unwrap());
}

#[tokio::test]
async fn times_that_make_no_sense_are_refused_by_writes_and_kept_to_by_loads() {
    let place = Place::new().await;
    for cache in [place.cache().await, in_process()] {
        for ttl in [
            Duration::ZERO,
            MAX_TTL + Duration::from_secs(1),
            Duration::MAX,
        ] {
            let refused = cache.set("k", 1, ttl).await;
            assert!(
                matches!(refused, Err(Error::TtlOutOfBounds { .. })),
                "{refused:?}"
            );
            let refused = cache.expire("k", ttl).await;
            assert!(
                matches!(refused, Err(Error::TtlOutOfBounds { .. })),
                "{refused:?}"
            );
        }
        let load = || async { Ok::<_, ()>(1) };
        cache
            .get_or_load("zero", Duration::ZERO, load)
            .await
            .unwrap();
        assert!(cache.get::<i32>("zero").await.is_none());
        cache.get_or_load("max", Duration::MAX, load).await.unwrap();
        assert!(cache.ttl("max").await.unwrap().unwrap() <= MAX_TTL);
        cache.set("max", 1, MAX_TTL).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_that_is_not_to_be_encoded_is_an_error_of_a_write_and_none_of_a_load() {
    // Too early for what times are written as.
    #[derive(Clone, Debug, Deserialize, Serialize)]
    struct Odd(SystemTime);
    let odd = Odd(SystemTime::UNIX_EPOCH - Duration::from_secs(1));

    let place = Place::new().await;
    for cache in [place.cache().await, in_process()] {
        let refused = cache.set("k", odd.clone(), TTL).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Encode { key, .. } if key == "k"),
            "{refused:?}"
        );
        let load = || async { Ok::<_, ()>(odd.clone()) };
        assert_eq!(cache.get_or_load("k", TTL, load).await.unwrap().0, odd.0);
        assert!(cache.get::<Odd>("k").await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn without_redis_a_value_lives_its_whole_time_in_the_process() {
    let cache = in_process();
    cache.set("k", 1, TTL).await.unwrap();
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    assert!(cache.get::<i32>("k").await.is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(cache.get::<i32>("k").await.is_none());
}

#[tokio::test]
async fn another_instance_sees_a_deletion_when_its_own_copy_has_grown_old() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis.client().await);
    let other = place
        .options(other)
        .coherence(Coherence::None)
        .outage_ttl(Duration::from_millis(50))
        .build()
        .unwrap();
    cache.set("k", 1, TTL).await.unwrap();
    assert!(other.get::<i32>("k").await.is_some());
    cache.delete(&["k"]).await;
    eventually(LIMIT, || async { other.get::<i32>("k").await.is_none() }).await;
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for prefix in ["", "a#b"] {
        let refused = CacheManager::builder().prefix(prefix).build();
        assert!(
            matches!(refused, Err(BuildError::Prefix { .. })),
            "{refused:?}"
        );
    }
    let refused = CacheManager::builder().load_timeout(Duration::ZERO).build();
    assert!(refused.unwrap_err().to_string().contains("`load_timeout`"));
    let refused = CacheManager::builder()
        .command_timeout(Duration::ZERO)
        .build();
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("`command_timeout`")
    );
}

#[tokio::test]
async fn limits_without_end_are_never_reached() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let options = options
        .command_timeout(Duration::MAX)
        .load_timeout(Duration::MAX)
        .l1_ttl(Duration::MAX);
    let cache = options.build().unwrap();
    for _ in 0..2 {
        let load = || async { Ok::<_, ()>(1_u32) };
        assert_eq!(*cache.get_or_load("k", TTL, load).await.unwrap(), 1);
    }
    assert_eq!(cache.stats().loads, 1);
}

#[tokio::test]
async fn debug_output_holds_no_password() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let printed = format!("{options:?} {:?}", options.clone().build().unwrap());
    let password = place.redis.url().split('@').next().unwrap();
    let password = password.rsplit(':').next().unwrap();
    assert!(
        !password.is_empty() && !printed.contains(password),
        "{printed}"
    );
}

#[tokio::test]
async fn a_life_that_was_made_shorter_is_so_for_every_instance() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.cache().await);
    cache.set("k", 1_u8, TTL).await.unwrap();
    assert!(cache.expire("k", Duration::from_millis(300)).await.unwrap());
    // The other one reads it only now, and keeps it in its own memory for no longer.
    assert_eq!(other.get::<u8>("k").await.as_deref(), Some(&1));
    eventually(LIMIT, || async {
        other.exists("k").await.is_ok_and(|it| !it)
    })
    .await;
    assert!(other.get::<u8>("k").await.is_none());
    assert!(cache.get::<u8>("k").await.is_none());
}

#[tokio::test]
async fn many_keys_are_read_in_one_command_of_whichever_tier_has_them() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.cache().await);
    let keys: Vec<String> = (0..2_500).map(|n| format!("key:{n}")).collect();
    let even = (0..2_500_u32).filter(|n| n % 2 == 0);
    cache
        .mset(even.map(|n| (&keys[n as usize], n)), TTL)
        .await
        .unwrap();
    other.get::<u32>("key:4").await.unwrap();
    let before = other.stats();
    let mut asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    asked.extend(["key:4", "key:7", "key:8"]);
    let values = other.mget::<u32>(&asked).await;
    for (key, value) in asked.iter().zip(&values) {
        let n: u32 = key[4..].parse().unwrap();
        assert_eq!(
            value.as_deref().copied(),
            n.is_multiple_of(2).then_some(n),
            "{key}"
        );
    }
    let after = other.stats();
    assert_eq!(after.l1_hits - before.l1_hits, 2);
    assert_eq!(after.l2_hits - before.l2_hits, 1_250);
    assert_eq!(after.misses - before.misses, 1_251);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_an_error_to_write_and_a_miss_to_read() {
    let place = Place::new().await;
    let longest = "k".repeat(ruleiq_cache::MAX_KEY_BYTES);
    let too_long = format!("{longest}k");
    for cache in [in_process(), place.cache().await] {
        for key in ["", too_long.as_str()] {
            let out_of_bounds = |error| assert!(matches!(error, Error::KeyOutOfBounds { .. }));
            out_of_bounds(cache.set(key, 1_u32, TTL).await.unwrap_err());
            out_of_bounds(cache.mset([("k", 1_u32), (key, 1)], TTL).await.unwrap_err());
            out_of_bounds(cache.expire(key, TTL).await.unwrap_err());
            out_of_bounds(cache.ttl(key).await.unwrap_err());
            out_of_bounds(cache.exists(key).await.unwrap_err());
            assert!(cache.get::<u32>(key).await.is_none());
            assert_eq!(cache.mget::<u32>(&[key, "k"]).await, [None, None]);
            cache.delete(&[key]).await;
            for value in 1..=2 {
                let load = || async { Ok::<_, ()>(value) };
                let loaded = cache.get_or_load(key, TTL, load).await.unwrap();
                assert_eq!(*loaded, value, "it is not kept");
            }
        }
        cache.set(&longest, 1_u32, TTL).await.unwrap();
        assert_eq!(cache.get::<u32>(&longest).await.as_deref(), Some(&1));
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_goes_to_who_loads_it_and_nowhere_else() {
    let place = Place::new().await;
    let small = |options: ruleiq_cache::Builder| options.max_value_bytes(1_000).build().unwrap();
    let client = place.redis.client().await;
    for cache in [small(CacheManager::builder()), small(place.options(client))] {
        let large = || async { Ok::<_, ()>("x".repeat(1_000)) };
        for _ in 0..2 {
            let loaded = cache.get_or_load("k", TTL, large).await.unwrap();
            assert_eq!(loaded.len(), 1_000);
        }
        assert_eq!(cache.stats().loads, 2);
        assert!(!cache.exists("k").await.unwrap());
        let error = cache.set("k", "x".repeat(1_000), TTL).await.unwrap_err();
        assert!(error.to_string().contains("max_value_bytes"), "{error}");
        cache.set("k", "x".repeat(900), TTL).await.unwrap();
    }
}
