//! Puts a report together.

use std::time::Instant;

use anyhow::Context;
use ruleiq_bench::{
    ArmOf, Histogram, Measured, Slice,
    host::{self, Moment},
    report::{self, Git, Host, Kind, Noise, Report, Scale, SelfCheck, Server, Settings},
    run::{Outcome, RunPlan},
    summarise::{noise, summarise},
    verdict::settle,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{env, run::seconds, self_check};
use crate::{Plan, env::facts, env::pids};

/// Names of settings that say how many operations are under way at once.
const UNDER_WAY: [&str; 3] = ["tasks", "concurrency", "connections"];

/// What is known before the first case.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) started: OffsetDateTime,
    pub(super) host: Host,
    pub(super) scale: Scale,
    began: Instant,
    moment: Moment,
    load1: f64,
    pub(super) servers: Vec<Server>,
    null_case_ns: f64,
    pub(super) warnings: Vec<String>,
}

impl Facts {
    /// Looks at machine, servers and data.
    pub(super) async fn gather(plan: &Plan) -> anyhow::Result<Facts> {
        let env = env()?;
        let mut warnings = Vec::new();
        let servers = facts::servers(&env).await;
        let servers = servers.context("a server that the cases need does not answer")?;
        let scale = facts::scale(&env)
            .await
            .context("failed to look at the data")?;
        warnings.extend(pids::servers(&env).await.1);
        let (null_case_ns, warning) = self_check::null_case().await?;
        warnings.extend(warning);
        if cfg!(debug_assertions) {
            warnings.push("debug assertions are on: nothing here may be quoted".to_owned());
        }
        if plan.git.dirty {
            let text = "the tree has changes that are not committed: no revision names this run";
            warnings.push(text.to_owned());
        }
        Ok(Facts {
            started: OffsetDateTime::now_utc(),
            host: host::facts(),
            scale,
            began: Instant::now(),
            moment: Moment::now(),
            load1: host::load1(),
            servers,
            null_case_ns,
            warnings,
        })
    }
}

/// A seed of at most 52 bits, which every reader of JSON keeps exactly.
pub(super) fn drawn_seed() -> u64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    high >> 12
}

/// The report of what was measured.
pub(super) fn report(plan: &Plan, run_plan: &RunPlan, facts: Facts, outcome: &Outcome) -> Report {
    let rules = &run_plan.rules;
    let mut rows: Vec<_> = outcome
        .measured
        .iter()
        .flat_map(|it| summarise(it, rules))
        .collect();
    settle(&mut rows, rules);
    let disturbance = facts.moment.until(&Moment::now());
    let noise = Noise {
        steal_pct: disturbance.steal * 100.0,
        psi_cpu_some: disturbance.pressure.map(|it| it * 100.0),
        throttled: disturbance.beside.throttled,
        load1: facts.load1,
        ..noise(&rows)
    };
    let is_compared = plan.against.is_some() || plan.baseline.is_some();
    let mut toolchain = plan.toolchain.clone();
    toolchain.debug_assertions = cfg!(debug_assertions);
    Report {
        schema: report::SCHEMA.to_owned(),
        id: Uuid::new_v4(),
        started: facts.started,
        duration_s: seconds(facts.began.elapsed()),
        kind: if is_compared {
            Kind::Compare
        } else {
            Kind::Measure
        },
        partial: outcome.is_partial,
        quick: plan.quick,
        host: facts.host,
        toolchain,
        git: Git {
            against: plan.against.as_ref().map(|it| it.revision.clone()),
            ..plan.git.clone()
        },
        servers: facts.servers,
        scale: facts.scale,
        settings: Settings {
            seed: run_plan.seed,
            slice_s: run_plan.profile.slice_s,
            blocks: run_plan.profile.blocks,
            order: "mirrored".to_owned(),
            concurrency: plan.options.concurrency,
            iterations: plan.iterations,
            runtime_threads: std::thread::available_parallelism().map_or(1, usize::from),
        },
        noise,
        results: rows,
        curves: Vec::new(),
        scale_study: Vec::new(),
        instructions: Vec::new(),
        self_check: SelfCheck {
            null_case_ns: Some(facts.null_case_ns),
            client_ceiling_rps: None,
            littles_law_worst: littles_law_worst(&outcome.measured),
        },
        warnings: facts.warnings,
    }
}

/// By Little's law, rate times latency is how many operations were under way. The worst difference
/// from how many were asked for, as a share; none where no case times its operations.
fn littles_law_worst(measured: &[Measured]) -> Option<f64> {
    measured
        .iter()
        .filter_map(|case| {
            let asked = UNDER_WAY
                .iter()
                .find_map(|it| case.settings.get(it)?.as_f64())?;
            let slices = case.blocks.iter().flat_map(|it| &it.slices);
            slices
                .filter(|(of, _)| *of == ArmOf::Side(0))
                .filter_map(|(_, slice)| Some((under_way(slice)? / asked - 1.0).abs()))
                .max_by(f64::total_cmp)
        })
        .max_by(f64::total_cmp)
}

fn under_way(slice: &Slice) -> Option<f64> {
    let latency = Histogram::decode(slice.latency.as_ref()?).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    let operations = latency.len() as f64;
    (slice.wall_s > 0.0).then_some(operations * latency.mean()?.as_secs_f64() / slice.wall_s)
}
