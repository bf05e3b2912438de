//! Latency under load of the endpoints that matter most, beside that of the plain handler.

use std::time::Duration;

use ruleiq_bench::{
    Fault, Process,
    cpu::{Clocks, Servers},
    load::Target,
    report::Curve,
};

use super::{ENDPOINTS, HttpSettings, settings, sides};
use crate::{
    Env, Options,
    curve::{CurvePlan, curve},
};

/// The P99 up to which a rate holds: the critical bound of an answer.
const BOUND: Duration = Duration::from_millis(500);
/// Connections of an open loop: requests that can be under way at once.
const CONNECTIONS: usize = 64;
/// Further slices at which the target is judged: eight give an interval at 99 %.
const REPEATS: usize = 7;

/// How curves are measured.
#[derive(Clone, Copy, Debug)]
pub struct CurvesPlan {
    /// The clocks of the database and of Redis.
    pub servers: Servers,
    /// How long each rate is offered.
    pub slice: Duration,
    /// Whether the knee is searched beyond the four shares of the ceiling.
    pub refine: bool,
}

/// The curves of the endpoints that a quick run has, each with that of its control.
///
/// # Errors
///
/// When a server cannot be started, or an answer is wrong before the load begins.
pub async fn curves(env: &Env, options: &Options, plan: CurvesPlan) -> Result<Vec<Curve>, Fault> {
    let mut curves = Vec::new();
    for endpoint in ENDPOINTS.iter().filter(|it| it.is_quick) {
        let mut settings = settings(options, endpoint, None);
        settings.connections = options.concurrency.unwrap_or(CONNECTIONS).max(1);
        curves.extend(pair(env, &settings, plan).await?);
    }
    Ok(curves)
}

/// Ours, then the plain one, which is also where the client's own ceiling is found.
async fn pair(env: &Env, settings: &HttpSettings, plan: CurvesPlan) -> Result<[Curve; 2], Fault> {
    let plain = sides::load_plain(env, settings).await?;
    let ours = sides::load_ours(env, settings).await?;
    let repeats = if plan.refine { REPEATS } else { 0 };
    let side = |side: &str, target: &Target, pid, servers, repeats| CurvePlan {
        component: "http".to_owned(),
        case: settings.endpoint.name.to_owned(),
        side: side.to_owned(),
        target: target.clone(),
        clocks: Clocks::new(servers, &[(Process::Server, pid)]),
        plain: plain.server.address(),
        connections: settings.connections,
        bound: BOUND,
        slice: plan.slice,
        refine: plan.refine,
        repeats,
        seed: env.seed(),
    };
    let pid = ours.server.pid();
    let ours = curve(side(sides::OURS, &ours.target, pid, plan.servers, repeats)).await?;
    let pid = plain.server.pid();
    let plain_plan = side(sides::PLAIN, &plain.target, pid, Servers::default(), 0);
    Ok([ours, curve(plain_plan).await?])
}
