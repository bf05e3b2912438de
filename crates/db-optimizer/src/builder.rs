//! Putting an optimizer together.

use ruleiq_query::Queries;

use crate::DatabaseOptimizer;

/// Options of [`DatabaseOptimizer`].
#[derive(Debug)]
#[must_use]
pub struct Builder<'a, Q, O = Q> {
    queries: &'a Q,
    observer: Option<&'a O>,
}

impl<'a, Q: Queries> Builder<'a, Q> {
    pub(crate) fn new(queries: &'a Q) -> Builder<'a, Q> {
        Builder {
            queries,
            observer: None,
        }
    }
}

impl<'a, Q: Queries, O: Queries> Builder<'a, Q, O> {
    /// A second connection to the same database, which watches the first while it builds an index:
    /// it tells progress, cancels what takes too long, and cleans up after a lost connection.
    /// Default: none, and none of this.
    pub fn observer<P: Queries>(self, observer: &'a P) -> Builder<'a, Q, P> {
        Builder {
            queries: self.queries,
            observer: Some(observer),
        }
    }

    /// The optimizer.
    pub fn build(self) -> DatabaseOptimizer<'a, Q, O> {
        DatabaseOptimizer::over(self.queries, self.observer)
    }
}
