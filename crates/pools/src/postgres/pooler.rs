//! Behind a pooler in transaction mode, such as `PgBouncer`, each transaction may meet another server
//! process: what one has prepared the next does not know, and a name that is left behind is in
//! somebody's way.
//!
//! So statements are sent as text, without a name, in one round trip. That takes the types of their
//! parameters, which the server is asked for once, in a transaction that leaves nothing behind. The
//! driver asks for types of the database's own by prepared statements, which it keeps by name; so all
//! of them are learned when a connection is opened, again in one transaction.

use std::{iter, pin::pin, task::Poll};

use futures_util::{FutureExt as _, future::join};
use ruleiq_query::Statement;
use tokio::sync::MutexGuard;
use tokio_postgres::{
    Client, Row, RowStream, SimpleQueryMessage,
    error::SqlState,
    types::{ToSql, Type, WrongType},
};

use super::{
    connection::Link,
    run::{Driver, Runner},
};

/// Ends a transaction, failed or not, and forgets what was prepared in it. One message, so that both
/// reach the same server process.
const FORGET: &str = "ROLLBACK; DEALLOCATE ALL";
/// The same for what is to stay.
const COMMIT_AND_FORGET: &str = "DEALLOCATE ALL; COMMIT";
/// A name that is taken was left by somebody who died; the next attempt has another.
const ATTEMPTS: usize = 3;
/// The database's own types, and the arrays of them. A row of a table is no type that anybody sends.
/// Each costs a round trip or two when a connection is opened, hence the limit.
const OWN_TYPES: &str = "\
    WITH own AS ( \
        SELECT t.oid, t.typarray FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid \
        WHERE t.oid >= 16384 AND t.typisdefined AND has_type_privilege(t.oid, 'USAGE') \
          AND (t.typtype IN ('d', 'e', 'm', 'r') OR t.typtype = 'b' AND t.typelem = 0 \
               OR c.relkind = 'c')) \
    SELECT oid::regtype::text FROM own \
    UNION ALL SELECT typarray::regtype::text FROM own WHERE typarray <> 0 \
    LIMIT 256";

/// A transaction of our own, in which several messages meet the same server process. Dropped before its
/// end, it is rolled back.
struct Detour<'a> {
    client: &'a Client,
    link: &'a Link,
    /// Nobody else may send anything now: it would be rolled back with this.
    _alone: MutexGuard<'a, ()>,
    done: bool,
}

impl<'a> Detour<'a> {
    async fn begin(runner: Runner<'a>) -> Detour<'a> {
        Detour {
            client: runner.client,
            link: runner.link,
            _alone: runner.link.detour().lock().await,
            done: false,
        }
    }

    async fn end(mut self, command: &str) -> Driver<()> {
        // From when it is sent, a rollback of ours would come too late.
        self.done = true;
        self.client.batch_execute(command).await
    }
}

impl Drop for Detour<'_> {
    fn drop(&mut self) {
        if !self.done {
            // The driver sends when it is polled first.
            self.link.note_rolling_back(true);
            drop(self.client.batch_execute(FORGET).now_or_never());
        }
    }
}

/// Learns the database's own types. Where one cannot be learned, it is asked for when it is met.
pub(super) async fn learn_types(client: &Client) -> Driver<()> {
    let casts: Vec<String> = client
        .simple_query(OWN_TYPES)
        .await?
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .zip(1..)
        .map(|(name, at)| format!("${at}::{name}"))
        .collect();
    if casts.is_empty() {
        return Ok(());
    }
    let statement = format!("SELECT {}", casts.join(", "));
    let (begun, described) = join(
        client.batch_execute("BEGIN"),
        Box::pin(client.prepare(&statement)),
    )
    .await;
    // Dropped before the end, whose answer is then the last.
    let described = described.map(drop);
    client.batch_execute(FORGET).await?;
    begun?;
    if let Err(error) = described {
        tracing::debug!(%error, "the types of the database could not be learned");
    }
    Ok(())
}

/// What the server says of a text.
pub(super) async fn describe(runner: Runner<'_>, sql: &str) -> Driver<Statement> {
    if is_in_transaction(runner).await? {
        let described = runner.client.prepare(sql).await?;
        runner.client.batch_execute("DEALLOCATE ALL").await?;
        return Ok(Statement::unnamed(sql, described));
    }
    let mut attempt = 1;
    loop {
        let detour = Detour::begin(runner).await;
        let client = runner.client;
        let (begun, described) = join(client.batch_execute("BEGIN"), client.prepare(sql)).await;
        detour.end(FORGET).await?;
        begun?;
        match described {
            Err(error)
                if error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            described => return Ok(Statement::unnamed(sql, described?)),
        }
    }
}

/// Does what takes several messages where they meet the same server process. After an error the
/// connection must not be used any more.
pub(super) async fn in_one_transaction<T>(
    runner: Runner<'_>,
    work: impl Future<Output = Driver<T>>,
) -> Driver<T> {
    if is_in_transaction(runner).await? {
        let done = work.await?;
        runner.client.batch_execute("DEALLOCATE ALL").await?;
        return Ok(done);
    }
    let mut detour = Detour::begin(runner).await;
    runner.client.batch_execute("BEGIN").await?;
    match work.await {
        Ok(done) => {
            detour.end(COMMIT_AND_FORGET).await?;
            Ok(done)
        }
        Err(error) => {
            detour.done = true;
            Err(error)
        }
    }
}

/// Sends what the future sends when it is polled first, while no transaction of our own is open.
pub(super) async fn in_turn<T>(runner: Runner<'_>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let turn = runner.link.detour().lock().await;
    let first = futures_util::poll!(work.as_mut());
    drop(turn);
    match first {
        Poll::Ready(done) => done,
        Poll::Pending => work.await,
    }
}

/// Whether a transaction of the caller's is open. The answer to a rollback may still be on its way.
async fn is_in_transaction(runner: Runner<'_>) -> Driver<bool> {
    if runner.link.is_rolling_back() {
        runner.client.check_connection().await?;
        runner.link.note_rolling_back(false);
    }
    Ok(runner.link.is_in_transaction())
}

pub(super) async fn query(
    client: &Client,
    text: &str,
    statement: Option<&Statement>,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<Vec<Row>> {
    client.query_typed(text, &typed(statement, params)).await
}

pub(super) async fn execute(
    client: &Client,
    text: &str,
    statement: Option<&Statement>,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<u64> {
    client.execute_typed(text, &typed(statement, params)).await
}

pub(super) async fn stream(
    client: &Client,
    text: &str,
    statement: Option<&Statement>,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<RowStream> {
    client.query_typed_raw(text, typed(statement, params)).await
}

/// Whether the types that were sent along do not fit (any more). Nothing has happened then: what a
/// function or procedure says while it runs comes with a context.
pub(super) fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let Some(refusal) = error.as_db_error() else {
        let source = std::error::Error::source(error);
        return source.is_some_and(<dyn std::error::Error>::is::<WrongType>);
    };
    refusal.where_().is_none()
        && matches!(
            *refusal.code(),
            SqlState::AMBIGUOUS_PARAMETER
                | SqlState::CANNOT_COERCE
                | SqlState::DATATYPE_MISMATCH
                | SqlState::INDETERMINATE_DATATYPE
                | SqlState::UNDEFINED_FUNCTION
        )
}

/// Whether the driver has asked for a type by a statement of its own that the server has forgotten.
pub(super) fn is_type_unknown(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

/// The parameters with their types. One that the statement has no place for is refused by the driver.
fn typed<'p>(
    statement: Option<&Statement>,
    params: &'p [&'p (dyn ToSql + Sync)],
) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
    let types = statement.map_or(&[][..], Statement::params);
    let types = types.iter().cloned().chain(iter::repeat(Type::UNKNOWN));
    params.iter().copied().zip(types).collect()
}
