//! A value as bytes, with what has to be known to read it: `flags` (1 byte: 1 for JSON, 2 for zstd), the shape (8
//! bytes), the size before compression (4), the CRC-32 of what follows (4), and the value; numbers little endian.
//!
//! Values from 2 KiB on are compressed by zstd at level 1, where that saves a fifth at least, with a context that is
//! at hand: making one takes longer than most values do.

use std::cell::RefCell;

use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{self, Codec};

const HEADER_BYTES: usize = 17;
const JSON: u8 = 1;
const ZSTD: u8 = 2;
const LEVEL: i32 = 1;
/// Below, compression costs more than it saves.
const MIN_COMPRESSED_BYTES: usize = 2 * 1024;

thread_local! {
    // A context costs more to make than most values cost to compress.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A value that is encoded, and compressed where that pays.
#[derive(Debug)]
pub(crate) struct Payload {
    flags: u8,
    shape: u64,
    encoded_bytes: u32,
    bytes: Vec<u8>,
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unreadable {
    /// It has another shape: its type has changed.
    Schema,
    /// It is not what was written, or claims to be larger than values are.
    Damaged,
}

impl Payload {
    pub(crate) fn encode<T: Serialize + DeserializeOwned + 'static>(
        value: &T,
        codec: Codec,
    ) -> Result<Payload, serde_json::Error> {
        let mut bytes = Vec::new();
        let written = codec::encode(value, codec, &mut bytes)?;
        let mut payload = Payload {
            flags: match written.codec {
                Codec::Postcard => 0,
                Codec::Json => JSON,
            },
            shape: written.shape,
            // What is larger than 4 GiB is above every limit.
            encoded_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            bytes,
        };
        if let Some(compressed) = compressed(&payload.bytes) {
            payload.bytes = compressed;
            payload.flags |= ZSTD;
        }
        Ok(payload)
    }

    /// Its size before compression.
    pub(crate) fn encoded_bytes(&self) -> usize {
        usize::try_from(self.encoded_bytes).unwrap_or(usize::MAX)
    }

    /// What it takes in an envelope.
    pub(crate) fn size(&self) -> usize {
        HEADER_BYTES + self.bytes.len()
    }

    /// Of the same values it is the same.
    pub(crate) fn hash(&self) -> u64 {
        xxh3_64(&self.bytes)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.extend_from_slice(&self.shape.to_le_bytes());
        out.extend_from_slice(&self.encoded_bytes.to_le_bytes());
        out.extend_from_slice(&checksum(&self.bytes));
        out.extend_from_slice(&self.bytes);
    }
}

/// Reads a value of at most so many bytes before compression. Answers its size, too.
pub(crate) fn decode<T: DeserializeOwned + 'static>(
    bytes: &[u8],
    limit: usize,
) -> Result<(T, usize), Unreadable> {
    let (head, bytes) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Unreadable::Damaged)?;
    let [flags, rest @ ..] = head;
    let (shape, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let (encoded_bytes, sum) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let encoded_bytes = usize::try_from(u32::from_le_bytes(*encoded_bytes)).unwrap_or(usize::MAX);
    if *sum != checksum(bytes) || encoded_bytes > limit {
        return Err(Unreadable::Damaged);
    }
    let codec = match flags & JSON {
        0 => Codec::Postcard,
        _ => Codec::Json,
    };
    let shape = u64::from_le_bytes(*shape);
    let value = match flags & ZSTD {
        0 => codec::decode(codec, shape, bytes),
        _ => codec::decode(codec, shape, &decompressed(bytes, encoded_bytes)?),
    };
    Ok((value.ok_or(Unreadable::Schema)?, encoded_bytes))
}

/// `None` where it does not pay.
fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < MIN_COMPRESSED_BYTES {
        return None;
    }
    let compressed = COMPRESSOR.with_borrow_mut(|it| {
        if it.is_none() {
            *it = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        it.as_mut()?.compress(bytes).ok()
    })?;
    (compressed.len() <= bytes.len() / 5 * 4).then_some(compressed)
}

/// Takes no more memory than it says itself, which has been checked.
fn decompressed(bytes: &[u8], encoded_bytes: usize) -> Result<Vec<u8>, Unreadable> {
    let decompressed = DECOMPRESSOR.with_borrow_mut(|it| {
        if it.is_none() {
            *it = zstd::bulk::Decompressor::new().ok();
        }
        it.as_mut()?.decompress(bytes, encoded_bytes).ok()
    });
    decompressed
        .filter(|it| it.len() == encoded_bytes)
        .ok_or(Unreadable::Damaged)
}

/// A CRC-32, for which processors have instructions.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024 * 1024;

    fn written<T: Serialize + DeserializeOwned + 'static>(value: &T, codec: Codec) -> Vec<u8> {
        let mut bytes = Vec::new();
        Payload::encode(value, codec).unwrap().write(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_large_and_repeats_is_small_in_redis() {
        let rows: Vec<(u64, String)> = (0..500).map(|n| (n, "compliant".to_owned())).collect();
        for codec in [Codec::Postcard, Codec::Json] {
            let bytes = written(&rows, codec);
            let (read, size) = decode::<Vec<(u64, String)>>(&bytes, LIMIT).unwrap();
            assert_eq!(read, rows);
            assert!(bytes.len() < size / 2, "{} of {size}", bytes.len());
        }
        // Nothing is to be saved here.
        let noise: Vec<u64> = (0..1_000_u64).map(|n| xxh3_64(&n.to_le_bytes())).collect();
        let bytes = written(&noise, Codec::Postcard);
        let (read, size) = decode::<Vec<u64>>(&bytes, LIMIT).unwrap();
        assert_eq!((read, size), (noise, bytes.len() - HEADER_BYTES));
    }

    #[test]
    fn a_bomb_takes_no_memory() {
        let small = vec![0_u8; 100 * LIMIT];
        let bytes = written(&small, Codec::Postcard);
        assert!(bytes.len() < LIMIT / 10);
        assert_eq!(
            decode::<Vec<u8>>(&bytes, LIMIT).unwrap_err(),
            Unreadable::Damaged
        );
        // Nor one that lies about its size.
        let mut lie = bytes;
        lie[9..13].copy_from_slice(&1_000_u32.to_le_bytes());
        assert_eq!(
            decode::<Vec<u8>>(&lie, LIMIT).unwrap_err(),
            Unreadable::Damaged
        );
    }

    #[test]
    fn what_is_cut_or_changed_is_damaged() {
        let bytes = written(&"value".to_owned(), Codec::Postcard);
        for length in 0..bytes.len() {
            assert!(decode::<String>(&bytes[..length], LIMIT).is_err());
        }
        for at in HEADER_BYTES..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(
                decode::<String>(&changed, LIMIT).unwrap_err(),
                Unreadable::Damaged
            );
        }
    }
}
