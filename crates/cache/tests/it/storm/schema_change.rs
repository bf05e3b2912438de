//! Two versions of a program, one of which knows a field more, share a Redis.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ruleiq_cache::{CacheManager, Codec};
use ruleiq_test_support::TestRedis;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    place::{Place, TTL},
    soak::{is_full, report},
};

/// Whether this is the later version.
static IS_LATER: AtomicBool = AtomicBool::new(false);

/// A type that is written and read by what the running version knows of it, as if it had been compiled again.
#[derive(Clone, Debug, PartialEq)]
struct Profile {
    name: String,
    visits: u32,
    email: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename = "Profile")]
struct Before {
    name: String,
    visits: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename = "Profile")]
struct After {
    name: String,
    email: String,
    visits: u32,
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Profile {
            name,
            visits,
            email,
        } = self.clone();
        match IS_LATER.load(SeqCst) {
            false => Before { name, visits }.serialize(serializer),
            true => After {
                name,
                email,
                visits,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Profile, D::Error> {
        Ok(match IS_LATER.load(SeqCst) {
            false => {
                let Before { name, visits } = Before::deserialize(deserializer)?;
                Profile {
                    name,
                    visits,
                    email: String::new(),
                }
            }
            true => {
                let After {
                    name,
                    email,
                    visits,
                } = After::deserialize(deserializer)?;
                Profile {
                    name,
                    visits,
                    email,
                }
            }
        })
    }
}

fn profile(n: u32) -> Profile {
    let email = match IS_LATER.load(SeqCst) {
        false => String::new(),
        true => format!("{n}@example.org"),
    };
    Profile {
        name: format!("user {n}"),
        visits: n,
        email,
    }
}

async fn loaded(cache: &CacheManager, n: u32) -> Profile {
    let load = || async { Ok::<_, ()>(profile(n)) };
    let value = cache.get_or_load(&format!("profile:{n}"), TTL, load).await;
    Profile::clone(&value.unwrap())
}

#[tokio::test]
async fn a_field_more_or_less_is_a_miss_and_nothing_else() {
    let place = Place {
        redis: TestRedis::namespace().await,
    };
    let profiles = if is_full() { 20_000 } else { 200 };
    for codec in [Codec::Postcard, Codec::Json] {
        let cache = place
            .options(place.redis.client().await)
            .l1_max_bytes(0)
            .codec(codec);
        let cache = cache.build().unwrap();
        cache.clear().await;
        let mut wrong = 0;
        // Out, back because something is wrong with it, and out again.
        for is_later in [false, true, false, true] {
            IS_LATER.store(is_later, SeqCst);
            for n in 0..profiles {
                let key = format!("profile:{n}");
                let found = cache.get::<Profile>(&key).await;
                wrong += u64::from(found.is_some_and(|it| *it != profile(n)));
                wrong += u64::from(loaded(&cache, n).await != profile(n));
                let again = cache.get::<Profile>(&key).await;
                wrong += u64::from(again.as_deref() != Some(&profile(n)));
            }
        }
        let stats = cache.stats();
        report("schema_change", wrong, "wrong", "0", wrong == 0);
        assert_eq!((wrong, stats.load_failures, stats.redis_errors), (0, 0, 0));
        // The later JSON does for the earlier version, which knows less, and so stays there.
        let misses = match codec {
            Codec::Postcard => 3,
            _ => 1,
        };
        // Once for each look before the value was replaced: two.
        assert_eq!(
            stats.schema_misses,
            u64::from(profiles) * 2 * misses,
            "{codec:?}"
        );
    }
}
