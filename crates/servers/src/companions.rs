//! What stands beside the two servers: a pooler, a standby, a replica with its sentinels, a cluster.
//!
//! They share the password of the server they belong to, and their data are always temporary.

mod cluster;

use std::{io::Write, path::Path, time::Duration};

use crate::{
    DataDir, Error, PostgresSpec, RedisSpec,
    pgbouncer::PgBouncer,
    postgres::Postgres,
    process::wait_until,
    redis::{MASTER_NAME, Redis, Role},
    server::{Engine, Server},
    which::{CLUSTER_NODES, SENTINELS},
};

/// Far longer than servers take to hear of each other on a busy machine.
const MEETING_LIMIT: Duration = Duration::from_secs(60);

/// Starts a pooler in front of PostgreSQL.
pub(crate) fn pgbouncer(
    home: &Path,
    postgres: &Server,
    notices: &mut dyn Write,
) -> Result<Server, Error> {
    let engine = PgBouncer::find(home, postgres.port(), notices)?;
    Server::start(home, Engine::PgBouncer(engine), Some(postgres.password()))
}

/// Copies the data of PostgreSQL while it runs, and starts a standby on them, which is ready when it
/// answers.
pub(crate) fn standby(
    home: &Path,
    spec: &PostgresSpec,
    primary: &Server,
    notices: &mut dyn Write,
) -> Result<Server, Error> {
    // With fewer connections than its primary has, it would not start.
    let spec = PostgresSpec {
        data: DataDir::Temporary,
        ..spec.clone()
    };
    let engine = Postgres::find_standby(home, spec, primary.port(), notices)?;
    Server::start(home, Engine::Postgres(engine), Some(primary.password()))
}

/// Starts a replica of the primary and the sentinels of both, and waits until all know of all.
pub(crate) fn sentinels(
    home: &Path,
    spec: &RedisSpec,
    primary: &Server,
    notices: &mut dyn Write,
) -> Result<Vec<Server>, Error> {
    let of = primary.port();
    let mut start = |role, spec| {
        let engine = Redis::find(home, role, spec, notices)?;
        Server::start(home, Engine::Redis(engine), Some(primary.password()))
    };
    // Promoted, it must do all that the primary did.
    let spec = RedisSpec {
        data: DataDir::Temporary,
        ..spec.clone()
    };
    let replica = start(Role::Replica { of }, spec)?;
    // A sentinel that asks the primary too soon asks again after ten seconds.
    wait("waiting for the replica of Redis", || {
        says(&replica, "INFO replication", "master_link_status:up")
    })?;
    let mut servers = vec![replica];
    for number in 0..SENTINELS {
        let role = Role::Sentinel { number, of };
        servers.push(start(role, RedisSpec::default())?);
    }
    let known = format!(
        "name={MASTER_NAME},status=ok,address=127.0.0.1:{of},slaves=1,sentinels={SENTINELS}"
    );
    wait("waiting for the sentinels to find each other", || {
        servers[1..]
            .iter()
            .all(|sentinel| says(sentinel, "INFO sentinel", &known))
    })?;
    Ok(servers)
}

/// Starts the nodes of a cluster and joins them.
pub(crate) fn cluster(home: &Path, notices: &mut dyn Write) -> Result<Vec<Server>, Error> {
    let mut nodes: Vec<Server> = Vec::new();
    for number in 0..CLUSTER_NODES {
        let role = Role::ClusterNode { number };
        let engine = Redis::find(home, role, RedisSpec::default(), notices)?;
        let password = nodes.first().map(Server::password);
        let node = Server::start(home, Engine::Redis(engine), password)?;
        nodes.push(node);
    }
    cluster::join(&nodes)?;
    Ok(nodes)
}

fn says(server: &Server, command: &str, text: &str) -> bool {
    server
        .connect()
        .and_then(|mut connection| connection.ask(command))
        .is_ok_and(|reply| reply.contains(text))
}

fn wait(step: &'static str, holds: impl FnMut() -> bool) -> Result<(), Error> {
    if wait_until(MEETING_LIMIT, holds) {
        Ok(())
    } else {
        Err(Error::TimedOut {
            step,
            after: MEETING_LIMIT,
        })
    }
}
