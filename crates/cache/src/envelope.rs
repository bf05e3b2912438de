//! How a value stands in Redis.
//!
//! | Bytes | What |
//! | --- | --- |
//! | 3 | `RQ5` |
//! | 8 | the schema: a hash of the type's name |
//! | 28 | its [life](Life): when it was written, for how long it is right and kept, what its load took |
//! | 8 | the generation of the [epoch](crate::tags) |
//! | 1, and 1 + … + 8 each | its tags: how many, and each one's length, name and generation |
//! | 4 + … | the key, where its [name](crate::names) holds only a part of it |
//! | the rest | the value: see [`crate::payload`] |
//!
//! Numbers are little endian. Redis lets go of a value in time by itself; that the value says it too spares
//! whoever reads it a second command.
//! Whatever cannot be read is a miss: another version's or another type's value, a changed struct,
//! somebody else's bytes. `0`, `[]` and `null` are values.
//!
//! A key whose value is being loaded or written has a lease beside it: see [`crate::scripts`].

use std::{
    any::type_name,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    names::is_hashed,
    payload::Payload,
    tags::{MAX_TAG_BYTES, MAX_TAGS},
};

/// What every value begins with.
pub(crate) const VALUE: &[u8] = b"RQ5";
const HEADER_BYTES: usize = 11;
/// Where the [life](Life) stands.
pub(crate) const LIFE_AT: usize = HEADER_BYTES;
/// How much of it a new time to live changes.
pub(crate) const TIMES_BYTES: usize = 24;
const LIFE_BYTES: usize = TIMES_BYTES + 4;
const LENGTH_BYTES: usize = 4;
const GENERATION_BYTES: usize = 8;
/// From the start, as far as the tags of any value go.
pub(crate) const FRONT_BYTES: usize = HEADER_BYTES
    + LIFE_BYTES
    + GENERATION_BYTES
    + 1
    + MAX_TAGS * (1 + MAX_TAG_BYTES + GENERATION_BYTES);

/// The generations of a value's tags, as they stand in its envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps<'a> {
    epoch: u64,
    count: usize,
    tags: &'a [u8],
}

/// A value in its envelope, of which all but the value has been read.
#[derive(Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) life: Life,
    pub(crate) stamps: Stamps<'a>,
    pub(crate) payload: &'a [u8],
}

/// From when to when a value may be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Life {
    /// Milliseconds since 1970, by the clock of whoever wrote it. With the rest, it tells one value of a key
    /// from the next.
    pub(crate) written: u64,
    /// How long it is right,
    pub(crate) fresh: Duration,
    /// and how long it may be better than nothing.
    pub(crate) kept: Duration,
    /// What its load took, so that it is known when to begin the next.
    pub(crate) load_time: Duration,
}

impl Life {
    pub(crate) fn begin(fresh: Duration, kept: Duration, load_time: Duration) -> Life {
        Life {
            written: now(),
            fresh,
            kept,
            load_time,
        }
    }

    /// That of a value which is right until it is gone.
    pub(crate) fn of(ttl: Duration) -> Life {
        Life::begin(ttl, ttl, Duration::ZERO)
    }

    /// What tells it from the one before: the part that stands first.
    pub(crate) fn mark(&self) -> [u8; 8] {
        self.written.to_le_bytes()
    }

    /// When it was written, and for how long it lives.
    pub(crate) fn times(&self) -> [u8; TIMES_BYTES] {
        let mut times = [0; TIMES_BYTES];
        times[..8].copy_from_slice(&self.mark());
        times[8..16].copy_from_slice(&millis(self.fresh).to_le_bytes());
        times[16..].copy_from_slice(&millis(self.kept).to_le_bytes());
        times
    }

    fn bytes(&self) -> [u8; LIFE_BYTES] {
        let load_time = u32::try_from(millis(self.load_time)).unwrap_or(u32::MAX);
        let mut bytes = [0; LIFE_BYTES];
        bytes[..TIMES_BYTES].copy_from_slice(&self.times());
        bytes[TIMES_BYTES..].copy_from_slice(&load_time.to_le_bytes());
        bytes
    }

    fn parse(bytes: [u8; LIFE_BYTES]) -> Life {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let mut load_time = [0; 4];
        load_time.copy_from_slice(&bytes[TIMES_BYTES..]);
        Life {
            written: number(0),
            fresh: Duration::from_millis(number(8)),
            kept: Duration::from_millis(number(16)),
            load_time: Duration::from_millis(u32::from_le_bytes(load_time).into()),
        }
    }

    /// What is left of it at this [time](now), and for how long it has not been right any more. Clocks of two machines
    /// differ: it is at most what it was to begin with.
    pub(crate) fn left(self, now: u64) -> (Life, Duration) {
        let age = Duration::from_millis(now.saturating_sub(self.written));
        let left = Life {
            fresh: self.fresh.saturating_sub(age),
            kept: self.kept.saturating_sub(age),
            ..self
        };
        (left, age.saturating_sub(self.fresh))
    }
}

/// How long a value of this life that Redis keeps for `left` is right; `None` where it is not.
pub(crate) fn fresh_of_kept(life: Life, left: Duration) -> Option<Duration> {
    let age = life.kept.saturating_sub(left);
    life.fresh.checked_sub(age).filter(|it| !it.is_zero())
}

/// What tells a value from the one before, if these bytes are one.
pub(crate) fn mark(bytes: &Bytes) -> Option<Bytes> {
    let is_value = bytes.starts_with(VALUE) && bytes.len() >= LIFE_AT + 8;
    is_value.then(|| bytes.slice(LIFE_AT..LIFE_AT + 8))
}

/// The start of every envelope that can hold a `T`.
pub(crate) fn header<T>() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..VALUE.len()].copy_from_slice(VALUE);
    // A name can change with the compiler, which costs a miss.
    header[VALUE.len()..].copy_from_slice(&xxh3_64(type_name::<T>().as_bytes()).to_le_bytes());
    header
}

/// Puts a value into an envelope.
pub(crate) fn seal<T>(key: &str, life: Life, stamps: &[u8], payload: &Payload) -> Bytes {
    let key = if is_hashed(key) { key } else { "" };
    let front = HEADER_BYTES + LIFE_BYTES + stamps.len() + LENGTH_BYTES + key.len();
    let mut bytes = Vec::with_capacity(front + payload.size());
    bytes.extend_from_slice(&header::<T>());
    bytes.extend_from_slice(&life.bytes());
    bytes.extend_from_slice(stamps);
    // A key of more than 4 GiB is none.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    payload.write(&mut bytes);
    bytes.into()
}

/// Opens an envelope; `None` if it holds no `T` of this key.
pub(crate) fn open<'a, T>(key: &str, bytes: &'a [u8]) -> Option<Sealed<'a>> {
    let key = if is_hashed(key) { key } else { "" };
    let rest = bytes.strip_prefix(&header::<T>())?;
    let (life, rest) = rest.split_first_chunk::<LIFE_BYTES>()?;
    let (stamps, rest) = Stamps::parse(rest)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let (own_key, payload) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    (own_key == key.as_bytes()).then(|| Sealed {
        life: Life::parse(*life),
        stamps,
        payload,
    })
}

/// The part of an envelope that holds generations: that of the epoch, and those of at most [`MAX_TAGS`] tags with
/// names of at most [`MAX_TAG_BYTES`].
pub(crate) fn stamps<'a>(
    epoch: u64,
    tags: impl ExactSizeIterator<Item = (&'a str, u64)>,
) -> Vec<u8> {
    let mut bytes = epoch.to_le_bytes().to_vec();
    bytes.push(u8::try_from(tags.len()).unwrap_or(u8::MAX));
    for (name, generation) in tags {
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&generation.to_le_bytes());
    }
    bytes
}

/// The life and the generations in the front of an envelope of whatever type; `None` if it is none.
pub(crate) fn front(bytes: &[u8]) -> Option<(Life, Stamps<'_>)> {
    if !bytes.starts_with(VALUE) {
        return None;
    }
    let (life, rest) = bytes.get(LIFE_AT..)?.split_first_chunk::<LIFE_BYTES>()?;
    let (stamps, _) = Stamps::parse(rest)?;
    Some((Life::parse(*life), stamps))
}

impl<'a> Stamps<'a> {
    /// Reads them off the start of these bytes, and answers what follows.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<(Stamps<'a>, &'a [u8])> {
        let (epoch, rest) = bytes.split_first_chunk::<GENERATION_BYTES>()?;
        let (count, tags) = rest.split_first()?;
        let mut after = tags;
        for _ in 0..*count {
            (_, after) = stamp(after)?;
        }
        let stamps = Stamps {
            epoch: u64::from_le_bytes(*epoch),
            count: (*count).into(),
            tags,
        };
        Some((stamps, after))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The names of its tags, and their generations.
    pub(crate) fn tags(self) -> impl Iterator<Item = (&'a str, u64)> {
        let mut rest = self.tags;
        (0..self.count).map_while(move |_| {
            let (stamp, after) = stamp(rest)?;
            rest = after;
            Some(stamp)
        })
    }
}

/// The first tag of these bytes, and what follows.
fn stamp(bytes: &[u8]) -> Option<((&str, u64), &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked((*length).into())?;
    let (generation, rest) = rest.split_first_chunk::<GENERATION_BYTES>()?;
    let name = std::str::from_utf8(name).ok()?;
    Some(((name, u64::from_le_bytes(*generation)), rest))
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};

    use super::*;
    use crate::{codec::Codec, payload};

    const TTL: Duration = Duration::from_secs(60);

    mod before {
        #[derive(serde::Deserialize, serde::Serialize)]
        pub(super) struct Profile {
            pub(super) name: String,
        }
    }

    fn sealed<T: Serialize + DeserializeOwned + 'static>(
        key: &str,
        value: &T,
        life: Life,
        generations: &[(&str, u64)],
    ) -> Bytes {
        let stamps = stamps(7, generations.iter().copied());
        let payload = Payload::encode(value, Codec::Postcard).unwrap();
        seal::<T>(key, life, &stamps, &payload)
    }

    fn decode<T: DeserializeOwned + 'static>(key: &str, bytes: &[u8]) -> Option<T> {
        let payload = open::<T>(key, bytes)?.payload;
        Some(payload::decode(payload, 1_000_000).ok()?.0)
    }

    fn comes_back<T>(value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + 'static,
    {
        let life = Life::begin(TTL, 2 * TTL, TTL / 60);
        let generations = [("a", 3), ("", 0), ("ü", u64::MAX)];
        let bytes = sealed("k", value, life, &generations);
        let opened = open::<T>("k", &bytes).unwrap();
        let written = opened.life;
        assert_eq!(decode::<T>("k", &bytes).as_ref(), Some(value));
        assert_eq!(written, life);
        assert_eq!(opened.stamps.epoch(), 7);
        assert!(opened.stamps.tags().eq(generations));
        let (front_life, front_stamps) = front(&bytes).unwrap();
        assert_eq!(front_life, life);
        assert!(front_stamps.tags().eq(generations));
        let (left, overdue) = written.left(now());
        assert!(left.fresh <= TTL && left.fresh > TTL / 2, "{left:?}");
        assert!(left.kept <= 2 * TTL && left.kept > TTL, "{left:?}");
        assert_eq!(overdue, Duration::ZERO);
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
        let bytes = sealed(
            "k",
            &before::Profile { name: "a".into() },
            Life::of(TTL),
            &[],
        );
        assert!(decode::<serde_json::Value>("k", &bytes).is_none());
        assert!(decode::<u64>("k", &sealed("k", &1_u32, Life::of(TTL), &[])).is_none());
    }

    #[test]
    fn whatever_is_cut_or_foreign_is_a_miss() {
        let key = "k".repeat(500);
        let whole = sealed(&key, &"value".to_owned(), Life::of(TTL), &[("tag", 1)]);
        for length in 0..whole.len() {
            assert!(decode::<String>(&key, &whole[..length]).is_none());
        }
        assert!(decode::<String>("k", b"\"value\"").is_none());
    }

    #[test]
    fn a_long_key_is_compared_whole() {
        let bytes = sealed(&"k".repeat(500), &1_u32, Life::of(TTL), &[]);
        assert_eq!(decode::<u32>(&"k".repeat(500), &bytes), Some(1));
        assert!(decode::<u32>(&"k".repeat(501), &bytes).is_none());
        assert!(decode::<u32>("k", &bytes).is_none());
    }

    #[test]
    fn whatever_the_clocks_say_nothing_lives_longer_than_it_was_to() {
        let at = |written: u64| {
            let life = Life::of(TTL);
            Life { written, ..life }.left(now()).0.fresh
        };
        let hour = millis(Duration::from_secs(3_600));
        assert_eq!(at(now() + hour), TTL);
        assert_eq!(at(now() - hour), Duration::ZERO);
        assert_eq!(at(u64::MAX), TTL);
        assert!(at(now() - 10_000) <= Duration::from_secs(50));
    }

    #[test]
    fn redis_says_how_long_a_value_is_right_by_its_own_clock() {
        let life = Life::begin(TTL, 3 * TTL, TTL);
        assert_eq!(fresh_of_kept(life, 3 * TTL), Some(TTL));
        assert_eq!(fresh_of_kept(life, 5 * TTL / 2), Some(TTL / 2));
        assert_eq!(fresh_of_kept(life, 2 * TTL), None);
        assert_eq!(fresh_of_kept(life, TTL), None);
    }
}
