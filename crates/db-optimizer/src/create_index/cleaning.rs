//! Removing what a build of ours has left.
//!
//! Only where it is certain that the build has ended: in a session that has the turn, or while the
//! session that has it is the build's own and does nothing.

use std::time::Duration;

use ruleiq_query::Queries;
use tokio::time::{Instant, sleep};
use tokio_postgres::{error::SqlState, types::ToSql};

use super::{
    Obstacle,
    draft::{drop_statement, leftovers},
    existing,
    session::{Facts, Session},
    settings::Settings,
    turn,
};
use crate::{ChangeError, Failure};

const ATTEMPTS: u32 = 3;
/// After the first attempt; each further pause is four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(100);

/// Whether the process is there and does nothing.
const IS_IDLE: &str = "
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE pid = $1 AND backend_start = $2 AND state = 'idle')";

/// Drops what was left on a table, each within the limit and with three attempts, and answers the
/// statements that did.
pub(crate) async fn clean<Q: Queries>(
    session: &Session<'_, Q>,
    settings: &Settings,
    table: u32,
    limit: Duration,
) -> Result<Vec<String>, ChangeError> {
    let mut done = Vec::new();
    let indexes = existing::read(session, table).await?;
    for index in leftovers(&indexes) {
        settings
            .bound(session, limit.saturating_mul(2), limit)
            .await?;
        let sql = drop_statement(&index);
        let dropped = drop_index(session, &sql, limit).await;
        dropped.map_err(|failure| ChangeError::Statement {
            step: "remove what an earlier build has left",
            leftover: Some(index),
            failure,
        })?;
        done.push(sql);
    }
    Ok(done)
}

/// The same through another connection than the build's.
pub(crate) async fn clean_from_outside<O: Queries>(
    observer: &Session<'_, O>,
    builder: &Facts,
    table: u32,
    limit: Duration,
) -> Result<(), ChangeError> {
    let is_taken = is_over(observer, builder, limit).await?;
    let outcome = async {
        let settings = Settings::read(observer).await?;
        let cleaned = clean(observer, &settings, table, limit).await;
        settings.restore(observer).await?;
        cleaned
    };
    let outcome = outcome.await;
    if is_taken {
        turn::give_back(observer).await?;
    }
    outcome.map(drop)
}

/// Waits until the build has ended for certain, and answers whether the observer now has the turn.
async fn is_over<O: Queries>(
    observer: &Session<'_, O>,
    builder: &Facts,
    limit: Duration,
) -> Result<bool, ChangeError> {
    let start = Instant::now();
    loop {
        if turn::try_take(observer).await? {
            return Ok(true);
        }
        let params: &[&(dyn ToSql + Sync)] = &[&builder.pid, &builder.started];
        let row = observer
            .query_one("whether the build has ended", IS_IDLE, params)
            .await?;
        // The build's own session has the turn as long as it is connected, if only to us in vain.
        if row.get(0) && turn::is_held_by(observer, builder.pid).await? {
            return Ok(false);
        }
        let after = start.elapsed();
        if after >= limit {
            let obstacle = Obstacle::Busy;
            return Err(ChangeError::StillInTheWay { obstacle, after });
        }
        sleep(POLL).await;
    }
}

async fn drop_index<Q: Queries>(
    session: &Session<'_, Q>,
    sql: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match session.run(sql, limit.saturating_mul(2)).await {
            Err(failure) if is_gone(&failure) => return Ok(()),
            Err(failure) if failure.is_of_the_connection() => return Err(failure),
            Err(_) => sleep(pause).await,
            Ok(()) => return Ok(()),
        }
        pause *= 4;
    }
    session.run(sql, limit.saturating_mul(2)).await
}

fn is_gone(failure: &Failure) -> bool {
    let undefined = SqlState::UNDEFINED_OBJECT;
    matches!(failure, Failure::Refused { code, .. } if code == undefined.code())
}
