//! Encodes bodies piece by piece.

use std::{fmt, mem, sync::Arc};

use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderStateStruct,
};
use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as ZstdEncoder, InBuffer, Operation as _, OutBuffer};

use crate::{Choice, EncodeError, Encoder, arena::Arena};

/// The window of a brotli stream, 128 KiB, as an exponent: its end is not known, and there is memory for several of them.
const BROTLI_WINDOW_LOG: i32 = 17;
/// That of a zstd stream, 64 KiB. Its blocks are as large, and it has room for some of them.
const ZSTD_WINDOW_LOG: u32 = 16;
/// The tables of a zstd stream, as exponents of their entries.
const ZSTD_TABLE_LOG: u32 = 14;
/// Room for what comes out, at least, in bytes.
const ROOM: usize = 4 * 1024;

/// Encodes a body that comes in pieces, and may be sent in pieces.
///
/// Its memory does not grow with the body. Dropped before its end, it leaves a body that no client takes for a whole one.
pub struct StreamEncoder {
    encoder: Arc<Encoder>,
    /// It is there until the end.
    state: Option<State>,
    choice: Choice,
    is_measured: bool,
}

/// Where a state has to go when it has done its work.
pub(crate) enum State {
    Brotli(Box<BrotliEncoderStateStruct<Arena>>),
    Zstd(ZstdEncoder<'static>),
    Gzip(Compress),
}

/// What is to be done beside encoding.
#[derive(Clone, Copy)]
enum Until {
    /// Nothing: what comes out may be less than what is known.
    More,
    /// What has come in must come out.
    Now,
    End,
}

impl StreamEncoder {
    pub(crate) fn new(
        encoder: Arc<Encoder>,
        state: State,
        choice: Choice,
        is_measured: bool,
    ) -> StreamEncoder {
        StreamEncoder {
            encoder,
            state: Some(state),
            choice,
            is_measured,
        }
    }

    /// Appends to `out` what has to be sent of this piece by now, which may be nothing.
    ///
    /// # Errors
    ///
    /// When the codec fails, for which there is no cause but a lack of memory; or after [`finish`](Self::finish).
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(piece, Until::More, out)
    }

    /// Appends to `out` all that has not come out yet: the client can decode every piece until now.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(&[], Until::Now, out)
    }

    /// Appends to `out` the end of the body.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(&[], Until::End, out)?;
        if let Some(state) = self.state.take() {
            self.encoder.put_back(state);
        }
        Ok(())
    }

    /// A state that fails or panics is lost.
    fn run(&mut self, piece: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut state = self.state.take().ok_or(EncodeError::Ended)?;
        let mut run = || state.run(piece, until, out);
        match self.is_measured {
            true => self.encoder.measured_stream(self.choice.coding, run)?,
            false => run()?,
        }
        self.state = Some(state);
        Ok(())
    }
}

impl Drop for StreamEncoder {
    fn drop(&mut self) {
        match self.state.take() {
            // Reset halfway at level 1, zlib-rs 0.6.8 takes its block for an open one: what came next would not decode.
            None | Some(State::Gzip(_)) => {}
            Some(state) => self.encoder.put_back(state),
        }
    }
}

impl State {
    pub(crate) fn brotli(arena: Arena, level: i32) -> State {
        let mut state = BrotliEncoderStateStruct::new(arena);
        state.params.quality = level;
        state.params.lgwin = BROTLI_WINDOW_LOG;
        State::Brotli(Box::new(state))
    }

    /// In a state that another stream has left, if there is one.
    pub(crate) fn zstd(
        used: Option<ZstdEncoder<'static>>,
        level: i32,
    ) -> Result<State, EncodeError> {
        let mut state = match used {
            Some(used) => used,
            None => ZstdEncoder::new(level).map_err(EncodeError::Zstd)?,
        };
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::WindowLog(ZSTD_WINDOW_LOG),
            CParameter::HashLog(ZSTD_TABLE_LOG),
            CParameter::ChainLog(ZSTD_TABLE_LOG),
        ] {
            state.set_parameter(parameter).map_err(EncodeError::Zstd)?;
        }
        Ok(State::Zstd(state))
    }

    fn run(&mut self, piece: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            State::Brotli(state) => brotli(state, piece, until, out),
            State::Zstd(state) => zstd(state, piece, until, out).map_err(EncodeError::Zstd),
            State::Gzip(state) => gzip(state, piece, until, out).map_err(EncodeError::Gzip),
        }
    }
}

/// Gives a brotli encoder's memory back.
pub(crate) fn arena_of(state: &mut BrotliEncoderStateStruct<Arena>) -> Arena {
    BrotliEncoderDestroyInstance(state);
    mem::take(&mut state.m8)
}

pub(crate) fn brotli_run(
    state: &mut BrotliEncoderStateStruct<Arena>,
    piece: &[u8],
    operation: BrotliEncoderOperation,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (mut unread, mut read) = (piece.len(), 0);
    loop {
        let went_on = state.compress_stream(
            operation,
            &mut unread,
            piece,
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
        out.extend_from_slice(&output[..length]);
        let is_done = match operation {
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH => state.is_finished(),
            // It stops where there is output, and may have more to encode when that is taken.
            _ => unread == 0 && length == 0,
        };
        if is_done {
            return Ok(());
        }
    }
}

fn brotli(
    state: &mut BrotliEncoderStateStruct<Arena>,
    piece: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let operation = match until {
        Until::More => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Until::Now => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Until::End => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    brotli_run(state, piece, operation, out)
}

fn zstd(
    state: &mut ZstdEncoder<'static>,
    piece: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut input = InBuffer::around(piece);
    while input.pos() < piece.len() {
        out.reserve(ROOM);
        let written = out.len();
        state.run(&mut input, &mut OutBuffer::around_pos(out, written))?;
    }
    loop {
        out.reserve(ROOM);
        let written = out.len();
        let mut output = OutBuffer::around_pos(out, written);
        let left = match until {
            Until::More => 0,
            Until::Now => state.flush(&mut output)?,
            Until::End => state.finish(&mut output, true)?,
        };
        if left == 0 {
            return Ok(());
        }
    }
}

fn gzip(
    state: &mut Compress,
    mut piece: &[u8],
    until: Until,
    out: &mut Vec<u8>,
) -> Result<(), flate2::CompressError> {
    let flush = match until {
        Until::More => FlushCompress::None,
        Until::Now => FlushCompress::Sync,
        Until::End => FlushCompress::Finish,
    };
    loop {
        out.reserve(ROOM);
        let before = state.total_in();
        let status = state.compress_vec(piece, out, flush)?;
        let read = usize::try_from(state.total_in() - before).expect("part of a slice");
        piece = &piece[read..];
        let is_done = match until {
            Until::End => status == Status::StreamEnd,
            // What is left of the room says that nothing waits for more of it.
            Until::More | Until::Now => piece.is_empty() && out.len() < out.capacity(),
        };
        if is_done {
            return Ok(());
        }
    }
}

impl fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEncoder")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}
