//! One point: a warm arm for a few slices, with all clocks around it.

use std::{collections::BTreeMap, time::Duration};

use ruleiq_bench::{
    Arm, Budget, Fault, Histogram, Tally,
    cpu::{Clocks, Servers},
    report::GrowthPoint,
};

const WARM: Duration = Duration::from_millis(500);
const SLICE: Duration = Duration::from_millis(500);
const SLICES: u32 = 3;
/// What a slice may take beyond its time, for the operations under way.
const OVERTIME: Duration = Duration::from_secs(30);

/// How long a point takes once its arm is set up.
pub(super) const TIME: Duration = Duration::from_secs(2);

/// Measures what an operation costs at a size.
pub(super) async fn measure(
    size: u64,
    arm: &mut dyn Arm,
    servers: Servers,
    figures: BTreeMap<String, f64>,
) -> Result<GrowthPoint, Fault> {
    arm.check().await?;
    slice(arm, WARM).await?;
    let clocks = Clocks::new(servers, &arm.pids());
    let (mut operations, mut cpu) = (0_u64, BTreeMap::<String, f64>::new());
    let mut latency = Histogram::new();
    let mut figures = figures;
    for _ in 0..SLICES {
        let before = clocks.before().map_err(Fault::failed)?;
        let tally = slice(arm, SLICE).await?;
        let used = clocks.since(&before).map_err(Fault::failed)?;
        operations += tally.operations;
        for (process, seconds) in used.cpu_s {
            *cpu.entry(process).or_default() += seconds;
        }
        if let Some(its) = &tally.latencies() {
            latency.merge(its);
        }
        figures.extend(tally.figures);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    let per_op = |seconds: f64| seconds * 1e6 / operations as f64;
    cpu.values_mut().for_each(|it| *it = per_op(*it));
    let quantiles = [("p50", 0.50), ("p99", 0.99)]
        .into_iter()
        .filter(|(_, q)| latency.supports(*q));
    let latency_us = quantiles.filter_map(|(name, q)| {
        let quantile = latency.quantile(q)?;
        Some((name.to_owned(), quantile.as_secs_f64() * 1e6))
    });
    Ok(GrowthPoint {
        size,
        cpu,
        latency_us: latency_us.collect(),
        figures,
    })
}

async fn slice(arm: &mut dyn Arm, time: Duration) -> Result<Tally, Fault> {
    let tally = tokio::time::timeout(time + OVERTIME, arm.run(Budget::For(time))).await;
    let tally = tally.map_err(|_| Fault::Failed("an operation does not end".to_owned()))??;
    if tally.wrong > 0 {
        return Err(Fault::Wrong(format!("{} answers were wrong", tally.wrong)));
    }
    match tally.errors.first_key_value() {
        Some((error, times)) => Err(Fault::Failed(format!("{error} ({times} times)"))),
        None if tally.operations == 0 => Err(Fault::Failed("no operation ended".to_owned())),
        None => Ok(tally),
    }
}
