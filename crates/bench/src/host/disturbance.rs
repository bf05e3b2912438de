//! What took processor time away between two moments.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::{cgroup_file, read};
use crate::Beside;

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
    /// The same and more, as slices are told it.
    pub beside: Beside,
    /// Share of time in which something waited for a processor.
    pub pressure: Option<f64>,
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
                it.beside.all_s = all / 100.0;
                it.beside.busy_s = (all - idle - steal) / 100.0;
                it.beside.steal_s = steal / 100.0;
            }
        }
        it.beside.throttled = difference(self.throttled, later.throttled).unwrap_or(0);
        it
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
    fn steal_is_not_what_was_spent() {
        let then = moment("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4");
        let now = moment("cpu  140 0 110 830 10 0 0 10 0 0\ncpu0 1 2 3 4");
        let between = then.until(&now);
        assert!((between.steal - 0.1).abs() < 1e-9);
        let Beside {
            all_s,
            busy_s,
            steal_s,
            ..
        } = between.beside;
        assert_eq!((all_s, busy_s, steal_s), (1.0, 0.5, 0.1));
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
