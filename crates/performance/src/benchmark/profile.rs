//! What the cases of the cache keep: the profile of a business, as a service would.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// The profile of a business, which its number says in full. In memory the number comes first,
/// beside the count of an `Arc` that a hit touches anyway.
#[repr(C)]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CachedProfile {
    /// Which one it is: what a wrong answer is told by.
    pub number: u32,
    id: Uuid,
    company: String,
    industry: String,
    employees: u32,
    turnover: f64,
    frameworks: Vec<String>,
    handles_personal_data: bool,
    notes: String,
}

impl CachedProfile {
    /// The profile of a number, whose JSON has this many bytes; or what it has without its notes, if
    /// that is more.
    pub fn new(number: u32, json_bytes: usize) -> CachedProfile {
        let mut rng = Rng::with_seed(u64::from(number));
        let frameworks = rng.usize(1..=3);
        let mut profile = CachedProfile {
            number,
            id: Uuid::from_u128(rng.u128(..)),
            company: format!("{} {} Ltd", word(&mut rng), word(&mut rng)),
            industry: INDUSTRIES[rng.usize(..INDUSTRIES.len())].to_owned(),
            employees: rng.u32(..10_000),
            turnover: f64::from(rng.u32(..1_000_000)) / 4.0,
            frameworks: (0..frameworks)
                .map(|_| FRAMEWORKS[rng.usize(..FRAMEWORKS.len())].to_owned())
                .collect(),
            handles_personal_data: rng.bool(),
            notes: String::new(),
        };
        let room = json_bytes.saturating_sub(profile.json_bytes());
        while profile.notes.len() < room {
            profile.notes.push_str(word(&mut rng));
            profile.notes.push(' ');
        }
        profile.notes.truncate(room);
        profile
    }

    fn json_bytes(&self) -> usize {
        let json = serde_json::to_vec(self).expect("strings and numbers are JSON");
        json.len()
    }
}

fn word(rng: &mut Rng) -> &'static str {
    WORDS[rng.usize(..WORDS.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_the_size_that_was_asked_for_and_come_back_from_their_json() {
        for number in 0..200 {
            let profile = CachedProfile::new(number, 1_024);
            let json = serde_json::to_vec(&profile).unwrap();
            assert_eq!(json.len(), 1_024);
            let read: CachedProfile = serde_json::from_slice(&json).unwrap();
            assert_eq!(read, CachedProfile::new(number, 1_024));
            assert_ne!(read, CachedProfile::new(number + 1, 1_024));
        }
    }

    #[test]
    fn without_room_there_are_no_notes() {
        assert!(CachedProfile::new(7, 0).notes.is_empty());
    }
}
