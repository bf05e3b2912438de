//! Rows in the binary format of `COPY` (PostgreSQL manual, COPY, "Binary Format").
//!
//! It needs no escaping, and the server need not parse it.

use std::iter;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, stream};
use uuid::Uuid;

use super::time::Time;

/// How much is sent at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// The most bytes that one unit adds, beyond which a chunk would grow: an assessment's questions.
const SLACK_BYTES: usize = 16 * 1024;
/// The signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;

/// Rows under construction.
#[derive(Debug, Default)]
pub(super) struct Rows(BytesMut);

impl Rows {
    /// Begins a row of so many fields, which must follow.
    pub(super) fn row(&mut self, fields: i16) -> &mut Rows {
        self.0.put_i16(fields);
        self
    }

    pub(super) fn uuid(&mut self, value: Uuid) -> &mut Rows {
        self.field(value.as_bytes())
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Rows {
        self.field(value.as_bytes())
    }

    pub(super) fn integer(&mut self, value: i32) -> &mut Rows {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn time(&mut self, value: Time) -> &mut Rows {
        self.field(&value.to_sql().to_be_bytes())
    }

    pub(super) fn optional_time(&mut self, value: Option<Time>) -> &mut Rows {
        match value {
            Some(value) => self.time(value),
            None => {
                self.0.put_i32(-1);
                self
            }
        }
    }

    /// The text of a JSON value.
    pub(super) fn jsonb(&mut self, text: &str) -> &mut Rows {
        const VERSION: u8 = 1;
        self.length(text.len() + 1);
        self.0.put_u8(VERSION);
        self.0.put_slice(text.as_bytes());
        self
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Rows {
        self.length(bytes.len());
        self.0.put_slice(bytes);
        self
    }

    fn length(&mut self, bytes: usize) {
        self.0
            .put_i32(i32::try_from(bytes).expect("a field is shorter than 2 GiB"));
    }
}

/// The rows of the units 0 to `count`, in chunks. `write` adds the rows of one unit, and `sent`
/// hears how many units each chunk holds.
pub(super) fn chunks(
    count: u64,
    write: impl Fn(u64, &mut Rows) + Send,
    sent: impl Fn(u64) + Send,
) -> impl Stream<Item = Bytes> + Send {
    let mut units = 0..count;
    let chunks = iter::from_fn(move || {
        let first = units.start;
        let mut rows = Rows(BytesMut::with_capacity(CHUNK_BYTES + SLACK_BYTES));
        while rows.0.len() < CHUNK_BYTES {
            let Some(n) = units.next() else { break };
            write(n, &mut rows);
        }
        sent(units.start - first);
        (!rows.0.is_empty()).then(|| rows.0.freeze())
    });
    let header = iter::once(Bytes::from_static(HEADER));
    let trailer = iter::once(Bytes::copy_from_slice(&TRAILER.to_be_bytes()));
    stream::iter(header.chain(chunks).chain(trailer))
}
