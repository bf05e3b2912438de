//! A connection in somebody's hands.

use std::{fmt, panic::Location, sync::Arc};

use bytes::Bytes;
use futures_util::Stream;
use ruleiq_query::{Error, Queries, Read, Sql, Statement};
use tokio_postgres::{
    Client, Row, SimpleQueryMessage,
    types::{PgLsn, ToSql},
};

use super::{
    Transaction,
    place::Place,
    pool::Object,
    run::{CallSite, Runner},
    tuning::{self, ConnectionShare, Instance},
};

/// The `reserved_connections` are of PostgreSQL 16.
const CONNECTION_LIMIT: &str = "\
    SELECT current_setting('max_connections')::int \
        - current_setting('superuser_reserved_connections')::int \
        - coalesce(current_setting('reserved_connections', true)::int, 0)";

/// A connection that is checked out. Dropping it checks it in.
///
/// Every statement is bounded by the deadline of the current scope, cancelled on the server when
/// its time runs out, and written into the scope's log with the line that ran it. SQL text is
/// prepared once per connection.
///
/// # Cancel safety
///
/// The future of a statement may be dropped at any point. If the server had begun the statement,
/// it is cancelled when the session is dropped, and the connection is closed instead of given to
/// the next caller.
pub struct Session {
    /// Taken when the session is dropped.
    held: Option<Held>,
    call_site: CallSite,
}

struct Held {
    connection: Object,
    place: Place,
}

impl Session {
    pub(crate) fn new(connection: Object, place: Place, call_site: CallSite) -> Session {
        Session {
            held: Some(Held { connection, place }),
            call_site,
        }
    }

    /// Begins a transaction. It is rolled back when it is dropped without a commit.
    ///
    /// # Errors
    ///
    /// Those of a statement.
    ///
    /// # Cancel safety
    ///
    /// A transaction whose beginning was dropped half-way is rolled back.
    #[track_caller]
    pub fn transaction(&mut self) -> impl Future<Output = Result<Transaction<'_>, Error>> + Send {
        let call_site = Location::caller();
        Transaction::begin(self.runner(), call_site)
    }

    /// The driver's client, for what this crate has no word for.
    ///
    /// What runs there is not logged, has no deadline and is not cancelled. When the session is
    /// dropped, the connection is given to the next caller only once it has answered everything, and
    /// closed if a transaction is open then. Each use is counted.
    pub fn driver(&self) -> &Client {
        let connection = self.connection();
        let link = connection.link();
        link.engine.counters.driver_uses.inc();
        link.note_driven();
        connection.client()
    }

    /// How many connections the server has for all its clients; none where a pooler answers for it.
    /// Fails where there is no answer. Bounding the wait is the caller's.
    pub(crate) async fn connection_limit(&self) -> Result<Option<usize>, ()> {
        let connection = self.connection();
        let link = connection.link();
        link.statement_began();
        let answer = connection.client().simple_query(CONNECTION_LIMIT).await;
        link.statement_ended();
        let answer = answer.map_err(|_| ())?;
        let limit = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(limit.filter(|_| !link.engine.transaction_pooling))
    }

    /// What an instance may have of the server's connections, besides so many. None where that is not known.
    /// Bounding the wait is the caller's.
    pub(crate) async fn share(
        &self,
        instance: &Instance,
        besides: usize,
    ) -> Option<ConnectionShare> {
        let connection = self.connection();
        let link = connection.link();
        link.statement_began();
        let share = tuning::ask(connection.client(), instance, besides).await;
        link.statement_ended();
        share.ok()?
    }

    /// Whether its server is known to have replayed that far.
    pub(crate) fn has_reached(&self, lsn: u64) -> bool {
        self.connection().link().reached() >= lsn
    }

    pub(crate) fn note_reached(&self, lsn: u64) {
        self.connection().link().note_reached(lsn);
    }

    /// How far its server has replayed, and on which timeline. Bounding the wait is the caller's.
    pub(crate) async fn position(&self) -> Option<(u64, Option<u32>)> {
        let connection = self.connection();
        let link = connection.link();
        let position = link.origin()?.position();
        link.statement_began();
        let answer = connection.client().query_one(position, &[]).await;
        link.statement_ended();
        let row = answer.ok()?;
        let lsn = row.try_get::<_, Option<PgLsn>>(0).ok()??;
        let timeline = row.try_get::<_, Option<i32>>(1).ok()?;
        Some((lsn.into(), timeline.and_then(|it| u32::try_from(it).ok())))
    }

    fn connection(&self) -> &Object {
        &self
            .held
            .as_ref()
            .expect("a session has its connection until it is dropped")
            .connection
    }

    pub(crate) fn runner(&self) -> Runner<'_> {
        let connection = self.connection();
        Runner {
            client: connection.client(),
            link: connection.link(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(Held { connection, place }) = self.held.take() {
            let pool = Arc::clone(place.pool());
            pool.check_in(connection, place);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("call_site", &format_args!("{}", self.call_site))
            .finish_non_exhaustive()
    }
}

/// Sessions and transactions have the same methods, and both know how to run.
macro_rules! run_by_the_rules {
    ($runs:ty) => {
        impl Read for $runs {
            fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send {
                self.runner().prepare(sql, Location::caller())
            }

            fn query(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
                self.runner().query(sql, params, Location::caller())
            }
        }

        impl Queries for $runs {
            fn execute(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<u64, Error>> + Send {
                self.runner().execute(sql, params, Location::caller())
            }

            fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<(), Error>> + Send {
                self.runner().batch_execute(sql, Location::caller())
            }

            fn copy_in(
                &self,
                sql: &str,
                chunks: impl Stream<Item = Bytes> + Send,
            ) -> impl Future<Output = Result<u64, Error>> + Send {
                self.runner().copy_in(sql, chunks, Location::caller())
            }

            fn stream(
                &self,
                sql: &(impl Sql + ?Sized),
                params: &[&(dyn ToSql + Sync)],
            ) -> impl Future<Output = Result<impl Stream<Item = Result<Row, Error>> + Send, Error>> + Send
            {
                self.runner().stream(sql, params, Location::caller())
            }
        }
    };
}

run_by_the_rules!(Session);
run_by_the_rules!(Transaction<'_>);
