//! What the database's pool does, counted.

use super::StepOutcome;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, core::Collector,
};

/// From a checkout that finds a connection to one that waits for the default time-out.
const WAIT_BUCKETS: [f64; 14] = [
    0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The counters of a pool. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub(crate) checkout_wait: Histogram,
    checkouts_failed: ByReason<{ CheckoutFailure::ALL.len() }>,
    connections_discarded: ByReason<{ Discard::ALL.len() }>,
    pub(crate) connects: IntCounter,
    pub(crate) connects_failed: IntCounter,
    pub(crate) statements_timed_out: IntCounter,
    pub(crate) statements_healed: IntCounter,
    pub(crate) driver_uses: IntCounter,
    tuning_steps: ByReason<{ TUNED.len() }>,
    statement_lookups: IntCounterVec,
    statement_hits: IntCounter,
    statement_misses: IntCounter,
}

/// A family whose labels are resolved, so that each series is there before its first event.
#[derive(Clone, Debug)]
struct ByReason<const N: usize> {
    family: IntCounterVec,
    series: [IntCounter; N],
}

/// What becomes of the steps that are applied.
const TUNED: [&str; 3] = ["kept", "undone", "overruled"];

/// Why a checkout gave no session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckoutFailure {
    Closed,
    Connect,
    Deadline,
    Shed,
    TimedOut,
    TooManyWaiting,
}

/// Why a connection was not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Discard {
    /// A statement was given up while the server ran it.
    Busy,
    /// The pool was closed.
    Closed,
    /// It was older than the limit.
    Expired,
    /// It was found dead.
    Lost,
    /// It was not needed any more.
    Overflow,
    /// It came back inside a transaction.
    Transaction,
}

impl Counters {
    pub(crate) fn new() -> Result<Counters, prometheus::Error> {
        let wait = HistogramOpts::new(
            "ruleiq_pools_checkout_wait_seconds",
            "Time until a checkout had its connection or failed.",
        );
        let statement_lookups = IntCounterVec::new(
            Opts::new(
                "ruleiq_pools_statement_lookups_total",
                "Statements that were found prepared (hit) or had to be prepared (miss).",
            ),
            &["result"],
        )?;
        Ok(Counters {
            tuning_steps: ByReason::labelled(
                "outcome",
                "ruleiq_pools_tuning_steps_total",
                "Steps of tuning that were applied, by what became of them.",
                TUNED,
            )?,
            statement_hits: statement_lookups.with_label_values(&["hit"]),
            statement_misses: statement_lookups.with_label_values(&["miss"]),
            statement_lookups,
            checkout_wait: Histogram::with_opts(wait.buckets(WAIT_BUCKETS.to_vec()))?,
            checkouts_failed: ByReason::new(
                "ruleiq_pools_checkouts_failed_total",
                "Checkouts that gave no session, by the reason.",
                CheckoutFailure::ALL.map(CheckoutFailure::as_str),
            )?,
            connections_discarded: ByReason::new(
                "ruleiq_pools_connections_discarded_total",
                "Connections that were closed, by the reason.",
                Discard::ALL.map(Discard::as_str),
            )?,
            connects: IntCounter::new(
                "ruleiq_pools_connects_total",
                "Connections to the database that were opened.",
            )?,
            connects_failed: IntCounter::new(
                "ruleiq_pools_connects_failed_total",
                "Connections to the database that could not be opened.",
            )?,
            statements_timed_out: IntCounter::new(
                "ruleiq_pools_statements_timed_out_total",
                "Statements that were cancelled when their time ran out.",
            )?,
            statements_healed: IntCounter::new(
                "ruleiq_pools_statements_healed_total",
                "Statements that were prepared again because the schema had changed.",
            )?,
            driver_uses: IntCounter::new(
                "ruleiq_pools_driver_uses_total",
                "Times that somebody went around log and deadline by `driver()`.",
            )?,
        })
    }

    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let families: [Box<dyn Collector>; 10] = [
            Box::new(self.checkout_wait.clone()),
            Box::new(self.checkouts_failed.family.clone()),
            Box::new(self.connections_discarded.family.clone()),
            Box::new(self.connects.clone()),
            Box::new(self.connects_failed.clone()),
            Box::new(self.statements_timed_out.clone()),
            Box::new(self.statements_healed.clone()),
            Box::new(self.driver_uses.clone()),
            Box::new(self.tuning_steps.family.clone()),
            Box::new(self.statement_lookups.clone()),
        ];
        families
            .into_iter()
            .try_for_each(|family| registry.register(family))
    }

    pub(crate) fn checkout_failed(&self, why: CheckoutFailure) {
        self.checkouts_failed.series[why as usize].inc();
    }

    pub(crate) fn statement_looked_up(&self, is_hit: bool) {
        match is_hit {
            true => self.statement_hits.inc(),
            false => self.statement_misses.inc(),
        }
    }

    pub(crate) fn tuned(&self, outcome: StepOutcome) {
        let at = match outcome {
            StepOutcome::OnTrial => return,
            StepOutcome::Kept => 0,
            StepOutcome::Undone => 1,
            StepOutcome::Overruled => 2,
        };
        self.tuning_steps.series[at].inc();
    }

    pub(crate) fn discarded(&self, why: Discard) {
        self.connections_discarded.series[why as usize].inc();
    }
}

impl<const N: usize> ByReason<N> {
    fn new(name: &str, help: &str, reasons: [&str; N]) -> Result<ByReason<N>, prometheus::Error> {
        ByReason::labelled("reason", name, help, reasons)
    }

    fn labelled(
        label: &str,
        name: &str,
        help: &str,
        reasons: [&str; N],
    ) -> Result<ByReason<N>, prometheus::Error> {
        let family = IntCounterVec::new(Opts::new(name, help), &[label])?;
        Ok(ByReason {
            series: reasons.map(|reason| family.with_label_values(&[reason])),
            family,
        })
    }
}

impl CheckoutFailure {
    /// In the order in which they are declared.
    const ALL: [CheckoutFailure; 6] = [
        CheckoutFailure::Closed,
        CheckoutFailure::Connect,
        CheckoutFailure::Deadline,
        CheckoutFailure::Shed,
        CheckoutFailure::TimedOut,
        CheckoutFailure::TooManyWaiting,
    ];

    fn as_str(self) -> &'static str {
        match self {
            CheckoutFailure::Closed => "closed",
            CheckoutFailure::Connect => "connect",
            CheckoutFailure::Deadline => "deadline",
            CheckoutFailure::Shed => "shed",
            CheckoutFailure::TimedOut => "timed_out",
            CheckoutFailure::TooManyWaiting => "too_many_waiting",
        }
    }
}

impl Discard {
    /// In the order in which they are declared.
    const ALL: [Discard; 6] = [
        Discard::Busy,
        Discard::Closed,
        Discard::Expired,
        Discard::Lost,
        Discard::Overflow,
        Discard::Transaction,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Discard::Busy => "busy",
            Discard::Closed => "closed",
            Discard::Expired => "expired",
            Discard::Lost => "lost",
            Discard::Overflow => "overflow",
            Discard::Transaction => "transaction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_its_own_place() {
        for (at, why) in CheckoutFailure::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
        for (at, why) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }

    #[test]
    fn what_is_recorded_shows_in_the_registry() {
        let registry = Registry::new();
        let metrics = Counters::new().unwrap();
        metrics.register(&registry).unwrap();
        metrics.checkout_failed(CheckoutFailure::TimedOut);
        metrics.discarded(Discard::Busy);
        metrics.discarded(Discard::Busy);

        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"ruleiq_pools_checkouts_failed_total{reason="timed_out"} 1"#,
            r#"ruleiq_pools_connections_discarded_total{reason="busy"} 2"#,
            r#"ruleiq_pools_connections_discarded_total{reason="expired"} 0"#,
            "ruleiq_pools_connects_total 0",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
        }
        assert!(metrics.register(&registry).is_err());
    }
}
