//! How a value stands in Redis.
//!
//! `RQ2`, the schema (a hash of the type's name, 8 bytes), when it was written and how long it lives (8
//! bytes each, milliseconds, the first since 1970), the length of the key (4 bytes) and the key where
//! its [name](crate::names) holds only a part of it, then JSON; numbers little endian. Redis lets go of
//! it in time by itself; that it says so too spares whoever reads it a second command.
//! Whatever cannot be read is a miss: another version's or another type's value, a changed struct,
//! somebody else's bytes. `0`, `[]` and `null` are values.
//!
//! A key whose value is being loaded or written has a lease beside it: see [`crate::scripts`].

use std::{
    any::type_name,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use crate::names::is_hashed;

/// What every value begins with.
pub(crate) const VALUE: &[u8] = b"RQ";
const VERSION: u8 = b'2';
const HEADER_BYTES: usize = 11;
/// Where [`life`] stands.
pub(crate) const LIFE_AT: usize = HEADER_BYTES;
const LIFE_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;

/// The start of every envelope that can hold a `T`.
pub(crate) fn header<T>() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..2].copy_from_slice(VALUE);
    header[2] = VERSION;
    // A name can change with the compiler, which costs a miss.
    header[3..].copy_from_slice(&xxh3_64(type_name::<T>().as_bytes()).to_le_bytes());
    header
}

/// That a value is written now, and how long it lives.
pub(crate) fn life(ttl: Duration) -> [u8; LIFE_BYTES] {
    let mut life = [0; LIFE_BYTES];
    life[..8].copy_from_slice(&now().to_le_bytes());
    life[8..].copy_from_slice(&millis(ttl).to_le_bytes());
    life
}

/// Puts a value that lives for so long from now on into an envelope.
pub(crate) fn encode<T: Serialize>(
    key: &str,
    value: &T,
    ttl: Duration,
) -> Result<Vec<u8>, serde_json::Error> {
    let key = if is_hashed(key) { key } else { "" };
    let mut bytes = header::<T>().to_vec();
    bytes.extend_from_slice(&life(ttl));
    bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

/// Takes a value, and how long it has still to live, out of an envelope; `None` if it holds no such
/// value of this key.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Option<(T, Duration)> {
    let key = if is_hashed(key) { key } else { "" };
    let rest = bytes.strip_prefix(&header::<T>())?;
    let (life, rest) = rest.split_first_chunk::<LIFE_BYTES>()?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let (own_key, json) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    if own_key != key.as_bytes() {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, left(*life)))
}

/// What is left of a life. Clocks of two machines differ: it is at most what it was to begin with.
fn left(life: [u8; LIFE_BYTES]) -> Duration {
    let [written, ttl] = [0, 8].map(|at| {
        let mut number = [0; 8];
        number.copy_from_slice(&life[at..at + 8]);
        u64::from_le_bytes(number)
    });
    let age = now().saturating_sub(written);
    Duration::from_millis(ttl.saturating_sub(age))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    mod before {
        #[derive(serde::Deserialize, serde::Serialize)]
        pub(super) struct Profile {
            pub(super) name: String,
        }
    }

    fn comes_back<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode("k", value, TTL).unwrap();
        let (decoded, left) = decode::<T>("k", &bytes).unwrap();
        assert_eq!(&decoded, value);
        assert!(left <= TTL && left > TTL / 2, "{left:?}");
    }

    #[test]
    fn values_that_look_like_nothing_come_back() {
        comes_back(&0_u32);
        comes_back(&false);
        comes_back(&String::new());
        comes_back(&Vec::<u8>::new());
        comes_back(&None::<u32>);
        comes_back(&());
        comes_back(&serde_json::Value::Null);
    }

    #[test]
    fn another_type_is_a_miss_even_where_its_json_would_do() {
        let bytes = encode("k", &before::Profile { name: "a".into() }, TTL).unwrap();
        assert!(decode::<serde_json::Value>("k", &bytes).is_none());
        assert!(decode::<u64>("k", &encode("k", &1_u32, TTL).unwrap()).is_none());
    }

    #[test]
    fn a_field_that_is_missing_is_a_miss() {
        let mut bytes = header::<before::Profile>().to_vec();
        bytes.extend_from_slice(&life(TTL));
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.extend_from_slice(br#"{"nickname":"a"}"#);
        assert!(decode::<before::Profile>("k", &bytes).is_none());
    }

    #[test]
    fn whatever_is_cut_or_foreign_is_a_miss() {
        let whole = encode(&"k".repeat(500), &"value".to_owned(), TTL).unwrap();
        for length in 0..whole.len() {
            assert!(decode::<String>(&"k".repeat(500), &whole[..length]).is_none());
        }
        assert!(decode::<String>("k", b"\"value\"").is_none());
    }

    #[test]
    fn a_long_key_is_compared_whole() {
        let bytes = encode(&"k".repeat(500), &1_u32, TTL).unwrap();
        let (value, _) = decode::<u32>(&"k".repeat(500), &bytes).unwrap();
        assert_eq!(value, 1);
        assert!(decode::<u32>(&"k".repeat(501), &bytes).is_none());
        assert!(decode::<u32>("k", &bytes).is_none());
    }

    #[test]
    fn whatever_the_clocks_say_nothing_lives_longer_than_it_was_to() {
        let at = |written: u64| {
            let mut life = life(TTL);
            life[..8].copy_from_slice(&written.to_le_bytes());
            left(life)
        };
        let hour = millis(Duration::from_secs(3_600));
        assert_eq!(at(now() + hour), TTL);
        assert_eq!(at(now() - hour), Duration::ZERO);
        assert_eq!(at(u64::MAX), TTL);
        assert!(at(now() - 10_000) <= Duration::from_secs(50));
    }
}
