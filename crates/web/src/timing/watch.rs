//! One request that is being measured.

use std::{thread, time::Duration};

use actix_web::{
    dev::ServiceRequest,
    http::{Method, StatusCode, Uri},
};
use ruleiq_metrics::{Operation, Outcome};
use tokio::time::Instant;

/// Records the request when it is finished, and as cancelled when it is dropped before that.
#[derive(Debug)]
pub(super) struct Watch {
    operation: Operation,
    method: Method,
    uri: Uri,
    started: Instant,
    slow_threshold: Duration,
    is_finished: bool,
}

impl Watch {
    pub(super) fn start(
        operation: Operation,
        request: &ServiceRequest,
        slow_threshold: Duration,
    ) -> Watch {
        Watch {
            operation,
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
            slow_threshold,
            is_finished: false,
        }
    }

    /// Answers how long it took.
    pub(super) fn finish(mut self, status: StatusCode) -> Duration {
        self.is_finished = true;
        let outcome = if status.is_server_error() {
            Outcome::Error
        } else {
            Outcome::Ok
        };
        let elapsed = self.record(outcome);
        if elapsed >= self.slow_threshold {
            tracing::warn!(
                method = self.method.as_str(),
                path = self.uri.path(),
                status = status.as_u16(),
                elapsed_ms = elapsed.as_secs_f64() * 1e3,
                "slow request"
            );
        }
        elapsed
    }

    fn record(&self, outcome: Outcome) -> Duration {
        let elapsed = self.started.elapsed();
        self.operation.record(elapsed, outcome);
        elapsed
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if thread::panicking() {
            self.record(Outcome::Error);
            return;
        }
        let elapsed = self.record(Outcome::Cancelled);
        if elapsed >= self.slow_threshold {
            tracing::warn!(
                method = self.method.as_str(),
                path = self.uri.path(),
                elapsed_ms = elapsed.as_secs_f64() * 1e3,
                "slow request was given up by its client"
            );
        }
    }
}
