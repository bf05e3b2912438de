//! Taking turns: one index at a time in a database, among all that use this crate.
//!
//! The lock is polled with no transaction open: who waits for it in a statement holds a snapshot,
//! for which the build of whoever has the lock would wait in turn.

use std::time::Duration;

use ruleiq_query::Queries;
use tokio::time::{Instant, sleep};

use super::session::Session;
use crate::{ChangeError, Obstacle};

/// "RULEIQ I" in ASCII.
const KEY: i64 = 0x5255_4c45_4951_2049;
const POLL: Duration = Duration::from_millis(100);
/// How often a lock that an earlier call has left is given back at most.
const STALE_LIMIT: u32 = 100;

/// Waits so long for the session's turn.
///
/// # Errors
///
/// [`Obstacle::Busy`] when it does not come.
pub(crate) async fn take<Q: Queries>(
    session: &Session<'_, Q>,
    limit: Duration,
) -> Result<(), ChangeError> {
    let start = Instant::now();
    // A call that was cut off on this same connection still holds it.
    for _ in 0..STALE_LIMIT {
        if !is_held(session).await? {
            break;
        }
        give_back(session).await?;
    }
    while !try_take(session).await? {
        let after = start.elapsed();
        if after >= limit {
            let obstacle = Obstacle::Busy;
            return Err(ChangeError::StillInTheWay { obstacle, after });
        }
        sleep(POLL).await;
    }
    match is_held(session).await? {
        true => Ok(()),
        false => Err(ChangeError::InTheWay(Obstacle::TransactionPooler)),
    }
}

/// Ends the session's turn.
pub(crate) async fn give_back<Q: Queries>(session: &Session<'_, Q>) -> Result<(), ChangeError> {
    let sql = "SELECT pg_advisory_unlock($1)";
    let row = session.query_one("the turn of the session", sql, &[&KEY]);
    row.await.map(drop)
}

/// Whether anybody else has it now.
pub(crate) async fn is_taken<Q: Queries>(session: &Session<'_, Q>) -> Result<bool, ChangeError> {
    holders(session, "pid <> pg_backend_pid()").await
}

/// Whether this process has it.
pub(crate) async fn is_held_by<Q: Queries>(
    session: &Session<'_, Q>,
    pid: i32,
) -> Result<bool, ChangeError> {
    holders(session, &format!("pid = {pid}")).await
}

async fn is_held<Q: Queries>(session: &Session<'_, Q>) -> Result<bool, ChangeError> {
    holders(session, "pid = pg_backend_pid()").await
}

pub(crate) async fn try_take<Q: Queries>(session: &Session<'_, Q>) -> Result<bool, ChangeError> {
    let sql = "SELECT pg_try_advisory_lock($1)";
    let row = session.query_one("the turn of the session", sql, &[&KEY]);
    Ok(row.await?.get(0))
}

async fn holders<Q: Queries>(session: &Session<'_, Q>, who: &str) -> Result<bool, ChangeError> {
    // A key of 64 bits is shown in two halves, with 1 as the third number.
    let sql = format!(
        "SELECT EXISTS (
             SELECT FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND {who}
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND classid::bigint = $1::bigint >> 32
               AND objid::bigint = $1::bigint & 4294967295)"
    );
    let row = session.query_one("whose turn it is", &sql, &[&KEY]);
    Ok(row.await?.get(0))
}
