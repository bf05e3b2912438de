//! What the self-test measures: one case on the processor alone, one through pool and server.

use std::sync::Arc;

use ruleiq_bench::{Arm, Case, Fault, Process, concurrent, repeat};
use ruleiq_query::Fingerprint;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Oid;

use super::burn::Burn;
use crate::{
    Env,
    postgres::{OURS, Ours, PoolSettings, Pooled, warm},
};

/// Longer than the caches of a processor predict, and what a service sees every day.
const SQL: &str = "SELECT q.id, q.title, u.name FROM questions q JOIN users u ON u.id = q.user_id \
                   WHERE q.state = 'open' AND q.id IN (1, 2, 3) ORDER BY q.created_at DESC LIMIT 20";
/// A row by its key that every PostgreSQL has: `pg_class` describes itself.
const STATEMENT: &str = "SELECT relname::text FROM pg_class WHERE oid = $1";
const PG_CLASS: Oid = 1259;
const CONNECTIONS: usize = 4;

/// CPU nanoseconds that the subject of each case wastes per operation.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// In the case on the processor alone.
    pub fingerprint_ns: u64,
    /// In the case over a server.
    pub point_select_ns: u64,
}

/// Both cases: the subject wastes what is planted, the control nothing.
pub fn cases(planted: Planted) -> Vec<Case<Env>> {
    let fingerprint = Case::builder("self_test", "fingerprint", ())
        .about("the fingerprint of a statement")
        .on_one_thread()
        .subject("fingerprint", "planted", move |_, _| async move {
            fingerprint(planted.fingerprint_ns)
        })
        .control("fingerprint", "as it is", |_, _| async { fingerprint(0) })
        .build();
    let settings = PoolSettings::new(CONNECTIONS, CONNECTIONS);
    let point_select = Case::builder("self_test", "point_select", settings)
        .about("a row by its key through the pool")
        .cpu_of([Process::Client, Process::Postgres])
        .subject(OURS.0, "planted", move |env, settings| {
            point_select(env, settings, planted.point_select_ns)
        })
        .control(OURS.0, "as it is", |env, settings| {
            point_select(env, settings, 0)
        })
        .build();
    vec![fingerprint, point_select]
}

fn fingerprint(planted_ns: u64) -> Result<Box<dyn Arm>, Fault> {
    let burn = Burn::of_ns(planted_ns)?;
    let expected = Fingerprint::of(SQL);
    let operation = move || {
        let seen = Fingerprint::of(std::hint::black_box(SQL));
        burn.burn();
        seen
    };
    Ok(repeat(operation, move |seen| {
        if *seen == expected {
            return Ok(());
        }
        Err(Fault::Wrong(format!("{seen:?} instead of {expected:?}")))
    }))
}

async fn point_select(
    env: Arc<Env>,
    settings: Arc<PoolSettings>,
    planted_ns: u64,
) -> Result<Box<dyn Arm>, Fault> {
    let burn = Burn::of_ns(planted_ns)?;
    let url = env.database_url()?;
    let pool: Ours = warm(url, &settings, STATEMENT, &[&PG_CLASS]).await?;
    let operation = move || {
        let pool = pool.clone();
        async move {
            let work = async {
                let connection = pool.checkout().await?;
                Ours::query_one(&connection, STATEMENT, &[&PG_CLASS]).await
            };
            let row = pool.request(work).await?;
            burn.burn();
            Ok(row.get::<_, String>(0))
        }
    };
    Ok(concurrent(settings.tasks, operation, |name: &String| {
        if name == "pg_class" {
            return Ok(());
        }
        Err(Fault::Wrong(format!("`{name}` instead of `pg_class`")))
    }))
}
