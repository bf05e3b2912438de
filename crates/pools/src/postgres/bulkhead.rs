//! Callers with a share of the connections that is theirs when they need it.

use std::{fmt, panic::Location, sync::Arc};

use serde::Serialize;

use super::{CheckoutError, PostgresConfig, Session, admission::ClassId, pool::Pool};
use crate::BuildError;

/// The way to the pool of one kind of callers. Clones are the same one.
///
/// No flood of others can keep these callers from their share: while they have fewer connections, what
/// comes free is theirs first. What they do not use is lent to all, and comes back as it is returned.
#[derive(Clone)]
pub struct Bulkhead {
    pool: Arc<Pool>,
    class: ClassId,
}

/// What the callers of one bulkhead have at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BulkheadStats {
    /// Its name.
    pub name: String,
    /// Connections in use.
    pub checked_out: usize,
    /// Callers that wait.
    pub waiting: usize,
}

/// The names of the classes, whose first are those who name none.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Bulkhead {
    pub(super) fn new(pool: Arc<Pool>, class: ClassId) -> Bulkhead {
        Bulkhead { pool, class }
    }

    /// Checks a connection out, as [`PoolManager::session`](crate::PoolManager::session) does.
    ///
    /// # Errors
    ///
    /// Those of [`CheckoutError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the queue, or the connection, back.
    #[track_caller]
    pub fn session(&self) -> impl Future<Output = Result<Session, CheckoutError>> + Send + use<> {
        Arc::clone(&self.pool).checkout(self.class, Location::caller())
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

impl Names {
    pub(super) fn of(config: &PostgresConfig) -> Result<Names, BuildError> {
        let mut names: Vec<String> = Vec::new();
        let mut all = 0.0;
        for bulkhead in &config.bulkheads {
            let is_known = names.contains(&bulkhead.name);
            all += bulkhead.share;
            // A sum of shares may be above 1 by what a float cannot hold.
            if is_known || !(bulkhead.share > 0.0 && all <= 1.0 + 1e-9) {
                return Err(BuildError::Bulkhead {
                    name: bulkhead.name.clone(),
                });
            }
            names.push(bulkhead.name.clone());
        }
        Ok(Names(names))
    }

    pub(super) fn find(&self, name: &str) -> Option<ClassId> {
        let at = self.0.iter().position(|it| it == name)?;
        Some(at + 1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &str)> {
        self.0
            .iter()
            .enumerate()
            .map(|(at, name)| (at + 1, name.as_str()))
    }
}
