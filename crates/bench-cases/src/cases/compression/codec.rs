//! The codecs themselves: one body after the other, with whatever state a codec lets its user keep.

use std::io::{self, Read as _};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use ruleiq_bench::Fault;
use ruleiq_compression::{Coding, Config, Encoder};
use zstd::bulk::Compressor;

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
    use super::{super::corpus, *};

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
