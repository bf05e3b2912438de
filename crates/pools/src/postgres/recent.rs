//! What belongs to the texts of statements: of those used last, up to a limit.

use std::{collections::HashMap, num::NonZeroUsize};

/// Values by text, the most recently used.
#[derive(Debug)]
pub(super) struct Recent<V> {
    capacity: NonZeroUsize,
    /// Counts uses.
    clock: u64,
    kept: HashMap<Box<str>, Kept<V>>,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    used: u64,
}

impl<V: Clone> Recent<V> {
    pub(super) fn new(capacity: NonZeroUsize) -> Recent<V> {
        Recent {
            capacity,
            clock: 0,
            kept: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, sql: &str) -> Option<V> {
        let kept = self.kept.get_mut(sql)?;
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    pub(super) fn insert(&mut self, sql: &str, value: V) {
        if self.kept.len() >= self.capacity.get() && !self.kept.contains_key(sql) {
            self.forget_oldest();
        }
        self.clock += 1;
        let used = self.clock;
        self.kept.insert(sql.into(), Kept { value, used });
    }

    pub(super) fn forget(&mut self, sql: &str) {
        self.kept.remove(sql);
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.kept.values().map(|kept| &kept.value)
    }

    /// Looks at all of them, which is little beside the round trip that a new one has cost.
    fn forget_oldest(&mut self) {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
        if let Some(sql) = oldest.map(|(sql, _)| sql.clone()) {
            self.kept.remove(&sql);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut recent = Recent::new(NonZeroUsize::new(2).unwrap());
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get("a"), Some(1));
        recent.insert("c", 3);
        assert_eq!(recent.get("b"), None);
        recent.insert("a", 4);
        assert_eq!((recent.get("a"), recent.get("c")), (Some(4), Some(3)));
        recent.forget("a");
        assert_eq!((recent.get("a"), recent.len()), (None, 1));
    }
}
