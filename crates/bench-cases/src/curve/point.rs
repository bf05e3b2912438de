//! One offered rate: its figures, and what speaks against reading them.

use std::{collections::BTreeMap, time::Duration};

use ruleiq_bench::{Histogram, cpu::Used, load::OpenLoop, report::CurvePoint};

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];
/// What the client's own lateness may be of the P99 that is told.
const LATENESS: f64 = 0.1;
/// What the client may use of its one core, and offer of its own ceiling: beyond, it is the client
/// whose queue is measured.
const BUSY: f64 = 0.6;
const OF_CEILING: f64 = 0.7;
/// Linux delays an acknowledgement by 40 ms; a crowd there is Nagle's algorithm, not the server.
const DELAYED: [Duration; 2] = [Duration::from_millis(38), Duration::from_millis(45)];
const CROWD: f64 = 0.05;

/// Whether the rate holds: P99 within the bound, nothing failed, what was offered was answered.
pub(super) fn holds(seen: &OpenLoop, bound: Duration, answered: f64) -> bool {
    let counts = &seen.counts;
    let p99 = seen.latency.quantile(0.99);
    p99.is_some_and(|it| it <= bound)
        && counts.errors.is_empty()
        && counts.wrong == 0
        && seen.answered >= answered * seen.offered
}

pub(super) fn point(share: f64, seen: OpenLoop, used: Used, client_ceiling: f64) -> CurvePoint {
    let mut flags = flags(&seen, client_ceiling);
    flags.extend(used.flags);
    let mut lag_us = quantiles(&seen.lag);
    if let Some(own) = seen.pacing.quantile(0.99) {
        lag_us.insert("own_p99".into(), us(own));
    }
    let requests = number(seen.counts.ok);
    let per_request = |seconds: f64| seconds * 1e6 / requests.max(1.0);
    let cpu = used.cpu_s.into_iter();
    CurvePoint {
        share,
        offered: seen.offered,
        answered: seen.answered,
        latency_us: quantiles(&seen.latency),
        service_us: quantiles(&seen.service),
        lag_us,
        histogram: seen.latency.encode(),
        histogram_service: seen.service.encode(),
        cpu: cpu.map(|(name, it)| (name, per_request(it))).collect(),
        counts: seen.counts,
        flags,
    }
}

/// Those with a hundred values beyond them, and the longest.
fn quantiles(histogram: &Histogram) -> BTreeMap<String, f64> {
    let supported = QUANTILES.into_iter().filter(|it| histogram.supports(it.1));
    let values = supported.filter_map(|(name, q)| Some((name, histogram.quantile(q)?)));
    values
        .chain(histogram.max().map(|it| ("max", it)))
        .map(|(name, it)| (name.to_owned(), us(it)))
        .collect()
}

fn flags(seen: &OpenLoop, client_ceiling: f64) -> Vec<String> {
    let mut flags = Vec::new();
    let p99 = seen.latency.quantile(0.99).unwrap_or_default();
    let own = seen.pacing.quantile(0.99).unwrap_or_default();
    if own.as_secs_f64() >= LATENESS * p99.as_secs_f64() {
        flags.push(format!(
            "the client itself was {own:?} late at P99, above a tenth of the {p99:?} told"
        ));
    }
    if seen.client_busy >= BUSY {
        let busy = seen.client_busy * 100.0;
        flags.push(format!("the client used {busy:.0} % of its core"));
    }
    if seen.offered > OF_CEILING * client_ceiling {
        flags.push(format!(
            "more than 0.7 of the {client_ceiling:.0} requests/s that the client can send"
        ));
    }
    let errors: u64 = seen.counts.errors.values().sum();
    if errors + seen.counts.wrong > 0 {
        let (ops, wrong) = (seen.counts.ops, seen.counts.wrong);
        flags.push(format!(
            "of {ops} requests, {errors} failed and {wrong} were answered wrongly"
        ));
    }
    if seen.reconnects > 0 {
        flags.push(format!("{} connections were replaced", seen.reconnects));
    }
    let unfinished = seen.counts.censored + seen.counts.skipped;
    if number(unfinished) > 0.01 * number(seen.counts.ops) {
        flags.push(format!(
            "P99 is at least what is told: {unfinished} requests were not answered"
        ));
    }
    if seen.counts.out_of_range > 0 {
        let beyond = seen.counts.out_of_range;
        flags.push(format!("{beyond} requests took more than a minute"));
    }
    let crowd = seen.service.share_between(DELAYED[0], DELAYED[1]);
    let is_usual = seen
        .service
        .quantile(0.5)
        .is_some_and(|it| it > DELAYED[0] / 2);
    if crowd > CROWD && !is_usual {
        let crowd = crowd * 100.0;
        flags.push(format!(
            "{crowd:.0} % of the answers took 38 to 45 ms, as delayed acknowledgements do"
        ));
    }
    flags
}

fn us(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use ruleiq_bench::report::Counts;

    use super::*;

    /// 20,000 requests at 10,000 a second, each answered after a millisecond.
    fn seen() -> OpenLoop {
        let all_at = |us| {
            let mut histogram = Histogram::new();
            for _ in 0..20_000 {
                histogram.record(Duration::from_micros(us));
            }
            histogram
        };
        OpenLoop {
            latency: all_at(1_000),
            service: all_at(900),
            lag: all_at(100),
            pacing: all_at(20),
            counts: Counts {
                ops: 20_000,
                ok: 20_000,
                ..Counts::default()
            },
            offered: 10_000.0,
            answered: 10_000.0,
            reconnects: 0,
            client_cpu: Duration::from_millis(200),
            wall: Duration::from_secs(2),
            client_busy: 0.1,
        }
    }

    fn check(change: impl FnOnce(&mut OpenLoop), flag: &str) {
        let mut seen = seen();
        change(&mut seen);
        let flags = flags(&seen, 20_000.0);
        assert_eq!(flags.len(), 1, "{flags:?}");
        assert!(flags[0].contains(flag), "{flags:?}");
    }

    #[test]
    fn a_point_about_the_client_is_flagged() {
        assert!(flags(&seen(), 20_000.0).is_empty());
        check(|it| it.pacing = it.service.clone(), "late at P99");
        check(|it| it.client_busy = 0.6, "60 % of its core");
        check(|it| it.offered = 15_000.0, "can send");
        check(|it| it.reconnects = 1, "replaced");
        check(|it| it.counts.skipped = 201, "at least");
        check(|it| it.counts.wrong = 3, "3 were answered wrongly");
        let failed = |it: &mut OpenLoop| {
            it.counts.errors.insert("status 500".into(), 2);
        };
        check(failed, "2 failed");
        check(|it| it.counts.out_of_range = 1, "minute");
        let delayed = |it: &mut OpenLoop| {
            for _ in 0..2_000 {
                it.service.record(Duration::from_millis(40));
            }
        };
        check(delayed, "acknowledgements");
    }

    #[test]
    fn a_rate_holds_by_latency_errors_and_answers() {
        let bound = Duration::from_millis(2);
        let check = |change: fn(&mut OpenLoop)| {
            let mut seen = seen();
            change(&mut seen);
            holds(&seen, bound, 0.99)
        };
        assert!(check(|_| ()));
        assert!(!check(|it| it.counts.wrong = 1));
        assert!(!check(|it| it.answered = 9_800.0));
        assert!(!check(|it| {
            it.counts.errors.insert("status 500".into(), 1);
        }));
        assert!(!check(|it| {
            for _ in 0..1_000 {
                it.latency.record(Duration::from_millis(3));
            }
        }));
    }

    #[test]
    fn a_point_tells_only_quantiles_with_a_hundred_values_beyond() {
        let used = Used {
            cpu_s: BTreeMap::from([("server".to_owned(), 1.0)]),
            flags: vec!["steal 4 %".into()],
        };
        let point = point(0.5, seen(), used, 20_000.0);
        assert_eq!(point.cpu["server"], 50.0);
        assert!(point.latency_us.contains_key("p99"));
        assert!(!point.latency_us.contains_key("p99.9"));
        assert_eq!(point.flags, ["steal 4 %"]);
    }
}
