//! Sets of candidates.

/// The most candidates that a search tells apart.
pub(super) const MAX: usize = WORDS * 64;
const WORDS: usize = 8;

/// A set of numbers below [`MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct IndexSet([u64; WORDS]);

impl IndexSet {
    pub(super) fn of(index: usize) -> IndexSet {
        IndexSet::default().with(index)
    }

    pub(super) fn with(mut self, index: usize) -> IndexSet {
        self.0[index / 64] |= 1 << (index % 64);
        self
    }

    pub(super) fn without(mut self, index: usize) -> IndexSet {
        self.0[index / 64] &= !(1 << (index % 64));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|it| *it == 0)
    }

    pub(super) fn and(mut self, other: IndexSet) -> IndexSet {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine &= other;
        }
        self
    }

    pub(super) fn or(mut self, other: IndexSet) -> IndexSet {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine |= other;
        }
        self
    }

    pub(super) fn minus(mut self, other: IndexSet) -> IndexSet {
        for (mine, other) in self.0.iter_mut().zip(other.0) {
            *mine &= !other;
        }
        self
    }

    pub(super) fn is_subset(&self, of: &IndexSet) -> bool {
        self.0.iter().zip(of.0).all(|(mine, of)| mine & !of == 0)
    }

    /// The numbers, the least first.
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

impl FromIterator<usize> for IndexSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> IndexSet {
        let none = IndexSet::default();
        indexes.into_iter().fold(none, |set, it| set.with(it))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            a in prop::collection::btree_set(0..MAX, 0..20),
            b in prop::collection::btree_set(0..MAX, 0..20),
        ) {
            let of = |set: &BTreeSet<usize>| set.iter().copied().collect::<IndexSet>();
            let back = |set: IndexSet| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(&back(of(&a)), &a);
            prop_assert_eq!(back(of(&a).and(of(&b))), &a & &b);
            prop_assert_eq!(back(of(&a).minus(of(&b))), &a - &b);
            prop_assert_eq!(of(&a).is_subset(&of(&b)), a.is_subset(&b));
            prop_assert_eq!(of(&a).is_empty(), a.is_empty());
            for it in &a {
                let alone = IndexSet::of(*it);
                prop_assert!(alone.is_subset(&of(&a)) && !alone.is_subset(&of(&a).without(*it)));
            }
        }
    }
}
