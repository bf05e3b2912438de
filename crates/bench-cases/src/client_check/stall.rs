//! A server that stands still for a second, seen by a closed and by an open loop.

use std::{fmt, path::Path, time::Duration};

use ruleiq_bench::{
    Budget, Fault, Histogram,
    load::{Arrivals, Client, Expectation, Limits, PreparedRequest, Target},
};
use serde::Serialize;

use crate::plain_server::{PlainRoute, PlainServer, Stall};

const PATH: &str = "/stalls";
const BODY: &[u8] = b"still here";
const CONNECTIONS: usize = 16;
/// In the fifth part of the open loop's time; the closed loop gets there at once.
const STALL: Stall = Stall {
    at_request: 1_000,
    for_ms: 1_000,
};
const RATE: f64 = 1_000.0;
const TIME: Duration = Duration::from_secs(5);

/// P99 in milliseconds of two loops on a server that stood still for a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StallSeen {
    /// From sending, in a closed loop.
    pub closed_p99_ms: f64,
    /// The closed loop's slowest request.
    pub closed_max_ms: f64,
    /// From the scheduled moment, in an open loop.
    pub open_p99_ms: f64,
    /// From sending, in the open loop.
    pub open_service_p99_ms: f64,
}

pub(super) async fn show(program: &Path) -> Result<StallSeen, Fault> {
    let route = PlainRoute::new(PATH, "text/plain", BODY).stalling(STALL);
    let p99 = |it: &Histogram| it.quantile(0.99).map_or(f64::NAN, ms);

    let server = PlainServer::start(program, std::slice::from_ref(&route))?;
    let mut client = connect(&server).await?;
    let tally = client.closed_loop(Budget::For(TIME)).await?;
    let closed = tally.latency.unwrap_or_default();
    drop((client, server));

    let server = PlainServer::start(program, std::slice::from_ref(&route))?;
    let mut client = connect(&server).await?;
    let arrivals = Arrivals {
        rate: RATE,
        duration: TIME,
        seed: 42,
    };
    let open = client.open_loop(&arrivals).await?;
    Ok(StallSeen {
        closed_p99_ms: p99(&closed),
        closed_max_ms: closed.max().map_or(f64::NAN, ms),
        open_p99_ms: p99(&open.latency),
        open_service_p99_ms: p99(&open.service),
    })
}

async fn connect(server: &PlainServer) -> Result<Client, Fault> {
    let target = Target {
        address: server.address(),
        requests: vec![PreparedRequest::get(PATH)?],
        expect: Expectation::body(200, BODY),
    };
    Client::connect(target, CONNECTIONS, Limits::default()).await
}

fn ms(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e3
}

impl fmt::Display for StallSeen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "P99 on a server that stands still for a second, once in five:"
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
        )
    }
}
