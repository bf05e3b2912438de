//! A server that stands still for a second, seen by a closed and by an open loop.

use std::{fmt, path::Path, time::Duration};

use ruleiq_bench::{
    Budget, Fault, Histogram,
    load::{Arrivals, Client, Expectation, Limits, PreparedRequest, Target},
};
use serde::{Deserialize, Serialize};

use crate::plain_server::{PlainRoute, PlainServer, Stall};

const PATH: &str = "/stalls";
const BODY: &[u8] = b"still here";

/// How it is shown.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StallPlan {
    /// Connections of either loop.
    pub connections: usize,
    /// When the server stands still, and for how long.
    pub stall: Stall,
    /// Requests per second of the open loop.
    pub rate: f64,
    /// How long each loop runs, in milliseconds.
    pub time_ms: u64,
}

impl Default for StallPlan {
    /// A second, in the fifth part of the open loop's time; the closed loop gets there at once.
    fn default() -> StallPlan {
        StallPlan {
            connections: 16,
            stall: Stall {
                at_request: 1_000,
                for_ms: 1_000,
            },
            rate: 1_000.0,
            time_ms: 5_000,
        }
    }
}

/// P99 in milliseconds of two loops on a server that stood still.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StallSeen {
    /// For so long.
    pub stall_ms: u64,
    /// From sending, in a closed loop.
    pub closed_p99_ms: f64,
    /// The closed loop's slowest request.
    pub closed_max_ms: f64,
    /// From the scheduled moment, in an open loop.
    pub open_p99_ms: f64,
    /// From sending, in the open loop.
    pub open_service_p99_ms: f64,
}

impl StallSeen {
    /// Whether the open loop shows the stall, at half its length at least, and the closed one hides
    /// it.
    pub fn is_shown(&self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
        let stall_ms = self.stall_ms as f64;
        self.open_p99_ms >= stall_ms / 2.0 && self.closed_p99_ms < self.open_p99_ms / 2.0
    }
}

/// Loads a server that stands still with both loops. `program` is `bench-cases`.
///
/// # Errors
///
/// When the server does not start, or an answer is not the expected one.
pub async fn stall(program: &Path, plan: &StallPlan) -> Result<StallSeen, Fault> {
    let route = PlainRoute::new(PATH, "text/plain", BODY).stalling(plan.stall);
    let time = Duration::from_millis(plan.time_ms);
    let p99 = |it: &Histogram| it.quantile(0.99).map_or(f64::NAN, ms);

    let server = PlainServer::start(program, std::slice::from_ref(&route))?;
    let mut client = connect(&server, plan).await?;
    let tally = client.closed_loop(Budget::For(time)).await?;
    let closed = tally.latency.unwrap_or_default();
    drop((client, server));

    let server = PlainServer::start(program, std::slice::from_ref(&route))?;
    let mut client = connect(&server, plan).await?;
    let arrivals = Arrivals {
        rate: plan.rate,
        duration: time,
        seed: 42,
    };
    let open = client.open_loop(&arrivals).await?;
    Ok(StallSeen {
        stall_ms: plan.stall.for_ms,
        closed_p99_ms: p99(&closed),
        closed_max_ms: closed.max().map_or(f64::NAN, ms),
        open_p99_ms: p99(&open.latency),
        open_service_p99_ms: p99(&open.service),
    })
}

async fn connect(server: &PlainServer, plan: &StallPlan) -> Result<Client, Fault> {
    let target = Target {
        address: server.address(),
        requests: vec![PreparedRequest::get(PATH)?],
        expect: Expectation::body(200, BODY),
    };
    Client::connect(target, plan.connections, Limits::default()).await
}

fn ms(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e3
}

impl fmt::Display for StallSeen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "P99 on a server that stands still for {} ms, once:",
            self.stall_ms
        )?;
        writeln!(
            out,
            "  closed loop {:8.2} ms (its slowest request: {:.0} ms)",
            self.closed_p99_ms, self.closed_max_ms
        )?;
        writeln!(
            out,
            "  open loop   {:8.2} ms from the schedule, {:.2} ms from sending",
            self.open_p99_ms, self.open_service_p99_ms
        )?;
        if !self.is_shown() {
            writeln!(
                out,
                "  NOT shown by the open loop, or not hidden by the closed one"
            )?;
        }
        Ok(())
    }
}
