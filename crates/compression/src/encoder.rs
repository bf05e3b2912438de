//! Encodes whole bodies, with state that is used again.
//!
//! The same body, coding and level give the same bytes, whatever the state was used for before.

use std::{iter, sync::Arc, thread, time::Duration};

use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderStateStruct};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::{
    bulk::Compressor,
    stream::raw::{Encoder as ZstdEncoder, Operation as _},
};

use crate::{
    BuildError, Choice, Coding, Config, EncodeError, StreamEncoder,
    arena::Arena,
    cost,
    pool::Pool,
    stream::{self, State},
};

/// The window of gzip, 32 KiB, as an exponent. It has no larger one.
const GZIP_WINDOW_LOG: u8 = 15;
/// Bodies up to this size have zstd's level 1 by default.
const SMALL_BYTES: usize = 32 * 1024;
/// A zstd state that one large body has blown up beyond this many bytes is not kept.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Encodes whole bodies.
///
/// It keeps as many states per coding as the machine has cores; it is meant to be shared.
#[derive(Debug)]
pub struct Encoder {
    brotli_level: i32,
    /// None for one by the size.
    zstd_level: Option<i32>,
    gzip_level: u32,
    budget: Duration,
    brotli: Pool<Arena>,
    zstd: Pool<Compressor<'static>>,
    zstd_streams: Pool<ZstdEncoder<'static>>,
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
            zstd_level: zstd_level
                .map(|it| level(Coding::Zstd, it, "-7 to 19", matches!(it, -7..=19)))
                .transpose()?,
            gzip_level: level(Coding::Gzip, gzip_level, "1 to 9", is_gzip)?.unsigned_abs(),
            budget: Duration::from_micros(config.cpu_budget_us),
            brotli: Pool::new(states),
            zstd: Pool::new(states),
            zstd_streams: Pool::new(states),
            gzip: Pool::new(states),
        })
    }

    /// Encodes a body, at the level that is [chosen](Encoder::choose) for its size. The result may be larger than the
    /// body; what to do then is the caller's.
    ///
    /// This is CPU work and blocks the thread; [`predicted_cost`](Encoder::predicted_cost) says for
    /// how long.
    ///
    /// # Errors
    ///
    /// When a codec fails, for which there is no cause but a lack of memory.
    pub fn encode(&self, coding: Coding, body: &[u8]) -> Result<Bytes, EncodeError> {
        let level = self.fitting(coding, body.len());
        self.encode_at(Choice { coding, level }, body)
    }

    /// The same at a level that was chosen before, which must be one of this encoder's.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Encoder::encode).
    pub fn encode_at(&self, choice: Choice, body: &[u8]) -> Result<Bytes, EncodeError> {
        match choice.coding {
            Coding::Brotli => self.brotli(choice.level, body),
            Coding::Zstd => self.zstd(choice.level, body),
            Coding::Gzip => self.gzip(choice.level, body),
        }
        .map(Bytes::from)
    }

    /// The CPU time that a body of this many bytes is likely to take at a level.
    pub fn predicted_cost_at(&self, choice: Choice, size_bytes: usize) -> Duration {
        cost::predict(choice.coding, choice.level, size_bytes)
    }

    /// The same at the level that is chosen for its size.
    pub fn predicted_cost(&self, coding: Coding, size_bytes: usize) -> Duration {
        cost::predict(coding, self.fitting(coding, size_bytes), size_bytes)
    }

    /// The first of these codings that has a level within the budget for a body of this size, and the highest such
    /// level; or else what is cheapest. A body whose size is not known has the first coding. `None` without codings.
    pub fn choose(&self, codings: &[Coding], size_bytes: Option<usize>) -> Option<Choice> {
        let first = *codings.first()?;
        let Some(size) = size_bytes else {
            return Some(Choice {
                coding: first,
                level: self.stream_level(first),
            });
        };
        let all = codings.iter().flat_map(|coding| {
            let rungs = self.rungs(*coding, size);
            rungs.map(|level| Choice {
                coding: *coding,
                level,
            })
        });
        let cost = |it: &Choice| cost::predict(it.coding, it.level, size);
        let within = all.clone().find(|it| cost(it) <= self.budget);
        within.or_else(|| all.min_by_key(cost))
    }

    /// That of a stream, whose blocks are encoded where they come: at most what takes a block a few milliseconds.
    fn stream_level(&self, coding: Coding) -> i32 {
        match coding {
            Coding::Brotli => self.brotli_level.min(5),
            Coding::Zstd | Coding::Gzip => self.level(coding).min(6),
        }
    }

    /// The level of a coding that is set.
    fn level(&self, coding: Coding) -> i32 {
        match coding {
            Coding::Brotli => self.brotli_level,
            Coding::Zstd => self.zstd_level(usize::MAX),
            Coding::Gzip => self.gzip_level.cast_signed(),
        }
    }

    fn zstd_level(&self, size_bytes: usize) -> i32 {
        let by_size = if size_bytes <= SMALL_BYTES { 1 } else { 3 };
        self.zstd_level.unwrap_or(by_size)
    }

    fn fitting(&self, coding: Coding, size_bytes: usize) -> i32 {
        let choice = self.choose(&[coding], Some(size_bytes));
        choice.map_or(self.level(coding), |it| it.level)
    }

    /// The levels for a body of this size, from the highest down.
    fn rungs(
        &self,
        coding: Coding,
        size_bytes: usize,
    ) -> impl Iterator<Item = i32> + Clone + use<> {
        let (highest, lower): (i32, &[i32]) = match coding {
            Coding::Brotli => (self.brotli_level, &[4, 3, 2]),
            Coding::Zstd => (self.zstd_level(size_bytes), &[3, 1]),
            // Its levels below that save little.
            Coding::Gzip => (self.gzip_level.cast_signed(), &[4]),
        };
        let lower = lower.iter().copied().filter(move |it| *it < highest);
        iter::once(highest).chain(lower)
    }

    /// Begins to encode a body whose end is not known.
    ///
    /// # Errors
    ///
    /// When a codec fails, for which there is no cause but a lack of memory.
    pub fn stream(self: &Arc<Encoder>, coding: Coding) -> Result<StreamEncoder, EncodeError> {
        let state = match coding {
            Coding::Brotli => State::brotli(
                self.brotli.take().unwrap_or_default(),
                self.stream_level(coding),
            ),
            Coding::Zstd => match self.zstd_streams.take() {
                Some(state) => State::Zstd(state),
                None => State::zstd(self.stream_level(coding))?,
            },
            Coding::Gzip => State::Gzip(self.gzip_state(self.stream_level(coding))?),
        };
        Ok(StreamEncoder::new(Arc::clone(self), state))
    }

    /// Takes back the state of a stream, wherever in it that is.
    pub(crate) fn put_back(&self, state: State) {
        match state {
            State::Brotli(mut state) => self.brotli.put_back(stream::arena_of(&mut state)),
            State::Zstd(mut state) => {
                if state.reinit().is_ok() {
                    self.zstd_streams.put_back(state);
                }
            }
            State::Gzip(mut state) => {
                state.reset();
                self.gzip.put_back(state);
            }
        }
    }

    fn gzip_state(&self, level: i32) -> Result<Compress, EncodeError> {
        let level = Compression::new(level.unsigned_abs());
        let Some(mut state) = self.gzip.take() else {
            return Ok(Compress::new_gzip(level, GZIP_WINDOW_LOG));
        };
        state.set_level(level).map_err(EncodeError::Gzip)?;
        Ok(state)
    }

    fn brotli(&self, level: i32, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = BrotliEncoderStateStruct::new(self.brotli.take().unwrap_or_default());
        state.params.quality = level;
        state.params.lgwin = brotli_window_log(body.len());
        state.params.size_hint = body.len();

        let mut encoded = Vec::with_capacity(likely_size(body));
        let finish = BrotliEncoderOperation::BROTLI_OPERATION_FINISH;
        stream::brotli_run(&mut state, body, finish, &mut encoded)?;
        self.brotli.put_back(stream::arena_of(&mut state));
        Ok(encoded)
    }

    fn zstd(&self, level: i32, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = self.zstd.take().unwrap_or_default();
        let leveled = state.set_compression_level(level);
        leveled.map_err(EncodeError::Zstd)?;
        let encoded = state.compress(body).map_err(EncodeError::Zstd)?;
        if state.context_mut().sizeof() <= KEPT_BYTES {
            self.zstd.put_back(state);
        }
        Ok(encoded)
    }

    fn gzip(&self, level: i32, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = self.gzip_state(level)?;
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

    #[test]
    fn the_level_fits_the_size_and_the_budget() {
        let encoder = Encoder::new(&Config::default()).unwrap();
        let check = |codings: &[Coding], size, coding, level| {
            let choice = encoder.choose(codings, size);
            assert_eq!(
                choice,
                Some(Choice { coding, level }),
                "{codings:?}, {size:?}"
            );
        };
        let (all, gzip) = (&Coding::ALL, &[Coding::Gzip]);
        check(all, Some(10_000), Coding::Brotli, 4);
        check(all, Some(180_000), Coding::Brotli, 3);
        check(all, Some(240_000), Coding::Brotli, 2);
        check(all, Some(500_000), Coding::Zstd, 3);
        check(all, Some(900_000), Coding::Zstd, 1);
        // Beyond the budget the cheapest is taken.
        check(all, Some(8_000_000), Coding::Zstd, 1);
        check(gzip, Some(8_000_000), Coding::Gzip, 4);
        check(
            &[Coding::Zstd, Coding::Brotli],
            Some(32 * 1024),
            Coding::Zstd,
            1,
        );
        check(&[Coding::Zstd], Some(32 * 1024 + 1), Coding::Zstd, 3);
        check(all, None, Coding::Brotli, 4);
        check(&[Coding::Zstd], None, Coding::Zstd, 3);
        assert_eq!(encoder.choose(&[], Some(1)), None);
    }

    fn encoder(zstd_level: i32) -> Encoder {
        let config = Config {
            zstd_level: Some(zstd_level),
            cpu_budget_us: u64::MAX,
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
        for coding in Coding::ALL {
            encoder.encode(coding, b"a body").unwrap();
        }
        assert!(encoder.zstd.take().is_some() && encoder.gzip.take().is_some());
        assert!(encoder.brotli.take().is_some_and(|it| it.kept_bytes() > 0));
    }

    #[test]
    fn a_state_that_a_large_body_has_blown_up_is_not_kept() {
        let encoder = encoder(19);
        encoder.encode(Coding::Zstd, &vec![0; 4 << 20]).unwrap();
        assert!(encoder.zstd.take().is_none());
    }
}
