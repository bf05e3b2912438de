//! What the expansion of `assert_statements!` calls. Not part of the public API.

use std::fmt;

use crate::{Scope, Statements};

/// How many statements there may be.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    AtMost(u64),
    Exactly(u64),
}

/// Counts what runs from its beginning on.
#[derive(Debug)]
pub struct Counting {
    scope: Scope,
    before: Statements,
}

struct Missed<'a> {
    limit: Limit,
    ran: &'a Statements,
}

impl Counting {
    /// In the current scope, or in one of its own where there is none.
    pub fn begin() -> Counting {
        let scope = Scope::current().unwrap_or_else(|| Scope::builder().build());
        Counting {
            before: scope.summary().statements,
            scope,
        }
    }

    pub fn run<F: Future>(&self, block: F) -> impl Future<Output = F::Output> + use<F> {
        self.scope.clone().run(block)
    }

    #[track_caller]
    pub fn expect(&self, limit: Limit) {
        let ran = self.scope.summary().statements.since(&self.before);
        let is_met = match limit {
            Limit::AtMost(most) => ran.count() <= most,
            Limit::Exactly(count) => ran.count() == count,
        };
        assert!(is_met, "{}", Missed { limit, ran: &ran });
    }
}

impl fmt::Display for Missed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::AtMost(most) => write!(f, "expected at most {most}")?,
            Limit::Exactly(count) => write!(f, "expected exactly {count}")?,
        }
        write!(f, " statements, {} ran:", self.ran.count())?;
        let mut often: Vec<_> = self.ran.distinct().iter().collect();
        often.sort_by_key(|it| std::cmp::Reverse(it.count));
        for it in often {
            write!(
                f,
                "\n{:>6} × {}\n         at {}",
                it.count,
                it.statement(),
                it.call_site
            )?;
        }
        match self.ran.untold() {
            0 => Ok(()),
            untold => write!(
                f,
                "\n{untold:>6} × others, which there was no room to tell apart"
            ),
        }
    }
}
