//! What took processor time away between two moments.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::{cgroup_file, read};

/// Steal above this share of all processor time is told.
const STEAL: f64 = 0.02;
/// Processor time of programs that have no part in the slice, above this share, is told. Ticks of
/// 10 ms make smaller shares of a short slice a guess.
const OTHERS: f64 = 0.15;

/// The counters of the machine at one moment. What cannot be read is absent.
#[derive(Clone, Debug)]
pub struct Moment {
    at: Instant,
    ticks: Option<Ticks>,
    pressure_us: Option<u64>,
    throttled: Option<u64>,
    switched: Option<i64>,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disturbance {
    /// Share of processor time that the host took away.
    pub steal: f64,
    /// Share of processor time that was spent at all.
    pub busy: f64,
    /// CPU seconds that were spent at all.
    pub busy_s: f64,
    /// CPU seconds that there were.
    pub all_s: f64,
    /// Share of time in which something waited for a processor.
    pub pressure: Option<f64>,
    /// How often the control group was throttled.
    pub throttled: u64,
    /// How often this process lost its processor.
    pub switched: i64,
}

/// Of `/proc/stat`, in hundredths of a second over all processors.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    all: f64,
    idle: f64,
    steal: f64,
}

impl Moment {
    /// Reads all counters.
    pub fn now() -> Moment {
        Moment {
            ticks: read("/proc/stat").as_deref().and_then(Ticks::parse),
            pressure_us: read("/proc/pressure/cpu").as_deref().and_then(pressure_us),
            throttled: cgroup_file("cpu.stat").as_deref().and_then(throttled),
            switched: getrusage(UsageWho::RUSAGE_SELF)
                .ok()
                .map(|it| it.involuntary_context_switches()),
            at: Instant::now(),
        }
    }

    /// What happened since.
    pub fn until(&self, later: &Moment) -> Disturbance {
        let wall = later.at - self.at;
        let mut it = Disturbance {
            throttled: difference(self.throttled, later.throttled).unwrap_or(0),
            switched: later.switched.unwrap_or(0) - self.switched.unwrap_or(0),
            pressure: difference(self.pressure_us, later.pressure_us)
                .filter(|_| wall > Duration::ZERO)
                .map(|us| Duration::from_micros(us).as_secs_f64() / wall.as_secs_f64()),
            ..Disturbance::default()
        };
        if let (Some(then), Some(now)) = (self.ticks, later.ticks) {
            let all = now.all - then.all;
            if all > 0.0 {
                let (idle, steal) = (now.idle - then.idle, now.steal - then.steal);
                it.steal = steal / all;
                it.busy = (all - idle - steal) / all;
                it.busy_s = (all - idle - steal) / 100.0;
                it.all_s = all / 100.0;
            }
        }
        it
    }
}

impl Disturbance {
    /// What a reader of the slice has to know, if the processes of the slice used `ours_s` CPU
    /// seconds.
    pub fn flags(&self, ours_s: f64) -> Vec<String> {
        let mut flags = Vec::new();
        if self.steal > STEAL {
            flags.push(format!("steal {:.0} %", self.steal * 100.0));
        }
        let others = if self.all_s > 0.0 {
            (self.busy_s - ours_s) / self.all_s
        } else {
            0.0
        };
        if others > OTHERS {
            flags.push(format!("other programs {:.0} %", others * 100.0));
        }
        if self.throttled > 0 {
            flags.push(format!("throttled {} times", self.throttled));
        }
        flags
    }
}

impl Ticks {
    fn parse(stat: &str) -> Option<Ticks> {
        let line = stat.lines().find_map(|it| it.strip_prefix("cpu "))?;
        let ticks: Vec<f64> = line
            .split_whitespace()
            .map_while(|it| it.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user time.
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Ticks {
            all: ticks.iter().take(8).sum(),
            idle,
            steal: ticks.get(7).copied().unwrap_or(0.0),
        })
    }
}

fn pressure_us(text: &str) -> Option<u64> {
    let line = text.lines().find(|it| it.starts_with("some "))?;
    line.rsplit_once("total=")?.1.parse().ok()
}

fn throttled(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|it| it.strip_prefix("nr_throttled "))?
        .parse()
        .ok()
}

fn difference(then: Option<u64>, now: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(then?))
}

/// The load average of the last minute.
pub fn load1() -> f64 {
    read("/proc/loadavg")
        .and_then(|it| it.split(' ').next()?.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn moment(stat: &str) -> Moment {
        Moment {
            at: Instant::now(),
            ticks: Ticks::parse(stat),
            pressure_us: None,
            throttled: None,
            switched: None,
        }
    }

    #[test]
    fn steal_and_others_are_told_apart() {
        let then = moment("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4");
        let now = moment("cpu  140 0 110 830 10 0 0 10 0 0\ncpu0 1 2 3 4");
        let between = then.until(&now);
        assert_eq!(between.flags(0.5), ["steal 10 %"]);
        let flags = between.flags(0.1);
        assert_eq!(flags, ["steal 10 %", "other programs 40 %"]);
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let text = "some avg10=8.47 avg60=11.94 avg300=12.73 total=4894948356\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0";
        assert_eq!(pressure_us(text), Some(4_894_948_356));
        assert_eq!(throttled("usage_usec 5\nnr_throttled 7\n"), Some(7));
        assert!(Moment::now().ticks.is_some());
    }
}
