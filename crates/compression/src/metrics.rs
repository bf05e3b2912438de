//! What compression does, counted.

use std::time::Duration;

use prometheus::{
    Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

use crate::{Coding, Load, Reason, Skip};

/// The counters of compression. Clones count together.
#[derive(Clone, Debug)]
pub struct CompressionMetrics {
    input_bytes: [IntCounter; Coding::ALL.len()],
    output_bytes: [IntCounter; Coding::ALL.len()],
    cpu_seconds: [Counter; Coding::ALL.len()],
    responses: [[IntCounter; Reason::ALL.len()]; Coding::ALL.len()],
    workers: [IntGauge; Load::ALL.len()],
    skips: [IntCounter; Skip::ALL.len()],
    memo_hits: IntCounter,
    memo_misses: IntCounter,
}

impl CompressionMetrics {
    /// Makes the counters and registers them.
    ///
    /// # Errors
    ///
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<CompressionMetrics, prometheus::Error> {
        let families = Families::new()?;
        for family in families.all() {
            registry.register(family)?;
        }
        Ok(families.metrics())
    }

    /// Counts a body that was sent encoded.
    pub fn record_encoded(
        &self,
        coding: Coding,
        reason: Reason,
        input_bytes: usize,
        output_bytes: usize,
    ) {
        self.record_stream(coding, reason);
        self.record_bytes(coding, input_bytes, output_bytes);
    }

    /// Counts a body that begins to be sent encoded.
    pub fn record_stream(&self, coding: Coding, reason: Reason) {
        self.responses[coding as usize][reason as usize].inc();
    }

    /// Counts the CPU time that bodies have taken.
    pub(crate) fn record_cpu(&self, coding: Coding, cpu: Duration) {
        self.cpu_seconds[coding as usize].inc_by(cpu.as_secs_f64());
    }

    /// Counts a worker that has so much to do now, in place of what it had before.
    pub fn record_load(&self, before: Option<Load>, now: Option<Load>) {
        if let Some(before) = before {
            self.workers[before as usize].dec();
        }
        if let Some(now) = now {
            self.workers[now as usize].inc();
        }
    }

    /// Counts a piece of one.
    pub fn record_bytes(&self, coding: Coding, input_bytes: usize, output_bytes: usize) {
        let at = coding as usize;
        self.input_bytes[at].inc_by(input_bytes as u64);
        self.output_bytes[at].inc_by(output_bytes as u64);
    }

    /// Counts a look at the memo.
    pub fn record_memo(&self, is_hit: bool) {
        match is_hit {
            true => self.memo_hits.inc(),
            false => self.memo_misses.inc(),
        }
    }

    /// Counts a response that was sent as it is.
    pub fn record_skip(&self, skip: Skip) {
        self.skips[skip as usize].inc();
    }
}

impl Default for CompressionMetrics {
    /// Counters that no registry knows.
    fn default() -> CompressionMetrics {
        let families = Families::new().expect("the names and labels are valid and fixed");
        families.metrics()
    }
}

struct Families {
    input_bytes: IntCounterVec,
    output_bytes: IntCounterVec,
    cpu_seconds: CounterVec,
    responses: IntCounterVec,
    workers: IntGaugeVec,
    skips: IntCounterVec,
    memo: IntCounterVec,
}

impl Families {
    fn new() -> Result<Families, prometheus::Error> {
        let family = |name, help, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        Ok(Families {
            input_bytes: family(
                "ruleiq_compression_input_bytes_total",
                "Bytes of the bodies that were sent encoded, before they were.",
                "coding",
            )?,
            output_bytes: family(
                "ruleiq_compression_output_bytes_total",
                "Bytes of the bodies that were sent encoded, as they were sent.",
                "coding",
            )?,
            cpu_seconds: CounterVec::new(
                Opts::new(
                    "ruleiq_compression_cpu_seconds_total",
                    "CPU time of encoding; of small bodies one in 16 is measured, and stands for them all.",
                ),
                &["coding"],
            )?,
            responses: IntCounterVec::new(
                Opts::new(
                    "ruleiq_compression_responses_total",
                    "Responses that were sent encoded, by why they were encoded so.",
                ),
                &["coding", "reason"],
            )?,
            workers: IntGaugeVec::new(
                Opts::new(
                    "ruleiq_compression_workers",
                    "Workers by how much they have to do, as far as it decides how bodies are encoded.",
                ),
                &["load"],
            )?,
            skips: family(
                "ruleiq_compression_skips_total",
                "Responses that were sent as they are, by the reason.",
                "reason",
            )?,
            memo: family(
                "ruleiq_compression_memo_total",
                "Looks for bodies that were encoded before.",
                "outcome",
            )?,
        })
    }

    fn all(&self) -> [Box<dyn Collector>; 7] {
        [
            Box::new(self.input_bytes.clone()),
            Box::new(self.output_bytes.clone()),
            Box::new(self.cpu_seconds.clone()),
            Box::new(self.responses.clone()),
            Box::new(self.workers.clone()),
            Box::new(self.skips.clone()),
            Box::new(self.memo.clone()),
        ]
    }

    fn metrics(&self) -> CompressionMetrics {
        let by_coding = |family: &IntCounterVec| {
            Coding::ALL.map(|coding| family.with_label_values(&[coding.as_str()]))
        };
        CompressionMetrics {
            input_bytes: by_coding(&self.input_bytes),
            output_bytes: by_coding(&self.output_bytes),
            cpu_seconds: Coding::ALL.map(|it| self.cpu_seconds.with_label_values(&[it.as_str()])),
            responses: Coding::ALL.map(|coding| {
                Reason::ALL.map(|reason| {
                    let labels = [coding.as_str(), reason.as_str()];
                    self.responses.with_label_values(&labels)
                })
            }),
            workers: Load::ALL.map(|load| self.workers.with_label_values(&[load.as_str()])),
            skips: Skip::ALL.map(|skip| self.skips.with_label_values(&[skip.as_str()])),
            memo_hits: self.memo.with_label_values(&["hit"]),
            memo_misses: self.memo.with_label_values(&["miss"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_its_own_place() {
        for (at, coding) in Coding::ALL.into_iter().enumerate() {
            assert_eq!(coding as usize, at);
        }
        for (at, skip) in Skip::ALL.into_iter().enumerate() {
            assert_eq!(skip as usize, at);
        }
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        for (at, load) in Load::ALL.into_iter().enumerate() {
            assert_eq!(load as usize, at);
        }
    }

    #[test]
    fn what_is_recorded_shows_in_the_registry() {
        let registry = Registry::new();
        let metrics = CompressionMetrics::register(&registry).unwrap();
        metrics.record_encoded(Coding::Zstd, Reason::First, 1000, 300);
        metrics.record_encoded(Coding::Zstd, Reason::Load, 500, 200);
        metrics.record_skip(Skip::Head);
        metrics.record_cpu(Coding::Gzip, Duration::from_millis(250));
        metrics.record_load(None, Some(Load::Normal));
        metrics.record_load(Some(Load::Normal), Some(Load::High));

        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"ruleiq_compression_input_bytes_total{coding="zstd"} 1500"#,
            r#"ruleiq_compression_output_bytes_total{coding="zstd"} 500"#,
            r#"ruleiq_compression_responses_total{coding="zstd",reason="first"} 1"#,
            r#"ruleiq_compression_responses_total{coding="zstd",reason="load"} 1"#,
            r#"ruleiq_compression_responses_total{coding="br",reason="first"} 0"#,
            r#"ruleiq_compression_cpu_seconds_total{coding="gzip"} 0.25"#,
            r#"ruleiq_compression_workers{load="normal"} 0"#,
            r#"ruleiq_compression_workers{load="high"} 1"#,
            r#"ruleiq_compression_skips_total{reason="head"} 1"#,
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
        }
        assert!(CompressionMetrics::register(&registry).is_err());
    }
}
