//! What is cached: business profiles of a kilobyte of JSON each, and the keys they are asked by.

use std::sync::Arc;

use ruleiq_bench::Fault;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::settings::{Draws, Settings};
use crate::seeded::{Seeded, shuffled, uniform, zipf};

/// Draws until they repeat; a power of two.
const DRAWS: usize = 1 << 16;

const WORDS: [&str; 16] = [
    "access",
    "audit",
    "backup",
    "control",
    "data",
    "evidence",
    "incident",
    "owner",
    "policy",
    "processor",
    "quarterly",
    "register",
    "review",
    "risk",
    "supplier",
    "training",
];
const INDUSTRIES: [&str; 4] = ["finance", "healthcare", "manufacturing", "software"];
const FRAMEWORKS: [&str; 5] = ["DORA", "GDPR", "ISO 27001", "NIS2", "SOC 2"];

/// The profile of a business. Its number comes first in memory too, beside the count of an `Arc`
/// that a hit touches anyway.
#[repr(C)]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Profile {
    /// Which one it is: what a wrong answer is told by.
    pub(super) number: u32,
    id: Uuid,
    company: String,
    industry: String,
    employees: u32,
    turnover: f64,
    frameworks: Vec<String>,
    handles_personal_data: bool,
    notes: String,
}

/// The values of a case and the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Values {
    /// Those of the cache, without a prefix. `redis-benchmark` makes the same ones.
    pub(super) keys: Vec<String>,
    /// By the same numbers.
    pub(super) profiles: Vec<Arc<Profile>>,
    seed: u64,
    draws: Draws,
}

impl Profile {
    /// The profile of a number, whose JSON has this many bytes.
    fn new(draws: &mut Seeded, number: u32, value_bytes: usize) -> Profile {
        let frameworks = 1 + draws.below(3) as usize;
        let mut profile = Profile {
            number,
            id: Uuid::from_u64_pair(draws.next(), draws.next()),
            company: format!("{} {} Ltd", draws.pick(&WORDS), draws.pick(&WORDS)),
            industry: (*draws.pick(&INDUSTRIES)).to_owned(),
            employees: draws.below(10_000),
            turnover: f64::from(draws.below(1_000_000)) / 4.0,
            frameworks: (0..frameworks)
                .map(|_| (*draws.pick(&FRAMEWORKS)).to_owned())
                .collect(),
            handles_personal_data: draws.below(2) == 0,
            notes: String::new(),
        };
        let room = value_bytes.saturating_sub(json(&profile).len());
        while profile.notes.len() < room {
            let word: &&str = draws.pick(&WORDS);
            profile.notes.push_str(word);
            profile.notes.push(' ');
        }
        profile.notes.truncate(room);
        profile
    }
}

impl Values {
    pub(super) fn new(seed: u64, settings: &Settings) -> Values {
        let mut draws = Seeded::new(seed, "profiles");
        let numbers = 0..settings.keys;
        Values {
            keys: numbers.clone().map(key).collect(),
            profiles: numbers
                .map(|it| Arc::new(Profile::new(&mut draws, it, settings.value_bytes)))
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
    pub(super) fn compare(&self, number: u32, found: Option<&Profile>) -> Result<(), Fault> {
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

/// A value as the controls write it.
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
    fn values_have_the_size_that_was_asked_for_and_come_back_from_their_json() {
        let settings = Settings {
            keys: 200,
            ..Settings::default()
        };
        let values = Values::new(42, &settings);
        for (number, profile) in (0..).zip(&values.profiles) {
            let bytes = json(&**profile);
            assert_eq!(bytes.len(), settings.value_bytes);
            let read: Profile = serde_json::from_slice(&bytes).unwrap();
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
