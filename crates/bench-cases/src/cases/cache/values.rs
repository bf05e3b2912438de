//! What is cached, business profiles of a kilobyte of JSON each, and the keys they are asked by.

use std::sync::Arc;

use ruleiq_bench::Fault;
use ruleiq_performance::benchmark::CachedProfile;
use serde::Serialize;

use super::settings::{Draws, Settings};
use crate::seeded::{Seeded, shuffled, uniform, zipf};

/// Draws until they repeat; a power of two.
const DRAWS: usize = 1 << 16;

/// The values of a case and the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Values {
    /// Those of the cache, without a prefix. `redis-benchmark` makes the same ones.
    pub(super) keys: Vec<String>,
    /// By the same numbers.
    pub(super) profiles: Vec<Arc<CachedProfile>>,
    seed: u64,
    draws: Draws,
}

impl Values {
    pub(super) fn new(seed: u64, settings: &Settings) -> Values {
        let numbers = 0..settings.keys;
        Values {
            keys: numbers.clone().map(key).collect(),
            profiles: numbers
                .map(|it| Arc::new(CachedProfile::new(it, settings.value_bytes)))
                .collect(),
            seed,
            draws: settings.draws,
        }
    }

    /// The numbers of the keys that one thread or task asks for, over and over.
    pub(super) fn order(&self, of: usize) -> Vec<u32> {
        let n = u32::try_from(self.keys.len()).expect("made from a `u32`");
        let mut draws = Seeded::new(self.seed, &format!("keys of {of}"));
        match self.draws {
            Draws::Zipf => zipf(&mut draws, n, DRAWS),
            Draws::Uniform => uniform(&mut draws, n, DRAWS),
            Draws::Shuffled => shuffled(&mut draws, n),
        }
    }

    /// An error where a value is not that of its number.
    pub(super) fn compare(&self, number: u32, found: Option<&CachedProfile>) -> Result<(), Fault> {
        let right = &*self.profiles[number as usize];
        match found {
            Some(found) if found == right => Ok(()),
            Some(found) => Err(Fault::Wrong(format!("{found:?} in place of {right:?}"))),
            None => Err(missing(number)),
        }
    }
}

/// The key of a number: twelve digits, as `redis-benchmark` writes them.
pub(super) fn key(number: u32) -> String {
    format!("profile:{number:012}")
}

/// A value as the controls write it, and the cache as well.
pub(super) fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("strings and numbers are postcard")
}

/// A value as text.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are JSON")
}

/// What says that a value is not there.
pub(super) fn missing(number: u32) -> Fault {
    Fault::Wrong(format!("nothing under `{}`", key(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_size_that_was_asked_for_and_come_back() {
        let settings = Settings {
            keys: 200,
            ..Settings::default()
        };
        let values = Values::new(42, &settings);
        for (number, profile) in (0..).zip(&values.profiles) {
            let bytes = json(&**profile);
            assert_eq!(bytes.len(), settings.value_bytes);
            let read: CachedProfile = serde_json::from_slice(&bytes).unwrap();
            values.compare(number, Some(&read)).unwrap();
            let read: CachedProfile = postcard::from_bytes(&encoded(&**profile)).unwrap();
            values.compare(number, Some(&read)).unwrap();
            assert!(values.compare((number + 1) % 200, Some(&read)).is_err());
        }
        assert!(values.compare(0, None).is_err());
    }

    #[test]
    fn threads_ask_for_different_keys_and_sides_for_the_same() {
        let values = || Values::new(42, &Settings::default());
        assert_eq!(values().order(0), values().order(0));
        assert_ne!(values().order(0), values().order(1));
    }
}
