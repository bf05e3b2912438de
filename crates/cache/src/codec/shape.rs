//! The shape of a value: what its bytes mean, as one number.
//!
//! Postcard writes neither names nor types, so that the bytes of one struct can be those of another. Whoever
//! writes a value mixes into its shape what is written, in that order: which kinds of primitives, which
//! variants and structs by their names and those of their fields. Whoever reads mixes what is read. Where
//! both numbers are the same, each number and string was read as what it was written as, and under the name
//! it had.
//!
//! A length is no part of it, since it stands in the bytes.

/// Odd, and with no pattern in its bits: π and e, without their points.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const FIRST: u64 = 0x243f_6a88_85a3_08d3;
const LAST: u64 = 0xb7e1_5162_8aed_2a6b;

/// What can be written. Another order of them would make each value that is kept a miss.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Bool = 1,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    Bytes,
    Unit,
    None,
    Some,
    Seq,
    Map,
    Tuple,
    UnitStruct,
    NewtypeStruct,
    TupleStruct,
    Struct,
    UnitVariant,
    NewtypeVariant,
    TupleVariant,
    StructVariant,
}

impl Token {
    fn number(self) -> u64 {
        (self as u64).wrapping_mul(FIRST)
    }
}

/// The shape of what has been written or read up to now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape(u64);

impl Shape {
    #[inline]
    pub(super) fn token(&mut self, token: Token) {
        self.mix(token.number());
    }

    #[inline]
    pub(super) fn tuple(&mut self, len: usize) {
        self.mix(Token::Tuple.number().wrapping_add(len as u64));
    }

    #[inline]
    pub(super) fn named(&mut self, names: Names) {
        self.mix(names.0);
    }

    pub(super) fn finish(self) -> u64 {
        self.0
    }

    /// A polynomial over what is mixed: a multiplication and an addition are all that one value waits for
    /// the other.
    #[inline]
    fn mix(&mut self, number: u64) {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(number);
    }
}

/// A struct or a variant: its name, how many fields it has, and what they are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names(u64);

impl Names {
    #[inline]
    pub(super) fn new(token: Token, name: &str, len: usize) -> Names {
        Names(hash(name)).plus(token.number()).plus(len as u64)
    }

    #[inline]
    pub(super) fn and(self, name: &str) -> Names {
        self.plus(hash(name))
    }

    #[inline]
    pub(super) fn number(self) -> u64 {
        self.0
    }

    #[inline]
    fn plus(self, number: u64) -> Names {
        Names(self.0.wrapping_mul(MULTIPLIER).wrapping_add(number))
    }
}

/// Without a loop for names of up to 16 bytes, so that the compiler can compute it where it knows the name.
#[inline]
fn hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (first, last) = ends(bytes);
    let first = if bytes.len() > 16 {
        hash_chunks(bytes)
    } else {
        first
    };
    let len = (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    fold(first ^ FIRST, last ^ LAST ^ len)
}

/// All bytes of a name that has at most 16 of them. Where it has fewer, both ends share some.
#[inline]
fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (
            u32::from_le_bytes(*first).into(),
            u32::from_le_bytes(*last).into(),
        );
    }
    match *bytes {
        [first, middle, last] => (u64::from(first) << 8 | u64::from(middle), last.into()),
        [first, last] => (first.into(), last.into()),
        [only] => (0, only.into()),
        _ => (0, 0),
    }
}

/// All but the last few bytes.
#[inline(never)]
fn hash_chunks(bytes: &[u8]) -> u64 {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().fold(0, |hash, chunk| {
        fold(hash ^ u64::from_le_bytes(*chunk) ^ FIRST, MULTIPLIER)
    })
}

/// Both halves of the product, so that each bit of both factors has its part in many.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the halves")]
    {
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shape(tokens: &[Token]) -> u64 {
        let mut shape = Shape::default();
        for token in tokens {
            shape.token(*token);
        }
        shape.finish()
    }

    fn fields(names: &[&str]) -> u64 {
        let start = Names::new(Token::Struct, "Row", names.len());
        names.iter().fold(start, |all, name| all.and(name)).number()
    }

    #[test]
    fn what_and_how_often_and_in_which_order_makes_the_shape() {
        use Token::{Str, U32};
        let all = [
            shape(&[]),
            shape(&[U32]),
            shape(&[U32, U32]),
            shape(&[U32, Str]),
            shape(&[Str, U32]),
            shape(&[Str, Str]),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
    }

    #[test]
    fn the_names_of_fields_are_not_run_together() {
        let all = [
            fields(&[]),
            fields(&["ab"]),
            fields(&["a", "b"]),
            fields(&["b", "a"]),
            fields(&["ab", ""]),
            fields(&["", "ab"]),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
    }

    #[test]
    fn each_byte_of_a_name_counts_whatever_its_length() {
        let mut hashes = BTreeSet::new();
        let mut names = 0;
        for length in 0..70 {
            let name = "a".repeat(length);
            hashes.insert(hash(&name));
            names += 1;
            for at in 0..length {
                let mut other = name.clone();
                other.replace_range(at..=at, "b");
                hashes.insert(hash(&other));
                names += 1;
            }
        }
        assert_eq!(hashes.len(), names);
    }

    #[test]
    fn a_shape_is_the_same_in_every_build() {
        let mut shape = Shape::default();
        shape.token(Token::Seq);
        shape.tuple(2);
        shape.token(Token::Str);
        shape.named(
            Names::new(Token::Struct, "Row", 2)
                .and("id")
                .and("a_name_of_more_than_16"),
        );
        assert_eq!(shape.finish(), 8_771_047_806_623_482_335);
    }
}
