//! Different arguments never share an entry.
//!
//! Promised is: of one function, two argument lists that differ have different keys, and these have different
//! names in Redis; and whatever the prefixes of two functions are, if they differ, no key of one is a key of
//! the other. Types are the same within a function, and its type parameters are a part of the key. What JSON
//! does not tell apart, `Some(None)` from `None` and floats that are not finite, is for a `key` of one's own.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt::Debug,
};

use fred::{interfaces::KeysInterface as _, types::Value};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::ValueTree as _,
    string::string_regex,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use ruleiq_cache::__macro::{CacheKey, Key};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    place::{Place, TTL},
    soak::{Dice, is_full, report_none},
};

/// Arguments of one function.
trait List: Clone + Debug {
    fn key(&self, prefix: &str) -> String;
}

macro_rules! list {
    ($($name:ident: $argument:ident),*) => {
        impl<$($argument: CacheKey + Clone + Debug),*> List for ($($argument,)*) {
            /// As the macro builds it.
            fn key(&self, prefix: &str) -> String {
                let ($($name,)*) = self;
                Key::new(prefix)$(.with($name))*.finish().unwrap()
            }
        }
    };
}

list!(a: A);
list!(a: A, b: B);
list!(a: A, b: B, c: C);

/// Short, of what JSON and this crate's names use, so that lists are alike; and anything.
fn text() -> impl Strategy<Value = String> {
    // A pattern alone is a strategy as well, which is parsed anew for each string.
    let alike = string_regex(r#"[",:\\\[\]{}%# ab0\x00é💧-]{0,4}"#).unwrap();
    // A long one has its hash for a name.
    let long = string_regex("[a,\"]{190,260}").unwrap();
    prop_oneof![30 => alike, 4 => any::<String>(), 1 => long]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -12_i64..12, 1 => any::<i64>()]
}

#[derive(Default)]
struct Seen {
    lists: u64,
    different: HashSet<u128>,
    /// The list of each key.
    keys: HashMap<u128, u128>,
    collisions: u64,
}

impl Seen {
    fn add<L: List>(&mut self, list: &L) {
        self.lists += 1;
        // Of these types, `Debug` tells all that differ apart: it escapes what stands within quotes.
        let id = xxh3_128(format!("{list:?}").as_bytes());
        self.different.insert(id);
        match self.keys.entry(xxh3_128(list.key("f").as_bytes())) {
            Entry::Vacant(entry) => drop(entry.insert(id)),
            Entry::Occupied(entry) => self.collisions += u64::from(*entry.get() != id),
        }
    }
}

fn runner() -> TestRunner {
    let seed = [7; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// Draws lists of one function. Calls `each` with every one.
fn draw<L: List>(strategy: &impl Strategy<Value = L>, count: u64, mut each: impl FnMut(&L)) {
    let mut runner = runner();
    for _ in 0..count {
        each(&strategy.new_tree(&mut runner).unwrap().current());
    }
}

/// Answers how many keys stand for different lists.
fn collisions<L: List>(strategy: impl Strategy<Value = L>, count: u64) -> u64 {
    let mut seen = Seen::default();
    draw(&strategy, count, |list| seen.add(list));
    let different = seen.different.len() as u64;
    assert!(different > count / 50, "only {different} of {count} differ");
    assert_eq!(seen.collisions == 0, seen.keys.len() as u64 == different);
    seen.collisions
}

#[test]
fn lists_that_differ_have_keys_that_differ() {
    let count = if is_full() { 200_000 } else { 2_000 };
    let texts = || vec(text(), 0..4);
    let found = [
        collisions((text(), text()), count),
        collisions((text(), number(), text()), count),
        collisions((texts(), option::of(text()), texts()), count),
        collisions((vec((text(), option::of(number())), 0..3), text()), count),
        collisions(
            (
                vec(vec(option::of(text()), 0..3), 0..3),
                (texts(), number()),
            ),
            count,
        ),
    ];
    report_none("keys_never_collide", found.iter().sum(), "collisions");
}

/// A prefix that begins like a key of another function: cut anywhere.
fn prefix_like(key: &str, dice: &mut Dice) -> String {
    let cut = key.floor_char_boundary(dice.pick(key.len() + 1));
    key[..cut].to_owned()
}

#[test]
fn functions_with_different_prefixes_share_no_key() {
    let count = if is_full() { 200_000 } else { 2_000 };
    let mut dice = Dice::new(3);
    let mut collisions = 0;
    let strategy = (vec(text(), 0..3), text(), option::of(number()));
    let mut before = strategy.new_tree(&mut runner()).unwrap().current();
    draw(&strategy, count, |list| {
        // What follows `f:` in a key of `f` is one list, and nothing more. In a key of another function it
        // never is, whatever that one's arguments.
        let prefix = prefix_like(&list.key("f"), &mut dice);
        let of_others = [
            before.key(&prefix),
            list.key(&prefix),
            (&before.1, 1).key(&prefix),
        ];
        let rests = of_others.iter().filter_map(|it| it.strip_prefix("f:"));
        let lists = rests.filter(|it| serde_json::from_str::<Vec<serde_json::Value>>(it).is_ok());
        collisions += if prefix == "f" {
            0
        } else {
            lists.count() as u64
        };
        before = list.clone();
    });
    report_none(
        "keys_never_collide_across_prefixes",
        collisions,
        "collisions",
    );
}

#[tokio::test]
async fn lists_that_differ_have_names_that_differ() {
    let count = if is_full() { 20_000 } else { 1_000 };
    let place = Place::new().await;
    let cache = place.redis_alone().await;
    let strategy = (vec(text(), 0..3), text(), option::of(number()));
    let mut lists = HashMap::new();
    draw(&strategy, count, |list| {
        drop(lists.insert(list.key("f"), format!("{list:?}")))
    });
    let values = lists.iter().map(|(key, list)| (key, list.clone()));
    cache.mset(values, TTL).await.unwrap();

    let client = place.redis.client().await;
    let (mut names, mut cursor) = (HashSet::new(), "0".to_owned());
    loop {
        let pattern = format!("{}*", place.redis.prefix());
        let page = client.scan_page(cursor, pattern, Some(1_000), None).await;
        let (next, page): (String, Vec<Value>) = page.unwrap();
        names.extend(page.into_iter().map(|it| it.as_bytes().unwrap().to_vec()));
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let epoch = format!("{}@", place.redis.prefix());
    assert!(
        names.remove(epoch.as_bytes()),
        "every value has a tag without a name"
    );
    let mut collisions = (lists.len() as u64).abs_diff(names.len() as u64);
    for (key, list) in &lists {
        let value = cache.get::<String>(key).await;
        collisions += u64::from(value.as_deref() != Some(list));
    }
    report_none("names_never_collide", collisions, "collisions");
}
