//! Which processes the servers are, where they run on this machine.

use std::fs;

use fred::{prelude::*, types::InfoKind};
use ruleiq_bench::{Fault, cpu::Servers};

use super::Env;
use crate::postgres;

/// The servers' processes, and for each that is not known, why.
pub(crate) async fn servers(env: &Env) -> (Servers, Vec<String>) {
    let mut unknown = Vec::new();
    let mut found = |pid: Option<Result<u32, Fault>>, name: &str| match pid? {
        Ok(pid) => Some(pid),
        Err(fault) => {
            unknown.push(format!(
                "the CPU time of {name} is not counted: {fault}; use a server on this machine"
            ));
            None
        }
    };
    let url = env.owner_url().or_else(|_| env.database_url());
    let postgres = match url {
        Ok(url) => Some(postmaster(url).await),
        Err(_) => None,
    };
    let redis = match env.redis_url() {
        Ok(url) => Some(redis_pid(url).await),
        Err(_) => None,
    };
    let servers = Servers {
        postgres: found(postgres, "PostgreSQL"),
        redis: found(redis, "Redis"),
    };
    (servers, unknown)
}

/// The parent of the process behind a connection.
async fn postmaster(url: &str) -> Result<u32, Fault> {
    let client = postgres::connect(url).await?;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let backend: i32 = row.map_err(Fault::failed)?.get(0);
    let other = || Fault::Failed(format!("its process {backend} is not one of this machine"));
    let backend = u32::try_from(backend).map_err(|_| other())?;
    if !calls_itself(backend, "postgres") {
        return Err(other());
    }
    parent(backend).ok_or_else(other)
}

async fn redis_pid(url: &str) -> Result<u32, Fault> {
    let client = redis(url).await?;
    let info: String = client
        .info(Some(InfoKind::Server))
        .await
        .map_err(Fault::failed)?;
    client.quit().await.map_err(Fault::failed)?;
    let pid = info
        .lines()
        .find_map(|it| it.strip_prefix("process_id:"))
        .and_then(|it| it.trim().parse().ok())
        .ok_or_else(|| Fault::Failed("`INFO server` tells no process id".into()))?;
    if calls_itself(pid, "redis") || calls_itself(pid, "valkey") {
        return Ok(pid);
    }
    let text = format!("its process {pid} is not one of this machine");
    Err(Fault::Failed(text))
}

/// A connection to Redis for a few questions.
pub(super) async fn redis(url: &str) -> Result<Client, Fault> {
    let config = Config::from_url(url).map_err(Fault::failed)?;
    let connection = ConnectionConfig {
        connection_timeout: std::time::Duration::from_secs(5),
        max_command_attempts: 1,
        ..ConnectionConfig::default()
    };
    let client = Client::new(config, None, Some(connection), None);
    client.init().await.map_err(Fault::failed)?;
    Ok(client)
}

fn calls_itself(pid: u32, name: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|it| String::from_utf8_lossy(&it).contains(name))
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}
