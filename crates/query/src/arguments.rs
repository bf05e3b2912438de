//! Tells runs of one statement apart by what they were run with.

use std::cell::Cell;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type};
use xxhash_rust::xxh3::xxh3_64;

/// A buffer that has grown beyond this is given back, in bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// Stands where a parameter has no bytes. No parameter is so long.
const NULL: u64 = u64::MAX;
const UNENCODABLE: u64 = u64::MAX - 1;

thread_local! {
    /// Used again, so that nothing is allocated.
    static BUFFER: Cell<BytesMut> = Cell::default();
}

/// Stands for the constants and parameters that a statement was run with. Two runs with equal ones
/// had the same, but for one chance in 2⁶⁴.
///
/// It does not tell what they are, and is of no use outside of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arguments(Digest);

#[derive(Clone, Copy, Eq, PartialEq)]
struct Digest(u64);

impl Arguments {
    /// Those of one run: the text, whose constants count, and the parameters with the types that the
    /// server expects. It costs encoding them once more, and allocates nothing where they are small.
    pub fn of(sql: &str, types: &[Type], params: &[&(dyn ToSql + Sync)]) -> Arguments {
        let mut buffer = BUFFER.take();
        buffer.clear();
        buffer.put_u64(xxh3_64(sql.as_bytes()));
        for (param, kind) in params.iter().zip(types) {
            let begin = buffer.len();
            let length = match param.to_sql_checked(kind, &mut buffer) {
                Ok(IsNull::No) => (buffer.len() - begin) as u64,
                Ok(IsNull::Yes) => NULL,
                // The driver will say so.
                Err(_) => UNENCODABLE,
            };
            // Where one ends, or `ab`, `c` would be `a`, `bc`.
            buffer.put_u64(length);
        }
        let digest = Digest(xxh3_64(&buffer));
        if buffer.capacity() <= KEPT_BYTES {
            BUFFER.set(buffer);
        }
        Arguments(digest)
    }
}

impl std::fmt::Debug for Digest {
    /// Small values could be guessed by their number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(params: &[&str]) -> Arguments {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|it| it as _).collect();
        Arguments::of("SELECT $1", &vec![Type::TEXT; params.len()], &params)
    }

    fn one(param: &(dyn ToSql + Sync), kind: Type) -> Arguments {
        Arguments::of("SELECT $1", &[kind], &[param])
    }

    #[test]
    fn runs_with_the_same_arguments_are_equal_and_others_are_not() {
        assert_eq!(texts(&["a", "b"]), texts(&["a", "b"]));
        assert_eq!(texts(&[]), texts(&[]));
        for (one, other) in [
            (&["a", "b"][..], &["b", "a"][..]),
            (&["ab", "c"], &["a", "bc"]),
            (&["", "a"], &["a", ""]),
            (&["a"], &["a", ""]),
        ] {
            assert_ne!(texts(one), texts(other), "{one:?} {other:?}");
        }
        assert_ne!(
            one(&None::<i64>, Type::INT8),
            one(&0_i64, Type::INT8),
            "null is a value of its own"
        );
        assert_ne!(
            Arguments::of("SELECT 1", &[], &[]),
            Arguments::of("SELECT 2", &[], &[]),
        );
    }

    #[test]
    fn what_cannot_be_encoded_is_left_to_the_driver() {
        let unfit = || one(&"text", Type::INT8);
        assert_eq!(unfit(), unfit());
        assert_ne!(unfit(), one(&None::<i64>, Type::INT8));
    }

    #[test]
    fn a_large_parameter_leaves_no_large_buffer_behind() {
        let large = "x".repeat(1 << 20);
        assert_eq!(texts(&[&large]), texts(&[&large]));
        texts(&["small"]);
        let buffer = BUFFER.take();
        assert!(buffer.capacity() <= KEPT_BYTES, "{}", buffer.capacity());
    }

    #[test]
    fn arguments_do_not_show() {
        assert_eq!(format!("{:?}", texts(&["a"])), "Arguments(…)");
    }
}
