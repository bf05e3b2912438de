//! Which parts of its type a value has.
//!
//! A list can be empty, an option `None`, and an enum is one variant of many: that one value comes back says
//! nothing about the parts it lacks. Each list with an element, each `Some`, each variant and each struct is
//! a branch, by the place it stands in; a value with a branch that none before it had has to show that it
//! comes back, too.

use super::shape::Token;

const WORDS: usize = 4;
/// A bit's place is the upper bits of a product, which all of the factor's take part in.
const SPREAD: u64 = 0xd6e8_feb8_6659_fd93;

/// A set of branches. Two of them may share a bit, which costs a check and so at worst a miss.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Branches([u64; WORDS]);

impl Branches {
    #[inline]
    pub(super) fn add(&mut self, place: u64, token: Token) {
        let bit = place.wrapping_add(token as u64).wrapping_mul(SPREAD) >> 56;
        self.0[bit as usize % WORDS] |= 1 << (bit >> 2);
    }

    /// Whether all of `other` are in it.
    pub(super) fn cover(&self, other: &Branches) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(own, other)| other & !own == 0)
    }

    pub(super) fn extend(&mut self, other: &Branches) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own |= other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_covers_what_it_has_and_no_more() {
        let mut known = Branches::default();
        let mut seen = Branches::default();
        assert!(known.cover(&seen));
        seen.add(1, Token::Some);
        assert!(!known.cover(&seen));
        known.extend(&seen);
        assert!(known.cover(&seen));
        seen.add(2, Token::Some);
        assert!(!known.cover(&seen));
        assert!(seen.cover(&known));
    }

    #[test]
    fn every_bit_is_used() {
        let mut all = Branches::default();
        for place in 0..10_000 {
            all.add(place, Token::Some);
        }
        assert_eq!(all, Branches([u64::MAX; WORDS]));
    }
}
