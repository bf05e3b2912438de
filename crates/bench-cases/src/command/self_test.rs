//! `self-test`: the harness against itself, quiet and beside a busy neighbour.

use std::time::{Duration, Instant};

use anyhow::Context;
use ruleiq_bench::{
    Orders, Rules,
    report::Verdict,
    run::{Stop, in_words},
    worker::CaseInfo,
};

use super::{INTERRUPTED, assemble, client, env, interrupt, output, run};
use crate::{
    Plan,
    self_test::{Bench, Neighbour, Planted, Seen, Trial, cases},
};

/// How much is planted.
const SLOWER: f64 = 0.10;
const TRIALS: usize = 10;
/// The shortest slices: the processor's clock is exact, a server's are not.
const SHORTEST_S: [f64; 2] = [0.08, 0.12];
/// What the whole may take; what is not tried by then is told as such.
const LONGEST: Duration = Duration::from_secs(3_000);

/// How many trials ended how.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Called slower.
    flagged: usize,
    /// Called faster.
    improved: usize,
    same: usize,
    inconclusive: usize,
    not_tried: usize,
}

/// Why a part has nothing more to say.
enum Ended {
    Tried(Tally),
    Stopped,
}

impl Tally {
    /// Counts a trial, and says how it ended.
    fn note(&mut self, verdict: Verdict) -> &'static str {
        let (count, word) = match verdict {
            Verdict::Same => (&mut self.same, "same"),
            Verdict::Regressed => (&mut self.flagged, "regressed"),
            Verdict::Improved => (&mut self.improved, "improved"),
            _ => (&mut self.inconclusive, "inconclusive"),
        };
        *count += 1;
        word
    }
}

/// Both parts. The worse exit code of the two is that of the whole.
pub(super) async fn all(plan: Plan) -> anyhow::Result<u8> {
    let noise = noise(plan).await?;
    if noise == INTERRUPTED {
        return Ok(noise);
    }
    Ok(worse(noise, client::client().await?))
}

/// A case against itself and against itself slowed down.
pub(super) async fn noise(plan: Plan) -> anyhow::Result<u8> {
    run::refuse_debug(&plan)?;
    let stop = interrupt::listen()?;
    let seed = plan.seed.unwrap_or_else(assemble::drawn_seed);
    let mut orders = Orders::new(seed);
    let mut infos: Vec<CaseInfo> = cases(Planted::default()).iter().map(CaseInfo::of).collect();
    if env()?.database_url().is_err() {
        infos.truncate(1);
        output::print("without a database, only the case on the processor alone is tried\n")?;
    }
    let until = Instant::now() + LONGEST;
    output::print(&format!(
        "{TRIALS} trials of each kind, at most {}; seed {seed}\n",
        in_words(LONGEST)
    ))?;
    let mut worst = 0;
    for (info, shortest) in infos.iter().zip(SHORTEST_S) {
        for is_busy in [false, true] {
            let neighbour = match is_busy {
                true => Some(Neighbour::start().context("failed to start a busy neighbour")?),
                false => None,
            };
            let this = std::env::current_exe()?;
            let mut bench = Bench::new(this, info.clone(), Rules::full(), shortest);
            match part(&mut bench, is_busy, until, &mut orders, &stop).await {
                Ok(Some(code)) => worst = worse(worst, code),
                Ok(None) => return Ok(INTERRUPTED),
                // A worker that was ended half-way is no fault.
                Err(_) if stop.is_asked() => return Ok(INTERRUPTED),
                Err(error) => return Err(error),
            }
            drop(neighbour);
        }
    }
    Ok(worst)
}

/// 1 outranks 3: it is known to be wrong.
fn worse(one: u8, other: u8) -> u8 {
    match (one, other) {
        (1, _) | (_, 1) => 1,
        (one, other) => one.max(other),
    }
}

/// The trials of one case, or none if they were stopped.
async fn part(
    bench: &mut Bench,
    is_busy: bool,
    until: Instant,
    orders: &mut Orders,
    stop: &Stop,
) -> anyhow::Result<Option<u8>> {
    let around = if is_busy { ", one core kept busy" } else { "" };
    let Trial::Seen(pilot) = bench.pilot(orders, stop).await? else {
        return Ok(None);
    };
    output::print(&format!(
        "\n{}{around}: {:.3} us of CPU per operation, slices of {:.0} ms, A/A {}\n",
        bench.name(),
        pilot.control_us,
        bench.slice_s * 1e3,
        noise_of(&pilot)
    ))?;
    let mut tallies = Vec::new();
    for slower in [0.0, SLOWER] {
        let planted = (slower, planted(&pilot, slower));
        match trials(bench, planted, until, orders, stop).await? {
            Ended::Tried(tally) => tallies.push(tally),
            Ended::Stopped => return Ok(None),
        }
    }
    let (same, slower) = (tallies[0], tallies[1]);
    output::print(&format!(
        "  unchanged: {} of {TRIALS} flagged; {:.0} % slower: {} of {TRIALS} flagged, {} \
         inconclusive, {} called the same, {} called faster, {} not tried\n",
        same.flagged + same.improved,
        SLOWER * 100.0,
        slower.flagged,
        slower.inconclusive,
        slower.same,
        slower.improved,
        same.not_tried + slower.not_tried,
    ))?;
    Ok(Some(code(same, slower, is_busy)))
}

/// 1 where something false was said, 3 where too little was. Beside a busy neighbour, it is enough
/// to say nothing false.
fn code(same: Tally, slower: Tally, is_busy: bool) -> u8 {
    if same.flagged + same.improved > 0 || slower.same + slower.improved > 0 {
        1
    } else if same.not_tried + slower.not_tried > 0 || (slower.inconclusive > 0 && !is_busy) {
        3
    } else {
        0
    }
}

/// What slows the case down by so much. It is planted in both cases; the other one does not run.
fn planted(pilot: &Seen, slower: f64) -> Planted {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a time per operation"
    )]
    let ns = (pilot.control_us * 1e3 * slower).round() as u64;
    Planted {
        fingerprint_ns: ns,
        point_select_ns: ns,
    }
}

async fn trials(
    bench: &Bench,
    (slower, planted): (f64, Planted),
    until: Instant,
    orders: &mut Orders,
    stop: &Stop,
) -> anyhow::Result<Ended> {
    let mut tally = Tally::default();
    for trial in 1..=TRIALS {
        if Instant::now() >= until {
            tally.not_tried += 1;
            continue;
        }
        let Trial::Seen(seen) = bench.trial(planted, orders, stop).await? else {
            return Ok(Ended::Stopped);
        };
        let word = tally.note(seen.verdict);
        output::print(&format!(
            "  {:>4.0} % slower, {trial:>2}: ratio {:.3} [{:.3}, {:.3}], A/A {}, look {}: {word}\n",
            slower * 100.0,
            seen.ratio,
            seen.low,
            seen.high,
            noise_of(&seen),
            seen.stage,
        ))?;
    }
    Ok(Ended::Tried(tally))
}

fn noise_of(seen: &Seen) -> String {
    let percent = |it: Option<f64>| it.map_or("?".to_owned(), |it| format!("{:.1} %", it * 100.0));
    format!("s {} floor {}", percent(seen.s), percent(seen.floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_false_outranks_what_is_unsaid() {
        let of = |flagged, same, inconclusive, not_tried| Tally {
            flagged,
            same,
            inconclusive,
            not_tried,
            improved: 0,
        };
        let (quiet, seen) = (of(0, 10, 0, 0), of(10, 0, 0, 0));
        assert_eq!(code(quiet, seen, false), 0);
        assert_eq!(code(of(1, 9, 0, 0), seen, false), 1);
        assert_eq!(code(quiet, of(9, 1, 0, 0), true), 1);
        assert_eq!(code(quiet, of(9, 0, 1, 0), false), 3);
        assert_eq!(code(quiet, of(0, 0, 10, 0), true), 0);
        assert_eq!(code(quiet, of(5, 0, 0, 5), true), 3);
        let mut faster = of(9, 0, 0, 0);
        assert_eq!(faster.note(Verdict::Improved), "improved");
        assert_eq!(code(quiet, faster, false), 1, "slower was called faster");
        assert_eq!(code(quiet, faster, true), 1);
        let mut moved = of(0, 9, 0, 0);
        moved.note(Verdict::Improved);
        assert_eq!(code(moved, seen, true), 1);
        assert_eq!(worse(3, 1), 1);
        assert_eq!(worse(0, 3), 3);
    }
}
