//! The report of a run, in the schema of the command-line benchmark.

use std::time::Duration;

use ruleiq_bench::report::{
    Git, Host, Kind, Noise, Report, SCHEMA, Scale, SelfCheck, Server, Settings, Toolchain,
};
use ruleiq_query::Read as _;
use tokio::time::timeout;

use super::run::Outcome;
use crate::performance::Inner;

/// How long the servers may take to say their versions.
const ASKING: Duration = Duration::from_millis(500);
const NO_CPU: &str = "CPU time is not told: the process serves other requests at the same time. \
     `cargo xtask bench` measures it, against controls";

/// What a run came to, and where.
pub(super) fn of(outcome: Outcome) -> Report {
    let mut warnings = outcome.warnings;
    warnings.push(NO_CPU.to_owned());
    if cfg!(debug_assertions) {
        let unoptimized = "this server was built with debug assertions: its times say nothing";
        warnings.push(unoptimized.to_owned());
    }
    Report {
        schema: SCHEMA.to_owned(),
        id: uuid::Uuid::new_v4(),
        started: outcome.started,
        duration_s: outcome.duration.as_secs_f64(),
        kind: Kind::Measure,
        partial: outcome.is_partial,
        quick: false,
        host: Host {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..Host::default()
        },
        toolchain: Toolchain {
            debug_assertions: cfg!(debug_assertions),
            ..Toolchain::default()
        },
        git: Git::default(),
        servers: outcome.servers,
        scale: Scale::default(),
        settings: Settings {
            order: "single".to_owned(),
            iterations: Some(outcome.iterations),
            ..Settings::default()
        },
        noise: Noise::default(),
        results: outcome.rows,
        curves: Vec::new(),
        scale_study: Vec::new(),
        instructions: Vec::new(),
        self_check: SelfCheck::default(),
        warnings,
    }
}

/// The servers that say who they are in time.
pub(super) async fn servers(inner: &Inner) -> Vec<Server> {
    let server = |name: &str, version: String| Server {
        name: name.to_owned(),
        version,
        ..Server::default()
    };
    let postgres = timeout(ASKING, async {
        let session = inner.pools.session().await.ok()?;
        let row = session.query_one("SHOW server_version", &[]).await.ok()?;
        Some(server("postgres", row.get(0)))
    });
    let redis = timeout(ASKING, async {
        let info = inner.pools.redis_info().await?;
        Some(server("redis", info.version))
    });
    let (postgres, redis) = futures_util::join!(postgres, redis);
    let told = [postgres, redis].into_iter();
    told.filter_map(|it| it.ok().flatten()).collect()
}
