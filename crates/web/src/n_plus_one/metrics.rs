//! How many findings there were.

use prometheus::{IntCounterVec, Opts, Registry};
use ruleiq_db_optimizer::n_plus_one::Kind;

/// Requests that match no route have no other name.
const UNMATCHED: &str = "unmatched";

/// Counts findings by route and kind.
///
/// There are no more series than routes times three: a route is its template, and those that match none
/// share one.
#[derive(Clone, Debug)]
pub struct NPlusOneMetrics {
    found: IntCounterVec,
}

impl Default for NPlusOneMetrics {
    /// Counts for nobody.
    fn default() -> NPlusOneMetrics {
        let opts = Opts::new(
            "ruleiq_web_n_plus_one_total",
            "Statements that one request ran again and again from one line, by route and kind.",
        );
        NPlusOneMetrics {
            found: IntCounterVec::new(opts, &["route", "kind"])
                .expect("the name and the labels are valid"),
        }
    }
}

impl NPlusOneMetrics {
    /// Counts in this registry.
    ///
    /// # Errors
    ///
    /// When they are registered there already.
    pub fn register(registry: &Registry) -> Result<NPlusOneMetrics, prometheus::Error> {
        let metrics = NPlusOneMetrics::default();
        registry.register(Box::new(metrics.found.clone()))?;
        Ok(metrics)
    }

    pub(super) fn count(&self, route: Option<&str>, kind: Kind) {
        let route = route.unwrap_or(UNMATCHED);
        self.found.with_label_values(&[route, kind.as_str()]).inc();
    }
}
