//! What compression does, counted.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::{Coding, Skip};

/// The counters of compression. Clones count together.
#[derive(Clone, Debug)]
pub struct CompressionMetrics {
    input_bytes: [IntCounter; Coding::ALL.len()],
    output_bytes: [IntCounter; Coding::ALL.len()],
    responses: [IntCounter; Coding::ALL.len()],
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
            registry.register(Box::new(family.clone()))?;
        }
        Ok(families.metrics())
    }

    /// Counts a body that was sent encoded.
    pub fn record_encoded(&self, coding: Coding, input_bytes: usize, output_bytes: usize) {
        self.record_stream(coding);
        self.record_bytes(coding, input_bytes, output_bytes);
    }

    /// Counts a body that begins to be sent encoded.
    pub fn record_stream(&self, coding: Coding) {
        self.responses[coding as usize].inc();
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
    responses: IntCounterVec,
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
            responses: family(
                "ruleiq_compression_responses_total",
                "Responses that were sent encoded.",
                "coding",
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

    fn all(&self) -> [&IntCounterVec; 5] {
        [
            &self.input_bytes,
            &self.output_bytes,
            &self.responses,
            &self.skips,
            &self.memo,
        ]
    }

    fn metrics(&self) -> CompressionMetrics {
        let by_coding = |family: &IntCounterVec| {
            Coding::ALL.map(|coding| family.with_label_values(&[coding.as_str()]))
        };
        CompressionMetrics {
            input_bytes: by_coding(&self.input_bytes),
            output_bytes: by_coding(&self.output_bytes),
            responses: by_coding(&self.responses),
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
    }

    #[test]
    fn what_is_recorded_shows_in_the_registry() {
        let registry = Registry::new();
        let metrics = CompressionMetrics::register(&registry).unwrap();
        metrics.record_encoded(Coding::Zstd, 1000, 300);
        metrics.record_encoded(Coding::Zstd, 500, 200);
        metrics.record_skip(Skip::Head);

        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"ruleiq_compression_input_bytes_total{coding="zstd"} 1500"#,
            r#"ruleiq_compression_output_bytes_total{coding="zstd"} 500"#,
            r#"ruleiq_compression_responses_total{coding="zstd"} 2"#,
            r#"ruleiq_compression_responses_total{coding="br"} 0"#,
            r#"ruleiq_compression_skips_total{reason="head"} 1"#,
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
        }
        assert!(CompressionMetrics::register(&registry).is_err());
    }
}
