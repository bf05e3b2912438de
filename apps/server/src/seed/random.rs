//! Random numbers that are the same everywhere: `SplitMix64` (Steele, Lea, Flood: Fast Splittable
//! Pseudorandom Number Generators, 2014), begun anew for each row.

use uuid::{Builder, Uuid};

use super::time::Time;

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random numbers of one row.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The numbers of the row `n` of a table, which is named by its parts.
    pub(super) fn of(table: &[&str], n: u64) -> Random {
        let bytes = table.iter().flat_map(|part| part.bytes().chain([0]));
        let name = bytes.fold(1, |state, byte| mix(state ^ u64::from(byte)));
        Random(mix(name ^ mix(n.wrapping_add(GOLDEN_GAMMA))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix(self.0)
    }

    /// A number from 0 up to, but without, `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        high_half(self.next(), end)
    }

    /// A number below `end`; the lower, the likelier. Of a thousand, the first has 3 %, and the
    /// last half are as likely as the first tenth.
    pub(super) fn skewed(&mut self, end: u64) -> u64 {
        let uniform = self.next();
        high_half(high_half(uniform, uniform), end)
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[index(self.below(items.len() as u64))]
    }

    /// One of some things, each as often as the percentage beside it.
    pub(super) fn weighted<T: Copy>(&mut self, items: &[(u64, T)]) -> T {
        let mut left = self.below(100);
        for (percentage, item) in items {
            if left < *percentage {
                return *item;
            }
            left -= percentage;
        }
        unreachable!("the percentages add up to 100")
    }

    /// A key in version 7 of RFC 9562: ordered by time and, within a millisecond, by position.
    pub(super) fn key(&mut self, at: Time, position: u16) -> Uuid {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&position.to_be_bytes());
        bytes[2..].copy_from_slice(&self.next().to_be_bytes());
        Builder::from_unix_timestamp_millis(at.unix_millis(), &bytes).into_uuid()
    }
}

/// An index into something that is in memory.
pub(super) fn index(n: u64) -> usize {
    usize::try_from(n).expect("it is below the length of a slice")
}

fn high_half(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    u64::try_from(product >> 64).expect("half of 128 bits")
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference() {
        // What the authors' program prints for the seed 1234567.
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
            ]
        );
    }

    #[test]
    fn rows_and_tables_have_numbers_of_their_own() {
        let first = |table, n| Random::of(&[table], n).next();
        assert_eq!(first("users", 7), first("users", 7));
        assert_ne!(first("users", 7), first("users", 8));
        assert_ne!(first("users", 7), first("profiles", 7));
    }

    #[test]
    fn skewed_numbers_favour_the_first() {
        let mut random = Random::of(&["skew"], 0);
        let lower_tenth = (0..10_000).filter(|_| random.skewed(1_000) < 100).count();
        assert!((2_900..3_500).contains(&lower_tenth), "{lower_tenth}");
    }
}
