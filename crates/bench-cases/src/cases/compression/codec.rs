//! The codecs themselves: one body after the other, with whatever state a codec lets its user keep.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    sync::Arc,
};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use ruleiq_bench::{Arm, Fault, repeat};
use ruleiq_compression::{Coding, Config, Encoder};
use zstd::bulk::Compressor;

use super::{Settings, corpus};
use crate::{
    Env,
    judged::{Wrong, judged},
};

/// The window of gzip, as an exponent.
const GZIP_WINDOW_LOG: u8 = 15;

/// A codec's state and the room for what it makes.
pub(super) enum Codec {
    Brotli(i32),
    Zstd(Compressor<'static>),
    Gzip(Compress),
}

impl Codec {
    /// At the level that bodies of this size have.
    pub(super) fn new(coding: Coding, size_bytes: usize) -> io::Result<Codec> {
        let config = Config::default();
        let encoder = Encoder::new(&config).map_err(io::Error::other)?;
        let choice = encoder.choose(&[coding], Some(size_bytes));
        let level = choice.map_or(0, |it| it.level);
        Ok(match coding {
            Coding::Brotli => Codec::Brotli(level),
            Coding::Zstd => Codec::Zstd(Compressor::new(level)?),
            Coding::Gzip => Codec::Gzip(Compress::new_gzip(
                Compression::new(config.gzip_level.unsigned_abs()),
                GZIP_WINDOW_LOG,
            )),
        })
    }

    /// Encodes a body into `room`, in place of what was there.
    pub(super) fn encode(&mut self, mut body: &[u8], room: &mut Vec<u8>) -> io::Result<()> {
        room.clear();
        match self {
            Codec::Brotli(level) => {
                let fitting = (17..22).find(|log| body.len() <= 1 << log);
                let params = BrotliEncoderParams {
                    quality: *level,
                    lgwin: fitting.unwrap_or(22),
                    size_hint: body.len(),
                    ..BrotliEncoderParams::default()
                };
                brotli::BrotliCompress(&mut body, room, &params).map(drop)
            }
            Codec::Zstd(state) => {
                room.reserve(zstd::zstd_safe::compress_bound(body.len()));
                state.compress_to_buffer(body, room).map(drop)
            }
            Codec::Gzip(state) => {
                state.reset();
                room.reserve(body.len() + 1_024);
                match state.compress_vec(body, room, FlushCompress::Finish)? {
                    Status::StreamEnd => Ok(()),
                    other => Err(io::Error::other(format!("gzip ended with {other:?}"))),
                }
            }
        }
    }
}

/// A side that only encodes.
pub(super) async fn raw(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let coding = settings.coding();
    let bodies = corpus::bodies(env.seed(), settings.size_bytes, settings.bodies);
    let mut codec = Codec::new(coding, settings.size_bytes).map_err(Fault::failed)?;
    let mut room = Vec::new();
    let mut lengths = Vec::new();
    for body in &bodies {
        codec.encode(body, &mut room).map_err(Fault::failed)?;
        lengths.push(room.len());
    }
    let counts = BTreeMap::from([("bytes_out".to_owned(), mean(&lengths))]);
    let (wrong, right) = (Wrong::default(), bodies.clone());
    let (judge, mut at) = (wrong.clone(), 0);
    let operation = move || {
        let number = at % bodies.len();
        at += 1;
        let is_encoded = codec.encode(&bodies[number], &mut room).is_ok();
        judge.judge(is_encoded && room.len() == lengths[number]);
        (number, Fingerprint::of(&room))
    };
    let mut again = Codec::new(coding, settings.size_bytes).map_err(Fault::failed)?;
    let mut encoded = Vec::new();
    let mut fingerprints = Vec::new();
    for body in &right {
        again.encode(body, &mut encoded).map_err(Fault::failed)?;
        compare(coding, &encoded, body)?;
        fingerprints.push(Fingerprint::of(&encoded));
    }
    let check = move |(number, found): &(usize, Fingerprint)| match fingerprints[*number] == *found
    {
        true => Ok(()),
        false => Err(Fault::Wrong(format!("body {number} in other bytes"))),
    };
    Ok(judged(repeat(operation, check), wrong, counts))
}

/// Enough of an encoded body to tell it from another, at no cost: its length and its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Fingerprint(usize, [u8; 8]);

impl Fingerprint {
    fn of(encoded: &[u8]) -> Fingerprint {
        let end = encoded.last_chunk().copied().unwrap_or_default();
        Fingerprint(encoded.len(), end)
    }
}

/// The mean of lengths.
#[expect(clippy::cast_precision_loss, reason = "bytes of a few bodies")]
pub(super) fn mean(lengths: &[usize]) -> f64 {
    lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
}

/// An error unless `encoded` decodes to `body`.
pub(crate) fn compare(coding: Coding, encoded: &[u8], body: &Bytes) -> Result<(), Fault> {
    match decode(coding, encoded) {
        Ok(decoded) if decoded == *body => Ok(()),
        Ok(_) => Err(Fault::Wrong(format!("{coding} decodes to something else"))),
        Err(error) => Err(Fault::Wrong(format!("{coding} cannot be decoded: {error}"))),
    }
}

fn decode(coding: Coding, encoded: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match coding {
        Coding::Brotli => brotli::Decompressor::new(encoded, 4_096).read_to_end(&mut body)?,
        Coding::Zstd => zstd::Decoder::new(encoded)?.read_to_end(&mut body)?,
        Coding::Gzip => flate2::read::GzDecoder::new(encoded).read_to_end(&mut body)?,
    };
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_gives_the_same_bytes_again_and_they_decode() {
        let bodies = corpus::bodies(42, 10_000, 2);
        for coding in Coding::ALL {
            let mut codec = Codec::new(coding, 10_000).unwrap();
            let (mut first, mut again) = (Vec::new(), Vec::new());
            codec.encode(&bodies[0], &mut first).unwrap();
            codec.encode(&bodies[1], &mut again).unwrap();
            compare(coding, &again, &bodies[1]).unwrap();
            codec.encode(&bodies[0], &mut again).unwrap();
            assert_eq!(first, again, "{coding}");
            assert!(compare(coding, &first, &bodies[1]).is_err());
            assert!(compare(coding, &first[..first.len() / 2], &bodies[0]).is_err());
        }
    }
}
