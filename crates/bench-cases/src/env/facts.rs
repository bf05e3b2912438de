//! What a report tells of the servers and the data.

use std::collections::BTreeMap;

use fred::{prelude::*, types::InfoKind};
use ruleiq_bench::{
    Fault,
    report::{Scale, Server},
};
use tokio_postgres::Client as Postgres;

use super::{Env, pids};
use crate::postgres;

/// What changes figures in PostgreSQL.
const POSTGRES: &[&str] = &[
    "autovacuum",
    "checkpoint_timeout",
    "effective_cache_size",
    "fsync",
    "full_page_writes",
    "jit",
    "log_min_duration_statement",
    "log_statement",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "plan_cache_mode",
    "random_page_cost",
    "shared_buffers",
    "shared_preload_libraries",
    "ssl",
    "synchronous_commit",
    "track_io_timing",
    "wal_level",
    "work_mem",
];
/// What changes figures in Redis.
const REDIS: &[&str] = &[
    "appendfsync",
    "appendonly",
    "databases",
    "io-threads",
    "maxmemory",
    "maxmemory-policy",
    "save",
];

/// The servers that there are.
///
/// # Errors
///
/// When one does not answer.
pub(crate) async fn servers(env: &Env) -> Result<Vec<Server>, Fault> {
    let mut servers = Vec::new();
    if let Ok(url) = env.owner_url().or_else(|_| env.database_url()) {
        servers.push(postgres_facts(&postgres::connect(url).await?).await?);
    }
    if let Ok(url) = env.redis_url() {
        servers.push(redis_facts(url).await?);
    }
    Ok(servers)
}

/// The data that there are.
///
/// # Errors
///
/// When PostgreSQL does not answer.
pub(crate) async fn scale(env: &Env) -> Result<Scale, Fault> {
    let mut scale = Scale {
        name: env.scale().to_owned(),
        ..Scale::default()
    };
    let Ok(url) = env.owner_url() else {
        return Ok(scale);
    };
    let client = postgres::connect(url).await?;
    let tables = "SELECT format('%I.%I', n.nspname, c.relname), c.relname \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') \
                  AND NOT c.relispartition ORDER BY 2 LIMIT 100";
    for table in client.query(tables, &[]).await.map_err(Fault::failed)? {
        let (quoted, name): (String, String) = (table.get(0), table.get(1));
        let count = format!("SELECT count(*) FROM {quoted}");
        let row = client.query_one(&count, &[]).await.map_err(Fault::failed)?;
        let rows: i64 = row.get(0);
        scale.rows.insert(name, u64::try_from(rows).unwrap_or(0));
    }
    let sizes = "SELECT pg_database_size(current_database()), \
                 pg_size_bytes(current_setting('shared_buffers'))";
    let row = client.query_one(sizes, &[]).await.map_err(Fault::failed)?;
    let (data, buffers): (i64, i64) = (row.get(0), row.get(1));
    scale.data_bytes = u64::try_from(data).unwrap_or(0);
    scale.fits_in_shared_buffers = data <= buffers;
    Ok(scale)
}

async fn postgres_facts(client: &Postgres) -> Result<Server, Fault> {
    let row = client.query_one("SHOW server_version", &[]).await;
    let version: String = row.map_err(Fault::failed)?.get(0);
    let settings = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)";
    let rows = client.query(settings, &[&POSTGRES]).await;
    let rows = rows.map_err(Fault::failed)?;
    Ok(Server {
        name: "postgres".to_owned(),
        version,
        settings: rows.iter().map(|it| (it.get(0), it.get(1))).collect(),
    })
}

async fn redis_facts(url: &str) -> Result<Server, Fault> {
    let client = pids::redis(url).await?;
    let info: String = client
        .info(Some(InfoKind::Server))
        .await
        .map_err(Fault::failed)?;
    let version = info
        .lines()
        .find_map(|it| it.strip_prefix("redis_version:"))
        .unwrap_or_default();
    let mut settings = BTreeMap::new();
    for name in REDIS {
        // A server whose administrator forbids the question still can be measured.
        let asked: Result<BTreeMap<String, String>, _> = client.config_get(*name).await;
        settings.extend(asked.unwrap_or_default());
    }
    client.quit().await.map_err(Fault::failed)?;
    Ok(Server {
        name: "redis".to_owned(),
        version: version.trim().to_owned(),
        settings,
    })
}
