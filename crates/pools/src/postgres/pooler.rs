//! Behind a pooler in transaction mode, such as `PgBouncer`, each transaction may meet another server
//! process: what one has prepared the next does not know, and a name that is left behind is in
//! somebody's way.
//!
//! So statements are sent as text, without a name, in one round trip. That takes the types of their
//! parameters, which the server is asked for once, in a transaction that leaves nothing behind. The
//! driver asks for types of the database's own by prepared statements, which it keeps by name; so all
//! of them are learned when a connection is opened, again in one transaction.

use std::iter;

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
const OWN_TYPES: &str = "\
    WITH own AS ( \
        SELECT t.oid, t.typarray FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid \
        WHERE t.oid >= 16384 AND t.typisdefined AND has_type_privilege(t.oid, 'USAGE') \
          AND (t.typtype IN ('d', 'e', 'm', 'r') OR t.typtype = 'b' AND t.typelem = 0 \
               OR c.relkind = 'c')) \
    SELECT oid::regtype::text FROM own \
    UNION ALL SELECT typarray::regtype::text FROM own WHERE typarray <> 0 \
    LIMIT 1600";

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
            self.link.rolls_back();
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
    if runner.link.is_in_transaction() {
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

/// Does what takes several messages where they meet the same server process.
pub(super) async fn in_one_transaction<T>(
    runner: Runner<'_>,
    work: impl Future<Output = Driver<T>>,
) -> Driver<T> {
    if runner.link.is_in_transaction() {
        let done = work.await?;
        runner.client.batch_execute("DEALLOCATE ALL").await?;
        return Ok(done);
    }
    let detour = Detour::begin(runner).await;
    runner.client.batch_execute("BEGIN").await?;
    let result = work.await;
    let end = match &result {
        Ok(_) => COMMIT_AND_FORGET,
        Err(_) => FORGET,
    };
    detour.end(end).await?;
    result
}

pub(super) async fn query(
    client: &Client,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<Vec<Row>> {
    client
        .query_typed(text(statement), &typed(statement, params))
        .await
}

pub(super) async fn execute(
    client: &Client,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<u64> {
    client
        .execute_typed(text(statement), &typed(statement, params))
        .await
}

pub(super) async fn stream(
    client: &Client,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Driver<RowStream> {
    client
        .query_typed_raw(text(statement), typed(statement, params))
        .await
}

/// Whether the types that were sent along do not fit (any more). Outside of a transaction nothing has
/// happened then.
pub(super) fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let Some(refusal) = error.as_db_error() else {
        let source = std::error::Error::source(error);
        return source.is_some_and(<dyn std::error::Error>::is::<WrongType>);
    };
    matches!(
        *refusal.code(),
        SqlState::AMBIGUOUS_PARAMETER
            | SqlState::CANNOT_COERCE
            | SqlState::DATATYPE_MISMATCH
            | SqlState::INDETERMINATE_DATATYPE
            | SqlState::UNDEFINED_FUNCTION
    )
}

fn text(statement: &Statement) -> &str {
    ruleiq_query::Sql::text(statement)
}

/// The parameters with their types. One that the statement has no place for is refused by the driver.
fn typed<'p>(
    statement: &Statement,
    params: &'p [&'p (dyn ToSql + Sync)],
) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
    let types = statement.params().iter().cloned();
    let types = types.chain(iter::repeat(Type::UNKNOWN));
    params.iter().copied().zip(types).collect()
}
