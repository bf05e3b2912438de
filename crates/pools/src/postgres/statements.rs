//! The statements that one connection keeps prepared: the most recently used, up to a limit.

use std::num::NonZeroUsize;

use ruleiq_query::Statement;

use super::recent::Recent;
use crate::StatementCacheStats;

/// Forgetting a statement closes it on the server, once nobody runs it any more.
#[derive(Debug)]
pub(crate) struct Statements {
    kept: Recent<Statement>,
    hits: u64,
    misses: u64,
}

impl Statements {
    pub(crate) fn new(capacity: NonZeroUsize) -> Statements {
        Statements {
            kept: Recent::new(capacity),
            hits: 0,
            misses: 0,
        }
    }

    pub(crate) fn get(&mut self, sql: &str) -> Option<Statement> {
        let found = self.kept.get(sql);
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        found
    }

    pub(crate) fn stats(&self) -> StatementCacheStats {
        StatementCacheStats {
            kept: self.kept.len(),
            hits: self.hits,
            misses: self.misses,
        }
    }

    pub(crate) fn insert(&mut self, sql: &str, statement: Statement) {
        self.kept.insert(sql, statement);
    }

    pub(crate) fn forget(&mut self, sql: &str) {
        self.kept.forget(sql);
    }
}
