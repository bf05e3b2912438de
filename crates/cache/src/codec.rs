//! How a value becomes bytes: postcard, or JSON for what postcard cannot hold.
//!
//! Postcard takes fewer bytes and less time than JSON, but says nothing of what it holds. Each
//! value therefore has a [shape], which is kept beside it and compared when it has been read: a value of a
//! struct that has changed since is a miss, and never a mistake.
//!
//! What needs to be told its own types (`flatten`, `untagged`, `tag = "…"`, `serde_json::Value`), leaves
//! fields out (`skip_serializing_if`) or knows one by two names (`alias`) is JSON, without its type saying
//! so. Its first value, and each with a [branch](branches) that none before it had, is read back when it has
//! been written; where that fails, here or on a later read, its type is JSON for the rest of the process.

mod branches;
mod read;
mod shape;
mod write;

use std::{
    any::{TypeId, type_name},
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use serde::{Serialize, de::DeserializeOwned};

use branches::Branches;

/// How deep a value may be nested in postcard: as deep as `serde_json` reads.
const MAX_DEPTH: usize = 128;

/// How values are written in Redis.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Codec {
    /// Postcard, which takes fewer bytes and less time than JSON; JSON for those types that it cannot hold,
    /// such as those with `flatten`, `untagged` or `skip_serializing_if`. A value whose type has changed since
    /// is a miss.
    #[default]
    Postcard,
    /// JSON, which people and other programs can read. A value whose type has changed since is a miss where JSON
    /// does not fit it any more.
    Json,
}

/// What has to be known to read a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Written {
    pub(crate) codec: Codec,
    /// 0 for JSON, which says itself what it is.
    pub(crate) shape: u64,
}

/// Appends a value to `out`. `wanted` is what it is written as where its type allows.
///
/// # Errors
///
/// Where its type's own serialization fails, or JSON cannot hold it either; `out` is as it was, then.
pub(crate) fn encode<T: Serialize + DeserializeOwned + 'static>(
    value: &T,
    wanted: Codec,
    out: &mut Vec<u8>,
) -> Result<Written, serde_json::Error> {
    let fitness = match wanted {
        Codec::Postcard => Fitness::of::<T>(),
        Codec::Json => Fitness::Unfit,
    };
    let Fitness::Fit(known) = fitness else {
        return encode_json(value, out);
    };
    let start = out.len();
    match encode_postcard(value, &known, out) {
        Ok(shape) => Ok(Written {
            codec: Codec::Postcard,
            shape,
        }),
        Err(error) => {
            out.truncate(start);
            // First, because a value that nothing can hold says nothing about its type.
            let written = encode_json(value, out)?;
            mark_unfit::<T>(&error);
            Ok(written)
        }
    }
}

/// The value that all of these bytes are; `None` where they are those of another type, or of this one as it
/// was before.
pub(crate) fn decode<T: DeserializeOwned + 'static>(
    codec: Codec,
    shape: u64,
    bytes: &[u8],
) -> Option<T> {
    if codec == Codec::Json {
        return serde_json::from_slice(bytes).ok();
    }
    match read::read::<T>(bytes) {
        Ok((value, found)) => (found == shape).then_some(value),
        Err(error) => {
            if error == postcard::Error::WontImplement {
                mark_unfit::<T>(&error);
            }
            None
        }
    }
}

fn encode_json<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<Written, serde_json::Error> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value).inspect_err(|_| out.truncate(start))?;
    Ok(Written {
        codec: Codec::Json,
        shape: 0,
    })
}

fn encode_postcard<T: Serialize + DeserializeOwned + 'static>(
    value: &T,
    known: &Branches,
    out: &mut Vec<u8>,
) -> postcard::Result<u64> {
    let start = out.len();
    let (shape, branches) = write::write(value, out)?;
    if !known.cover(&branches) {
        let (_, found) = read::read::<T>(&out[start..])?;
        if found != shape {
            return Err(postcard::Error::DeserializeBadEncoding);
        }
        mark_fit::<T>(&branches);
    }
    Ok(shape)
}

/// What is known of a type.
#[derive(Clone, Copy, Debug)]
enum Fitness {
    /// Values with these branches have come back from postcard.
    Fit(Branches),
    Unfit,
}

/// One entry for each type of the program that is cached.
static TYPES: RwLock<BTreeMap<TypeId, Fitness>> = RwLock::new(BTreeMap::new());

impl Fitness {
    fn of<T: 'static>() -> Fitness {
        let types = TYPES.read().unwrap_or_else(PoisonError::into_inner);
        let known = types.get(&TypeId::of::<T>()).copied();
        known.unwrap_or(Fitness::Fit(Branches::default()))
    }
}

fn mark_fit<T: 'static>(branches: &Branches) {
    let mut types = TYPES.write().unwrap_or_else(PoisonError::into_inner);
    let entry = types.entry(TypeId::of::<T>());
    // One that another thread has found unfit meanwhile stays so.
    if let Fitness::Fit(known) = entry.or_insert(Fitness::Fit(Branches::default())) {
        known.extend(branches);
    }
}

fn mark_unfit<T: 'static>(reason: &postcard::Error) {
    let mut types = TYPES.write().unwrap_or_else(PoisonError::into_inner);
    let before = types.insert(TypeId::of::<T>(), Fitness::Unfit);
    drop(types);
    if !matches!(before, Some(Fitness::Unfit)) {
        let name = type_name::<T>();
        tracing::info!(%reason, "postcard cannot hold a `{name}`, which is cached as JSON from now on");
    }
}

#[cfg(test)]
mod tests;
