//! How a value stands in Redis.
//!
//! `RQ1`, the schema (a hash of the type's name, 8 bytes), the length of the key (4 bytes) and the
//! key where its [name](crate::names) holds only a part of it, then JSON; numbers little endian.
//! Whatever cannot be read is a miss: another version's or another type's value, a changed struct,
//! somebody else's bytes. `0`, `[]` and `null` are values.
//!
//! A key whose value is being loaded or written holds a lease instead: see [`crate::scripts`].

use std::any::type_name;

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use crate::names::is_hashed;

/// What every value begins with.
pub(crate) const VALUE: &[u8] = b"RQ";
const VERSION: u8 = b'1';
const HEADER_BYTES: usize = 11;
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

/// Puts a value into an envelope.
pub(crate) fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let key = if is_hashed(key) { key } else { "" };
    let mut bytes = header::<T>().to_vec();
    bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

/// Takes a value out of an envelope; `None` if it holds no such value of this key.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Option<T> {
    let key = if is_hashed(key) { key } else { "" };
    let rest = bytes.strip_prefix(&header::<T>())?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let (own_key, json) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    if own_key != key.as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    mod before {
        #[derive(serde::Deserialize, serde::Serialize)]
        pub(super) struct Profile {
            pub(super) name: String,
        }
    }

    fn comes_back<T>(value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode("k", &value).unwrap();
        assert_eq!(decode::<T>("k", &bytes), Some(value));
    }

    #[test]
    fn values_that_look_like_nothing_come_back() {
        comes_back(0_u32);
        comes_back(false);
        comes_back(String::new());
        comes_back(Vec::<u8>::new());
        comes_back(None::<u32>);
        comes_back(());
        comes_back(serde_json::Value::Null);
    }

    #[test]
    fn another_type_is_a_miss_even_where_its_json_would_do() {
        let bytes = encode("k", &before::Profile { name: "a".into() }).unwrap();
        assert!(decode::<serde_json::Value>("k", &bytes).is_none());
        assert!(decode::<u64>("k", &encode("k", &1_u32).unwrap()).is_none());
    }

    #[test]
    fn a_field_that_is_missing_is_a_miss() {
        let mut bytes = header::<before::Profile>().to_vec();
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.extend_from_slice(br#"{"nickname":"a"}"#);
        assert!(decode::<before::Profile>("k", &bytes).is_none());
    }

    #[test]
    fn whatever_is_cut_or_foreign_is_a_miss() {
        let whole = encode(&"k".repeat(500), &"value".to_owned()).unwrap();
        for length in 0..whole.len() {
            assert!(decode::<String>(&"k".repeat(500), &whole[..length]).is_none());
        }
        assert!(decode::<String>("k", b"\"value\"").is_none());
    }

    #[test]
    fn a_long_key_is_compared_whole() {
        let bytes = encode(&"k".repeat(500), &1_u32).unwrap();
        assert_eq!(decode::<u32>(&"k".repeat(500), &bytes), Some(1));
        assert_eq!(decode::<u32>(&"k".repeat(501), &bytes), None);
        assert_eq!(decode::<u32>("k", &bytes), None);
    }
}
