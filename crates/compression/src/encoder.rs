//! Encodes whole bodies, with state that is used again.
//!
//! The same body, coding and level give the same bytes, whatever the state was used for before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderStateStruct};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::{
    bulk::Compressor,
    stream::raw::{CParameter, Encoder as ZstdEncoder, Operation as _},
};

use crate::{
    Body, BuildError, Choice, Coding, CompressionMetrics, Config, Effort, EncodeError, Kind, Load,
    Preferred, Reason, StreamEncoder,
    arena::Arena,
    cost::CostModel,
    load::thread_cpu,
    pool::Pool,
    stream::{self, State},
};

/// The window of gzip, 32 KiB, as an exponent. It has no larger one.
const GZIP_WINDOW_LOG: u8 = 15;
/// The shortest match that zstd's level 1 looks for, in bytes. Its own for the sizes of most responses is 5 or 7, which
/// gives more bytes of JSON for the same CPU.
const ZSTD_FAST_MIN_MATCH: u32 = 6;
/// A body up to this many bytes is encoded at zstd's level 2 in place of 1: there is little to save, and level 1 gives one
/// per cent more bytes of it.
const ZSTD_SMALL_BYTES: usize = 4 * 1024;
/// From this size on the CPU time of each body is measured; reading the clock costs what 100 bytes do.
const MEASURED_BYTES: usize = 32 * 1024;
/// Of smaller ones, and of streams, one in so many is.
const MEASURED_ONE_IN: u32 = 16;
/// A zstd state that one large body has blown up beyond this many bytes is not kept.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Encodes whole bodies.
///
/// It keeps as many states per coding as the machine has cores; it is meant to be shared.
#[derive(Debug)]
pub struct Encoder {
    effort: Effort,
    costs: CostModel,
    metrics: CompressionMetrics,
    small: AtomicU32,
    streams: AtomicU32,
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
        let states = thread::available_parallelism().map_or(1, usize::from);
        Ok(Encoder {
            effort: Effort::new(config)?,
            costs: CostModel::new(),
            metrics: CompressionMetrics::default(),
            small: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            brotli: Pool::new(states),
            zstd: Pool::new(states),
            zstd_streams: Pool::new(states),
            gzip: Pool::new(states),
        })
    }

    /// Counts there what CPU time it takes.
    #[must_use]
    pub fn with_metrics(mut self, metrics: CompressionMetrics) -> Encoder {
        self.metrics = metrics;
        self
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
        self.encode_at(self.fitting(coding, body.len()), Kind::default(), body)
    }

    /// The same at a level that was chosen before, of what its content type says that it is like.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Encoder::encode).
    pub fn encode_at(&self, choice: Choice, kind: Kind, body: &[u8]) -> Result<Bytes, EncodeError> {
        let encode = || match choice.coding {
            Coding::Brotli => self.brotli(choice.level, body),
            Coding::Zstd => self.zstd(choice.level, body),
            Coding::Gzip => self.gzip(choice.level, body),
        };
        let encoded = self.measured(choice, kind, body.len(), encode);
        encoded.map(|mut encoded| {
            // It may be kept for as long as its client takes to read it: what it has guessed too much goes back.
            encoded.shrink_to_fit();
            encoded.into()
        })
    }

    /// Measures some of the work, which stands for the rest of it.
    fn measured<T>(
        &self,
        choice: Choice,
        kind: Kind,
        size_bytes: usize,
        work: impl FnOnce() -> T,
    ) -> T {
        let stands_for = match size_bytes {
            MEASURED_BYTES.. => 1,
            _ if is_one_in(&self.small) => MEASURED_ONE_IN,
            _ => return work(),
        };
        let before = thread_cpu();
        let done = work();
        let cpu = thread_cpu().saturating_sub(before);
        self.costs.learn(kind, choice, size_bytes, cpu);
        self.metrics.record_cpu(choice.coding, cpu * stands_for);
        done
    }

    /// The same of a stream's work: all of it or none. Of costs nothing is learned, as what is written is worked on later.
    pub(crate) fn measured_stream<T>(&self, coding: Coding, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu();
        let done = work();
        let cpu = thread_cpu().saturating_sub(before);
        self.metrics.record_cpu(coding, cpu * MEASURED_ONE_IN);
        done
    }

    /// The CPU time that a body of this many bytes is likely to take at a level.
    pub fn predicted_cost_at(&self, choice: Choice, kind: Kind, size_bytes: usize) -> Duration {
        self.costs.predict(kind, choice, size_bytes)
    }

    /// The same of JSON at the level that is chosen for its size.
    pub fn predicted_cost(&self, coding: Coding, size_bytes: usize) -> Duration {
        let choice = self.fitting(coding, size_bytes);
        self.predicted_cost_at(choice, Kind::default(), size_bytes)
    }

    /// The first of these codings that has a level within the budget for JSON of this size, and the highest such level;
    /// or else what is cheapest. A body whose size is not known has the first coding. `None` without codings.
    pub fn choose(&self, codings: &[Coding], size_bytes: Option<usize>) -> Option<Choice> {
        let body = Body {
            size_bytes,
            ..Body::default()
        };
        let chosen = self.effort.choose(&self.costs, codings, body, Load::Normal);
        chosen.map(|(choice, _)| choice)
    }

    /// The same of any body, with an effort of its own, when there is so much to do; and why.
    pub fn choose_for(
        &self,
        effort: &Effort,
        preferred: &Preferred,
        body: Body,
        load: Load,
    ) -> Option<(Choice, Reason)> {
        effort.choose(&self.costs, preferred.as_slice(), body, load)
    }

    fn fitting(&self, coding: Coding, size_bytes: usize) -> Choice {
        let fitting = self.choose(&[coding], Some(size_bytes));
        fitting.expect("there is one of one coding")
    }

    /// Begins to encode a body whose end is not known.
    ///
    /// # Errors
    ///
    /// When a codec fails, for which there is no cause but a lack of memory.
    pub fn stream(self: &Arc<Encoder>, coding: Coding) -> Result<StreamEncoder, EncodeError> {
        self.stream_at(self.effort.of_stream(coding, Load::Normal))
    }

    /// The same at a level that was chosen before.
    ///
    /// # Errors
    ///
    /// Those of [`stream`](Encoder::stream).
    pub fn stream_at(self: &Arc<Encoder>, choice: Choice) -> Result<StreamEncoder, EncodeError> {
        let state = match choice.coding {
            Coding::Brotli => State::brotli(self.brotli.take().unwrap_or_default(), choice.level),
            Coding::Zstd => State::zstd(self.zstd_streams.take(), choice.level)?,
            Coding::Gzip => State::Gzip(self.gzip_state(choice.level)?),
        };
        let is_measured = is_one_in(&self.streams);
        Ok(StreamEncoder::new(
            Arc::clone(self),
            state,
            choice,
            is_measured,
        ))
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
        // One block for all of it: of several, each has brotli ask for all of its output anew, a little larger each time.
        state.params.lgblock = state.params.lgwin;

        let mut encoded = Vec::with_capacity(likely_size(body));
        let finish = BrotliEncoderOperation::BROTLI_OPERATION_FINISH;
        stream::brotli_run(&mut state, body, finish, &mut encoded)?;
        self.brotli.put_back(stream::arena_of(&mut state));
        Ok(encoded)
    }

    fn zstd(&self, level: i32, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut state = self.zstd.take().unwrap_or_default();
        let (level, min_match) = match level {
            1 if body.len() <= ZSTD_SMALL_BYTES => (2, 0),
            1 => (1, ZSTD_FAST_MIN_MATCH),
            _ => (level, 0),
        };
        let leveled = state.set_compression_level(level);
        let leveled = leveled.and_then(|()| state.set_parameter(CParameter::MinMatch(min_match)));
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

/// Whether this one of those that are counted there is measured.
fn is_one_in(counter: &AtomicU32) -> bool {
    let before = counter.fetch_add(1, Relaxed);
    before.is_multiple_of(MEASURED_ONE_IN)
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
