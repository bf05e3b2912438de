//! A run: its cases one after the other, each within its share of the time.

use std::time::Duration;

use ruleiq_bench::{
    ArmOf, Block, CaseName, Fault, Measured, Role, SideInfo, Slice,
    report::{Report, Row, Server},
};
use time::OffsetDateTime;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    Benchmark, ENCODER_CASES,
    cache::{self, Guest},
    compression, database,
    job::{Job, Part, Place},
    report,
};
use crate::performance::Inner;

/// Parts of a case. Each is one observation: fewer than eight give no interval at 99 %.
pub(super) const PARTS: u64 = 10;
/// Above this share of the connections the application needs them itself.
const BUSY: f64 = 0.8;
/// What is kept of the time for what comes after the cases.
const RESERVE: Duration = Duration::from_secs(1);

/// How much is done.
pub(crate) struct Limits {
    /// One component, or all.
    pub(crate) component: Option<&'static str>,
    /// How often each case is done.
    pub(crate) iterations: u64,
    /// When the run ends, wherever it is.
    pub(crate) until: Instant,
}

/// What a run has come to.
pub(super) struct Outcome {
    pub(super) started: OffsetDateTime,
    pub(super) duration: Duration,
    pub(super) iterations: u64,
    pub(super) servers: Vec<Server>,
    pub(super) rows: Vec<Row>,
    /// Whether something is missing.
    pub(super) is_partial: bool,
    pub(super) warnings: Vec<String>,
}

/// Whether the application needs its connections itself.
pub(crate) fn is_busy(inner: &Inner) -> bool {
    let database = inner.pools.stats().database;
    database.is_some_and(|it| it.utilization > BUSY)
}

/// Measures the service that this is.
///
/// # Errors
///
/// When the benchmark's own cache cannot be made.
///
/// # Cancel safety
///
/// Dropped, it gives its connections back, and its keys and its turn when they are gone.
pub(crate) async fn run(
    inner: &Inner,
    benchmark: &Benchmark,
    limits: &Limits,
    turn: OwnedSemaphorePermit,
) -> Result<Report, Fault> {
    let place = Place {
        runtime: inner.pools.runtime().clone(),
        guest: Guest::new(&inner.pools, turn)?,
    };
    let begun = Instant::now();
    // The keys have to go, and the statistics have to be made.
    let end = limits.until - RESERVE;
    let mut outcome = Outcome {
        started: OffsetDateTime::now_utc(),
        duration: Duration::ZERO,
        servers: report::servers(inner).await,
        iterations: limits.iterations,
        rows: Vec::new(),
        is_partial: false,
        warnings: Vec::new(),
    };
    let names = benchmark.case_names();
    let is_wanted = |it: &&CaseName| limits.component.is_none_or(|wanted| wanted == it.component);
    let names: Vec<&CaseName> = names.iter().filter(is_wanted).collect();
    for (done, name) in names.iter().enumerate() {
        if is_busy(inner) {
            outcome.end(format!(
                "ended before `{name}`: the application uses more than 80 % of its connections"
            ));
            break;
        }
        let now = Instant::now();
        if now >= end {
            outcome.end(format!("ended before `{name}`: the time was up"));
            break;
        }
        let left = u32::try_from(names.len() - done).unwrap_or(u32::MAX);
        let until = now + (end - now) / left;
        outcome.case(inner, benchmark, &place, name, until).await;
    }
    place.guest.leave().await;
    outcome.duration = begun.elapsed();
    Ok(report::of(outcome))
}

impl Outcome {
    fn end(&mut self, why: String) {
        self.is_partial = true;
        self.warnings.push(why);
    }

    /// Makes a case ready and measures it, or notes why that was not possible.
    async fn case(
        &mut self,
        inner: &Inner,
        benchmark: &Benchmark,
        place: &Place,
        name: &CaseName,
        until: Instant,
    ) {
        let measured = async {
            let made = timeout_at(until, make(inner, benchmark, &place.guest, name)).await;
            let job = made.map_err(|_| Fault::Failed("its preparation took too long".into()))??;
            measure(&job, place, self.iterations, until).await
        };
        match measured.await {
            Err(fault) => self.end(format!("`{name}` could not be measured: {fault}")),
            Ok((measured, cut_after)) => {
                if let Some(operations) = cut_after {
                    self.end(format!(
                        "`{name}` was ended after {operations} of {} operations: its time was up, \
                         or it failed too often",
                        self.iterations
                    ));
                }
                self.summarise(measured).await;
            }
        }
    }

    /// The statistics take milliseconds, which other requests should not wait for.
    async fn summarise(&mut self, measured: Measured) {
        let name = measured.name.clone();
        let summarise = move || ruleiq_bench::summarise(&measured, &ruleiq_bench::Rules::full());
        match spawn_blocking(summarise).await {
            Ok(rows) => self.rows.extend(without_cpu(rows)),
            Err(_) => self.end(format!("`{name}` was measured and could not be summarised")),
        }
    }
}

/// The rows without that of CPU time, which was not measured. What stands in it alone goes into the
/// first of the others.
fn without_cpu(rows: Vec<Row>) -> Vec<Row> {
    let is_cpu = |it: &Row| it.metric == "cpu_per_op";
    let (mut cpu, mut others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_cpu);
    match (others.first_mut(), cpu.first_mut()) {
        (Some(first), Some(cpu)) => {
            first.histogram = cpu.histogram.take();
            first.figures = std::mem::take(&mut cpu.figures);
            others
        }
        // Nothing was done: the row says why.
        (None, _) => cpu,
        (Some(_), None) => others,
    }
}

async fn make(
    inner: &Inner,
    benchmark: &Benchmark,
    guest: &Guest,
    name: &CaseName,
) -> Result<Job, Fault> {
    let own = |names: &[&'static str]| names.iter().copied().find(|it| *it == name.case);
    if name.component == "database" {
        let case = benchmark.database().iter().find(|it| it.name == name.case);
        return database::job(&inner.pools, case.expect("the name is of a case")).await;
    }
    if let Some(case) = own(&cache::NAMES).filter(|_| name.component == "cache") {
        return cache::job(case, guest.records()).await;
    }
    let encoder = ENCODER_CASES.into_iter().find(|it| it.name == name.case);
    match encoder.filter(|_| name.component == "compression") {
        Some(case) => compression::job(case).await,
        None => Ok(database::checkout(&inner.pools)),
    }
}

/// Does a case in parts. Answers what was measured, and after how many operations it was cut off.
async fn measure(
    job: &Job,
    place: &Place,
    iterations: u64,
    until: Instant,
) -> Result<(Measured, Option<u64>), Fault> {
    // Connects, prepares statements, fills what is empty. Not measured.
    let warm = job.part(place, 0..2, until).await?;
    if warm.is_cut {
        return Err(Fault::Failed("no time was left".into()));
    }
    let mut parts = Vec::new();
    let mut cut_after = None;
    for part in 0..PARTS {
        let times = iterations * part / PARTS..iterations * (part + 1) / PARTS;
        if times.is_empty() {
            continue;
        }
        let part = job.part(place, times, until).await?;
        let is_cut = part.is_cut;
        parts.push(part);
        if is_cut {
            cut_after = Some(parts.iter().map(|it| it.tally.operations).sum());
            break;
        }
    }
    Ok((measured(job, parts).await?, cut_after))
}

/// A CPU time is not told: this process serves others at the same time.
async fn measured(job: &Job, parts: Vec<Part>) -> Result<Measured, Fault> {
    let block = |part: Part| Block {
        stage: 1,
        slices: vec![(
            ArmOf::Side(0),
            Slice::new(&part.tally, part.wall, Default::default()),
        )],
    };
    let blocks = spawn_blocking(move || parts.into_iter().map(block).collect());
    let blocks = blocks
        .await
        .map_err(|_| Fault::Failed("what was measured could not be encoded".into()))?;
    Ok(Measured {
        name: CaseName {
            component: job.component.to_owned(),
            case: job.case.to_owned(),
            variant: Default::default(),
        },
        about: job.about.to_owned(),
        settings: job.settings.clone(),
        processes: Vec::new(),
        targets: job.targets.clone(),
        sides: vec![SideInfo {
            name: "ruleiq".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Role::Subject,
            missing: None,
            counts: Default::default(),
        }],
        blocks,
        notes: Vec::new(),
    })
}
