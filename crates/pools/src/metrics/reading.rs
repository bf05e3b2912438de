//! What becomes of reads: on shared connections, and on standbys.

use prometheus::{
    Counter, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, core::Collector,
};

use super::gauges;
use crate::{PoolStats, ReplicaRole};

/// Counters, too, are read from the pools at each scrape: whoever reads counts on a thread of its own.
#[derive(Clone)]
pub(super) struct Reading {
    reads: IntCounterVec,
    connections: IntGauge,
    in_flight: IntGauge,
    slow_statements: IntGauge,
    served: IntCounter,
    blocked: Counter,
    stalled: IntCounter,
    replica_up: IntGaugeVec,
    replica_lag_bytes: IntGaugeVec,
    replica_lag: GaugeVec,
    replica_reads: IntCounterVec,
    on_primary: IntCounterVec,
    tokens: IntCounterVec,
}

impl Reading {
    pub(super) fn new() -> Result<Reading, prometheus::Error> {
        Ok(Reading {
            reads: counters(
                "ruleiq_pools_reads_total",
                "Reads of readers, by the way that they took.",
                "way",
            )?,
            connections: IntGauge::new(
                "ruleiq_pools_reader_connections",
                "Open connections that reads share.",
            )?,
            in_flight: IntGauge::new(
                "ruleiq_pools_reader_in_flight",
                "Reads under way on connections that are shared.",
            )?,
            slow_statements: IntGauge::new(
                "ruleiq_pools_reader_slow_statements",
                "Statements that take too long to be waited behind.",
            )?,
            served: IntCounter::new(
                "ruleiq_pools_reader_served_total",
                "Reads on shared connections whose time on the server is known.",
            )?,
            blocked: Counter::new(
                "ruleiq_pools_reader_blocked_seconds_total",
                "How long those have waited for the answers to others.",
            )?,
            stalled: IntCounter::new(
                "ruleiq_pools_reader_stalled_total",
                "Shared connections on which the server had stopped to answer.",
            )?,
            replica_up: gauges(
                "ruleiq_pools_replica_up",
                "Whether a server may be read: as a standby, or as the primary.",
                &["server"],
            )?,
            replica_lag_bytes: gauges(
                "ruleiq_pools_replica_lag_bytes",
                "Bytes of the log that a standby has not replayed.",
                &["server"],
            )?,
            replica_lag: GaugeVec::new(
                Opts::new(
                    "ruleiq_pools_replica_lag_seconds",
                    "How long ago the primary had written no more than a standby has replayed.",
                ),
                &["server"],
            )?,
            replica_reads: counters(
                "ruleiq_pools_replica_reads_total",
                "Sessions for reading that were led to a standby.",
                "server",
            )?,
            on_primary: counters(
                "ruleiq_pools_reads_on_primary_total",
                "Sessions for reading that the primary had to serve, where there are standbys.",
                "reason",
            )?,
            tokens: counters(
                "ruleiq_pools_causal_tokens_refused_total",
                "Causal tokens of what is lost, and of other database clusters.",
                "reason",
            )?,
        })
    }

    pub(super) fn families(&self) -> [&dyn Collector; 13] {
        [
            &self.reads,
            &self.connections,
            &self.in_flight,
            &self.slow_statements,
            &self.served,
            &self.blocked,
            &self.stalled,
            &self.replica_up,
            &self.replica_lag_bytes,
            &self.replica_lag,
            &self.replica_reads,
            &self.on_primary,
            &self.tokens,
        ]
    }

    pub(super) fn reset(&self) {
        for family in [
            &self.reads,
            &self.replica_reads,
            &self.on_primary,
            &self.tokens,
        ] {
            family.reset();
        }
        for gauge in [&self.connections, &self.in_flight, &self.slow_statements] {
            gauge.set(0);
        }
        self.served.reset();
        self.blocked.reset();
        self.stalled.reset();
        self.replica_up.reset();
        self.replica_lag_bytes.reset();
        self.replica_lag.reset();
    }

    pub(super) fn add(&self, stats: &PoolStats) {
        if let Some(reader) = &stats.reader {
            for (way, count) in [
                ("again", reader.again),
                ("failed", reader.failed),
                ("full", reader.full),
                ("shared", reader.shared),
                ("slow", reader.slow),
                ("unconnected", reader.unconnected),
                ("unproven", reader.unproven),
            ] {
                self.reads.with_label_values(&[way]).inc_by(count);
            }
            self.connections.add(count(reader.connections));
            self.in_flight.add(count(reader.in_flight));
            self.slow_statements.add(count(reader.slow_statements));
            self.served.inc_by(reader.served);
            self.blocked.inc_by(reader.blocked.as_secs_f64());
            self.stalled.inc_by(reader.stalled);
        }
        for replica in &stats.replicas {
            let server = &[replica.server.as_str()];
            let is_up = matches!(replica.role, ReplicaRole::Primary | ReplicaRole::Standby);
            self.replica_up.with_label_values(server).set(is_up.into());
            if let Some(bytes) = replica.lag_bytes {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.replica_lag_bytes.with_label_values(server).set(bytes);
            }
            if let Some(time) = replica.lag {
                let lag = self.replica_lag.with_label_values(server);
                lag.set(time.as_secs_f64());
            }
            self.replica_reads
                .with_label_values(server)
                .inc_by(replica.reads);
        }
        if let Some(routing) = &stats.routing {
            for (reason, count) in [
                ("behind", routing.behind),
                ("no_standby", routing.no_standby),
                ("wanted", routing.wanted),
            ] {
                self.on_primary.with_label_values(&[reason]).inc_by(count);
            }
            for (reason, count) in [
                ("foreign", routing.foreign_tokens),
                ("lost", routing.lost_tokens),
            ] {
                self.tokens.with_label_values(&[reason]).inc_by(count);
            }
        }
    }
}

fn counters(name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
