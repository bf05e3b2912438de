//! The statements that one connection keeps prepared: the most recently used, up to a limit.

use std::{collections::HashMap, num::NonZeroUsize};

use ruleiq_query::Statement;

use crate::StatementCacheStats;

/// Forgetting a statement closes it on the server, once nobody runs it any more.
#[derive(Debug)]
pub(crate) struct Statements {
    capacity: NonZeroUsize,
    /// Counts uses.
    clock: u64,
    kept: HashMap<Box<str>, Kept>,
    hits: u64,
    misses: u64,
}

#[derive(Debug)]
struct Kept {
    statement: Statement,
    used: u64,
}

impl Statements {
    pub(crate) fn new(capacity: NonZeroUsize) -> Statements {
        Statements {
            capacity,
            clock: 0,
            kept: HashMap::new(),
            hits: 0,
            misses: 0,
        }
    }

    pub(crate) fn get(&mut self, sql: &str) -> Option<Statement> {
        let Some(kept) = self.kept.get_mut(sql) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.statement.clone())
    }

    pub(crate) fn stats(&self) -> StatementCacheStats {
        StatementCacheStats {
            kept: self.kept.len(),
            hits: self.hits,
            misses: self.misses,
        }
    }

    pub(crate) fn insert(&mut self, sql: &str, statement: Statement) {
        if self.kept.len() >= self.capacity.get() && !self.kept.contains_key(sql) {
            self.forget_oldest();
        }
        self.clock += 1;
        let used = self.clock;
        self.kept.insert(sql.into(), Kept { statement, used });
    }

    pub(crate) fn forget(&mut self, sql: &str) {
        self.kept.remove(sql);
    }

    /// Looks at all of them, which is little beside the round trip that the new one has cost.
    fn forget_oldest(&mut self) {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
        if let Some(sql) = oldest.map(|(sql, _)| sql.clone()) {
            self.kept.remove(&sql);
        }
    }
}
