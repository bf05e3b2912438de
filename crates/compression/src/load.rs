//! How much of its processor a worker wants, and what follows for what it encodes.
//!
//! Encoding is what a service can leave out first when it has too much to do: a response that is a few kilobytes larger
//! is better than one that does not come. What is looked at every [`SAMPLE`] is the part of the time in which the worker's
//! thread ran or waited for a processor. That tells its own overload and that of the machine, whoever causes it, and a
//! container's limit, too: a thread that may not run waits.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::time::ClockId;

/// How often is looked.
const SAMPLE: Duration = Duration::from_millis(50);
/// From this part of the time on, a worker has too much to do.
const BUSY: f64 = 0.9;
/// Below it, it has time again. What lies between changes nothing: what a step down has freed must not lead back up.
const CALM: f64 = 0.6;
/// So often one after the other it is seen to be busy before a step, so that one slow request is none.
const BUSY_SAMPLES: u8 = 2;
/// So often one after the other it is seen to be calm before a step back.
const CALM_SAMPLES: u32 = 10;
/// A step that comes so soon after one back says that it was too early: the next one back takes twice as many.
const SOON_SAMPLES: u32 = 40;
/// But no more than these, which are 16 seconds.
const MOST_CALM_SAMPLES: u32 = 320;
/// What has passed without a look at all is calm enough: nobody has asked.
const IDLE: Duration = Duration::from_secs(2);

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Load {
    /// What can be done: bodies are encoded as the configuration says.
    #[default]
    Normal,
    /// Much: each body is encoded in the cheapest of the ways that its client likes best.
    High,
    /// More than can be done: nothing is encoded, but for a client that refuses bodies as they are, and what has begun.
    Overload,
}

/// A load that the application knows, in place of the measured one. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct LoadHandle(Arc<AtomicU8>);

/// What a worker measures of itself. Each thread has its own.
#[derive(Debug)]
pub struct LoadMeter {
    sampler: Sampler,
    hysteresis: Hysteresis,
    last: Option<Sample>,
}

#[derive(Debug)]
struct Hysteresis {
    load: Load,
    busy: u8,
    calm: u32,
    /// How many of them a step back takes.
    patience: u32,
    since_back: u32,
}

#[derive(Debug)]
struct Sampler {
    /// What the system tells of this thread, where it does.
    thread: Option<File>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    /// How long the thread has run or waited for a processor.
    wanted: Duration,
}

impl Load {
    /// All of them.
    pub const ALL: [Load; 3] = [Load::Normal, Load::High, Load::Overload];

    /// Its name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Load::Normal => "normal",
            Load::High => "high",
            Load::Overload => "overload",
        }
    }

    fn higher(self) -> Load {
        match self {
            Load::Normal => Load::High,
            Load::High | Load::Overload => Load::Overload,
        }
    }

    fn lower(self) -> Load {
        match self {
            Load::Overload => Load::High,
            Load::High | Load::Normal => Load::Normal,
        }
    }
}

impl LoadHandle {
    /// Sets it.
    pub fn set(&self, load: Load) {
        self.0.store(load as u8, Relaxed);
    }

    /// What was set last; at first [`Load::Normal`].
    pub fn get(&self) -> Load {
        let found = usize::from(self.0.load(Relaxed));
        Load::ALL.get(found).copied().unwrap_or_default()
    }
}

impl LoadMeter {
    /// That of the calling thread, which no other thread should ask.
    pub fn of_this_thread() -> LoadMeter {
        LoadMeter {
            sampler: Sampler::of_this_thread(),
            hysteresis: Hysteresis::default(),
            last: None,
        }
    }

    /// How much there is to do. Looks at the system where some time has passed since it did.
    pub fn load(&mut self) -> Load {
        let now = clock(ClockId::CLOCK_MONOTONIC);
        let Some(last) = self.last else {
            self.last = Some(self.sampler.sample(now));
            return self.hysteresis.load;
        };
        let passed = now.saturating_sub(last.at);
        if passed < SAMPLE {
            return self.hysteresis.load;
        }
        let sample = self.sampler.sample(now);
        self.last = Some(sample);
        let busy = busy(last, sample);
        match passed >= IDLE && busy < CALM {
            true => self.hysteresis = Hysteresis::default(),
            false => self.hysteresis.observe(busy),
        }
        self.hysteresis.load
    }
}

impl Default for Hysteresis {
    fn default() -> Hysteresis {
        Hysteresis {
            load: Load::Normal,
            busy: 0,
            calm: 0,
            patience: CALM_SAMPLES,
            since_back: SOON_SAMPLES,
        }
    }
}

impl Hysteresis {
    /// Takes what part of the time was wanted.
    fn observe(&mut self, busy: f64) {
        self.since_back = self.since_back.saturating_add(1);
        self.busy = if busy >= BUSY { self.busy + 1 } else { 0 };
        self.calm = if busy < CALM {
            self.calm.saturating_add(1)
        } else {
            0
        };
        if self.busy == BUSY_SAMPLES {
            self.busy = 0;
            self.load = self.load.higher();
            self.patience = match self.since_back {
                ..SOON_SAMPLES => (2 * self.patience).min(MOST_CALM_SAMPLES),
                _ => self.patience,
            };
        }
        if self.load == Load::Normal && self.since_back > MOST_CALM_SAMPLES {
            self.patience = CALM_SAMPLES;
        }
        if self.load > Load::Normal && self.calm >= self.patience {
            self.calm = 0;
            self.since_back = 0;
            self.load = self.load.lower();
        }
    }
}

impl Sampler {
    fn of_this_thread() -> Sampler {
        Sampler {
            thread: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    fn sample(&self, at: Duration) -> Sample {
        let told = self.thread.as_ref().and_then(wanted);
        Sample {
            at,
            wanted: told.unwrap_or_else(thread_cpu),
        }
    }
}

/// The part of the time between two samples.
fn busy(earlier: Sample, later: Sample) -> f64 {
    let wanted = later.wanted.saturating_sub(earlier.wanted);
    wanted.as_secs_f64() / later.at.saturating_sub(earlier.at).as_secs_f64()
}

/// How long a thread has run, and waited to run: the first two numbers of its `schedstat`, in nanoseconds.
fn wanted(thread: &File) -> Option<Duration> {
    let mut line = [0; 64];
    let length = thread.read_at(&mut line, 0).ok()?;
    let line = std::str::from_utf8(&line[..length]).ok()?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(ran.saturating_add(waited)))
}

/// How much CPU time the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// A clock that every system has.
fn clock(id: ClockId) -> Duration {
    id.now().map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it comes to after these parts of the time.
    fn after(parts: impl IntoIterator<Item = f64>) -> Load {
        let mut hysteresis = Hysteresis::default();
        for part in parts {
            hysteresis.observe(part);
        }
        hysteresis.load
    }

    fn times(n: usize, part: f64) -> impl Iterator<Item = f64> + Clone {
        std::iter::repeat_n(part, n)
    }

    #[test]
    fn it_rises_step_by_step_while_there_is_too_much_to_do() {
        assert_eq!(after([]), Load::Normal);
        assert_eq!(after(times(1, 1.0)), Load::Normal);
        assert_eq!(after(times(2, 0.9)), Load::High);
        assert_eq!(after(times(3, 1.0)), Load::High);
        assert_eq!(after(times(4, 1.0)), Load::Overload);
        assert_eq!(after(times(500, 1.0)), Load::Overload);
        // One that was not busy is not counted over.
        assert_eq!(after([1.0, 0.5, 1.0, 0.8, 1.0]), Load::Normal);
    }

    #[test]
    fn what_lies_between_changes_nothing_and_calm_leads_back() {
        let overload = || times(4, 1.0);
        assert_eq!(after(overload().chain(times(100, 0.89))), Load::Overload);
        assert_eq!(after(overload().chain(times(100, 0.6))), Load::Overload);
        assert_eq!(after(overload().chain(times(9, 0.5))), Load::Overload);
        assert_eq!(after(overload().chain(times(10, 0.5))), Load::High);
        assert_eq!(after(overload().chain(times(19, 0.5))), Load::High);
        assert_eq!(after(overload().chain(times(20, 0.0))), Load::Normal);
        let disturbed = times(9, 0.1).chain([0.7]);
        assert_eq!(
            after(overload().chain(disturbed).chain(times(9, 0.1))),
            Load::Overload
        );
    }

    #[test]
    fn what_a_step_has_freed_leads_back_less_and_less_often() {
        let mut hysteresis = Hysteresis::default();
        let (mut steps, mut late) = (0, 0);
        // Five minutes of a load that encoding makes too much, and without it is little.
        for sample in 0..6_000 {
            let before = hysteresis.load;
            hysteresis.observe(if before == Load::Normal { 0.95 } else { 0.45 });
            if hysteresis.load != before {
                steps += 1;
                late += u32::from(sample >= 3_000);
            }
        }
        assert!((4..100).contains(&steps), "{steps}");
        // Each 16 seconds one there and one back.
        assert!((2..45).contains(&late), "{late}");
        // When it is over, the patience is, too.
        for _ in 0..1_000 {
            hysteresis.observe(0.1);
        }
        assert_eq!(
            (hysteresis.load, hysteresis.patience),
            (Load::Normal, CALM_SAMPLES)
        );
    }

    #[test]
    fn a_thread_that_computes_wants_its_processor_and_one_that_waits_for_something_else_does_not() {
        let sampler = Sampler::of_this_thread();
        let sample = || sampler.sample(clock(ClockId::CLOCK_MONOTONIC));
        let earlier = sample();
        let until = thread_cpu() + Duration::from_millis(50);
        while thread_cpu() < until {}
        let computed = sample();
        let wanted = computed.wanted.saturating_sub(earlier.wanted);
        assert!(wanted >= Duration::from_millis(40), "{wanted:?}");

        // However long it waits for a processor afterwards, this is not wanted.
        let asleep = Duration::from_millis(100);
        std::thread::sleep(asleep);
        let slept = sample();
        let wanted = slept.wanted.saturating_sub(computed.wanted);
        let passed = slept.at.saturating_sub(computed.at);
        assert!(wanted + asleep / 2 <= passed, "{wanted:?} of {passed:?}");
    }

    #[test]
    fn what_is_wanted_is_a_part_of_the_time() {
        let sample = |at, wanted| Sample {
            at: Duration::from_millis(at),
            wanted: Duration::from_millis(wanted),
        };
        let part = busy(sample(1_000, 300), sample(1_100, 395));
        assert!((part - 0.95).abs() < 1e-9, "{part}");
        assert!(busy(sample(0, 5), sample(50, 5)).abs() < 1e-9);
    }

    #[test]
    fn a_handle_tells_its_clones() {
        let handle = LoadHandle::default();
        assert_eq!(handle.get(), Load::Normal);
        for load in Load::ALL {
            handle.clone().set(load);
            assert_eq!(handle.get(), load);
        }
    }
}
