//! Half of all reads go to a standby, and each user sees what they have written.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features postgres --example read_your_writes -- URL`
//!
//! The URL names a primary and its standbys, in any order: `postgres://user:password@one,two/database`.

use std::error::Error;

use ruleiq_pools::{PoolManager, PostgresConfig, ReplicaConfig};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::{CausalToken, Scope};

const USERS: i64 = 1_000;

/// How many users there were, who did not see what they wrote, and who saw it on a standby.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) users: i64,
    pub(crate) stale: i64,
    pub(crate) on_standby: i64,
}

#[allow(clippy::print_stdout, reason = "it is for people")]
pub(crate) async fn write_and_read(url: &str) -> Result<Seen, Box<dyn Error>> {
    let config = PostgresConfig {
        replicas: Some(ReplicaConfig {
            share: 0.5,
            ..ReplicaConfig::default()
        }),
        ..PostgresConfig::new(url)
    };
    let pools = PoolManager::builder().postgres(config).build()?;
    let session = pools.session().await?;
    let table =
        "CREATE TABLE IF NOT EXISTS read_your_writes (name bigint PRIMARY KEY, visits bigint)";
    session.batch_execute(table).await?;
    drop(session);

    let mut seen = Seen::default();
    for user in 0..USERS {
        // Two requests. What the first one knows, the second one is told by its client.
        let request = Scope::builder().build();
        let visits = request.clone().run(visit(&pools, user)).await?;
        let token = request.causal_token().ok_or("a write left no token")?;
        let (found, is_on_standby) = later(&pools, token, user).await?;
        seen.users += 1;
        seen.stale += i64::from(found != Some(visits));
        seen.on_standby += i64::from(is_on_standby);
    }
    println!("{seen:?}");
    for server in pools.stats().replicas {
        println!(
            "{} {:?}: {} reads",
            server.server, server.role, server.reads
        );
    }
    pools.close().await;
    Ok(seen)
}

/// Counts a visit.
async fn visit(pools: &PoolManager, user: i64) -> Result<i64, Box<dyn Error>> {
    let session = pools.session().await?;
    let row = session
        .query_one(
            "INSERT INTO read_your_writes VALUES ($1, 1)
             ON CONFLICT (name) DO UPDATE SET visits = read_your_writes.visits + 1 RETURNING visits",
            &[&user],
        )
        .await?;
    Ok(row.get(0))
}

/// What the user sees in their next request, and whether a standby says so.
async fn later(
    pools: &PoolManager,
    token: CausalToken,
    user: i64,
) -> Result<(Option<i64>, bool), Box<dyn Error>> {
    let request = Scope::builder().causal_token(token).build();
    let read = async {
        let session = pools.read_session().await?;
        let visits = "SELECT visits FROM read_your_writes WHERE name = $1";
        let row = session.query_opt(visits, &[&user]).await?;
        Ok((row.map(|row| row.get(0)), !session.is_on_primary()))
    };
    request.run(read).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    write_and_read(&url.ok_or("give the URL of a primary and its standbys")?).await?;
    Ok(())
}
