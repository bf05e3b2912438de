//! Latencies, at three digits of precision. Histograms merge; percentiles never do.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

/// The longest latency that is told apart: 60 s, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
/// How many values have to lie beyond a quantile for it to be worth printing.
const BEYOND: f64 = 100.0;

/// A histogram of latencies from 1 ns to 60 s.
///
/// There is no way to average two quantiles: merge the histograms.
#[derive(Clone, Debug)]
pub struct Histogram {
    inner: hdrhistogram::Histogram<u64>,
    out_of_range: u64,
}

/// Why text is no histogram.
#[derive(Debug, thiserror::Error)]
#[error("a stored histogram cannot be read: {0}")]
pub struct HistogramError(String);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// An empty one. Takes 216 KB.
    #[expect(clippy::missing_panics_doc, reason = "the bounds are constants")]
    pub fn new() -> Histogram {
        Histogram {
            inner: hdrhistogram::Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .expect("the bounds are sound"),
            out_of_range: 0,
        }
    }

    /// Counts one latency. One of more than 60 s counts as 60 s, and as out of range.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if ns > LONGEST_NS {
            self.out_of_range += 1;
        }
        self.inner.saturating_record(ns.max(1));
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.inner.reset();
        self.out_of_range = 0;
    }

    /// Counts what `other` counted.
    #[expect(clippy::missing_panics_doc, reason = "all have the same bounds")]
    pub fn merge(&mut self, other: &Histogram) {
        self.inner
            .add(&other.inner)
            .expect("both have the same bounds");
        self.out_of_range += other.out_of_range;
    }

    /// How many were counted.
    pub fn len(&self) -> u64 {
        self.inner.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// How many were longer than 60 s.
    pub fn out_of_range(&self) -> u64 {
        self.out_of_range
    }

    /// The latency that a share of `q` (0 to 1) does not exceed; none of an empty histogram.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_nanos(self.inner.value_at_quantile(q)))
    }

    /// Whether enough values lie beyond the quantile for it to mean something: n (1 − q) ≥ 100.
    pub fn supports(&self, q: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
        let beyond = self.len() as f64 * (1.0 - q);
        beyond >= BEYOND - 1e-6
    }

    /// What was recorded: a latency in nanoseconds, to the histogram's precision, and how often, in
    /// ascending order.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.inner
            .iter_recorded()
            .map(|it| (it.value_iterated_to(), it.count_at_value()))
    }

    /// The mean; none of an empty histogram.
    pub fn mean(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_secs_f64(self.inner.mean() / 1e9))
    }

    /// The longest; none of an empty histogram.
    pub fn max(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_nanos(self.inner.max()))
    }

    /// The share of latencies (0 to 1) between two, both included; 0 of an empty histogram.
    pub fn share_between(&self, low: Duration, high: Duration) -> f64 {
        let ns = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX);
        if self.is_empty() {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of operations")]
        let (between, all) = (
            self.inner.count_between(ns(low), ns(high)) as f64,
            self.len() as f64,
        );
        between / all
    }

    /// `HISTF…`: `HdrHistogram`'s V2 encoding, deflated, in base64, as other tools read it.
    #[expect(clippy::missing_panics_doc, reason = "a vector takes all")]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.inner, &mut bytes)
            .expect("a vector takes what is written to it");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Histogram::encode`] wrote. What was out of range then is at the upper bound.
    ///
    /// # Errors
    ///
    /// When it is no such text, or its bounds differ from ours.
    pub fn decode(text: &str) -> Result<Histogram, HistogramError> {
        let fault = |error: &dyn std::fmt::Display| HistogramError(error.to_string());
        let bytes = STANDARD.decode(text).map_err(|it| fault(&it))?;
        let read: hdrhistogram::Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|it| fault(&it))?;
        let mut histogram = Histogram::new();
        histogram.inner.add(read).map_err(|it| fault(&it))?;
        Ok(histogram)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut written = Histogram::new();
        for ms in 1..=1_000 {
            written.record(Duration::from_millis(ms));
        }
        let read = Histogram::decode(&written.encode()).unwrap();
        assert_eq!(read.len(), 1_000);
        assert_eq!(read.quantile(0.99), written.quantile(0.99));
        assert!(Histogram::decode("HISTF").is_err());
    }

    #[test]
    fn beyond_a_minute_is_counted_and_told() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_secs(61));
        assert_eq!(histogram.out_of_range(), 1);
        assert!(histogram.max().unwrap() >= Duration::from_secs(60));
    }

    #[test]
    fn a_quantile_needs_a_hundred_values_beyond_it() {
        let mut histogram = Histogram::new();
        for _ in 0..1_000 {
            histogram.record(Duration::from_millis(1));
        }
        assert!(histogram.supports(0.90));
        assert!(!histogram.supports(0.95));
    }
}
