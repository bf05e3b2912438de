//! Encodes whole bodies, with state that is used again.
//!
//! The same body, coding and level give the same bytes, whatever the state was used for before.

use std::{thread, time::Duration};

use brotli::enc::{
    StandardAlloc,
    encode::{BrotliEncoderOperation, BrotliEncoderStateStruct},
};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::bulk::Compressor;

use crate::{BuildError, Coding, Config, EncodeError, cost, pool::Pool};

/// The window of gzip, 32 KiB, as an exponent. It has no larger one.
const GZIP_WINDOW_LOG: u8 = 15;
/// A zstd state that one large body has blown up beyond this many bytes is not kept.
const KEPT_ZSTD_BYTES: usize = 4 * 1024 * 1024;

/// Encodes whole bodies.
///
/// It keeps as many states per coding as the machine has cores; it is meant to be shared.
#[derive(Debug)]
pub struct Encoder {
    brotli_level: i32,
    zstd_level: i32,
    gzip_level: u32,
    zstd: Pool<Compressor<'static>>,
    gzip: Pool<Compress>,
}

impl Encoder {
    /// An encoder at the levels of a configuration.
    ///
    /// # Errors
    ///
    /// [`BuildError::Level`] for a level that the coding does not have, and for two kinds that it
    /// has: brotli's 9, whose state takes 33 MB for the smallest body, and zstd's above 19, whose
    /// window is larger than the 8 MiB that clients must allow for (RFC 9659).
    pub fn new(config: &Config) -> Result<Encoder, BuildError> {
        let level = |coding, level, choice, is_valid| match is_valid {
            true => Ok(level),
            false => Err(BuildError::Level {
                coding,
                level,
                choice,
            }),
        };
        let Config {
            brotli_level,
            zstd_level,
            gzip_level,
            ..
        } = *config;
        let is_brotli = matches!(brotli_level, 0..=8 | 10 | 11);
        let is_gzip = matches!(gzip_level, 1..=9);
        let states = thread::available_parallelism().map_or(1, usize::from);
        Ok(Encoder {
            brotli_level: level(Coding::Brotli, brotli_level, "0 to 8, 10, 11", is_brotli)?,
            zstd_level: level(
                Coding::Zstd,
                zstd_level,
                "-7 to 19",
                matches!(zstd_level, -7..=19),
            )?,
            gzip_level: level(Coding::Gzip, gzip_level, "1 to 9", is_gzip)?.unsigned_abs(),
            zstd: Pool::new(states),
            gzip: Pool::new(states),
        })
    }

    /// Encodes a body. The result may be larger than the body; what to do then is the caller's.
    ///
    /// This is CPU work and blocks the thread; [`predicted_cost`](Encoder::predicted_cost) says for
    /// how long.
    ///
    /// # Errors
    ///
    /// When a codec fails, for which there is no cause but a lack of memory.
    pub fn encode(&self, coding: Coding, body: &[u8]) -> Result<Bytes, EncodeError> {
        match coding {
            Coding::Brotli => self.brotli(body),
            Coding::Zstd => self.zstd(body),
            Coding::Gzip => self.gzip(body),
        }
        .map(Bytes::from)
    }

    /// The CPU time that a body of this many bytes is likely to take.
    pub fn predicted_cost(&self, coding: Coding, size_bytes: usize) -> Duration {
        let level = match coding {
            Coding::Brotli => self.brotli_level,
            Coding::Zstd => self.zstd_level,
            Coding::Gzip => self.gzip_level.cast_signed(),
        };
        cost::predict(coding, level, size_bytes)
    }

    fn brotli(&self, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        state.params.quality = self.brotli_level;
        state.params.lgwin = brotli_window_log(body.len());
        state.params.size_hint = body.len();

        let mut encoded = Vec::with_capacity(likely_size(body));
        let (mut unread, mut read) = (body.len(), 0);
        while !state.is_finished() {
            let went_on = state.compress_stream(
                BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
                &mut unread,
                body,
                &mut read,
                // No room for output here: it is taken from the state's own buffer below.
                &mut 0,
                &mut [],
                &mut 0,
                &mut None,
                &mut |_, _, _, _| (),
            );
            if !went_on {
                return Err(EncodeError::Brotli);
            }
            // Asked for 0 bytes, it gives all it has and says how many of the slice's they are.
            let mut length = 0;
            let output = state.take_output(&mut length);
            encoded.extend_from_slice(&output[..length]);
        }
        Ok(encoded)
    }

    fn zstd(&self, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = match self.zstd.take() {
            Some(state) => state,
            None => Compressor::new(self.zstd_level).map_err(EncodeError::Zstd)?,
        };
        let encoded = state.compress(body).map_err(EncodeError::Zstd)?;
        if state.context_mut().sizeof() <= KEPT_ZSTD_BYTES {
            self.zstd.put_back(state);
        }
        Ok(encoded)
    }

    fn gzip(&self, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = self.gzip.take().unwrap_or_else(|| {
            Compress::new_gzip(Compression::new(self.gzip_level), GZIP_WINDOW_LOG)
        });
        let mut encoded = Vec::with_capacity(likely_size(body));
        let mut unread = body;
        loop {
            let before = state.total_in();
            let status = state
                .compress_vec(unread, &mut encoded, FlushCompress::Finish)
                .map_err(EncodeError::Gzip)?;
            if status == Status::StreamEnd {
                break;
            }
            let read = usize::try_from(state.total_in() - before).expect("part of a slice");
            unread = &unread[read..];
            encoded.reserve(likely_size(unread));
        }
        state.reset();
        self.gzip.put_back(state);
        Ok(encoded)
    }
}

/// Room that most text fits in, once encoded; the buffer grows where it does not.
fn likely_size(body: &[u8]) -> usize {
    body.len() / 2 + 64
}

/// The smallest window that holds the body: a larger one is memory that is touched for nothing.
///
/// Below 17 the levels from 5 on fall back to a hash table of 33 MB; 22 is the most that brotli
/// has without its large-window extension.
fn brotli_window_log(size_bytes: usize) -> i32 {
    let fitting = (17..22).find(|log| size_bytes <= 1 << log);
    fitting.unwrap_or(22)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(zstd_level: i32) -> Encoder {
        let config = Config {
            zstd_level,
            ..Config::default()
        };
        Encoder::new(&config).unwrap()
    }

    #[test]
    fn the_brotli_window_holds_the_body_and_avoids_the_large_hash_table() {
        let check = |size_bytes, log| assert_eq!(brotli_window_log(size_bytes), log);
        check(0, 17);
        check(1 << 17, 17);
        check((1 << 17) + 1, 18);
        check(1 << 21, 21);
        check((1 << 21) + 1, 22);
        check(usize::MAX, 22);
    }

    #[test]
    fn a_state_comes_back_after_its_body() {
        let encoder = encoder(3);
        for coding in [Coding::Zstd, Coding::Gzip] {
            encoder.encode(coding, b"a body").unwrap();
        }
        assert!(encoder.zstd.take().is_some() && encoder.gzip.take().is_some());
    }

    #[test]
    fn a_state_that_a_large_body_has_blown_up_is_not_kept() {
        let encoder = encoder(19);
        encoder.encode(Coding::Zstd, &vec![0; 4 << 20]).unwrap();
        assert!(encoder.zstd.take().is_none());
    }
}
