//! An HTTP/1.1 load client.
//!
//! One thread with an event loop of its own drives all connections, so that the client's budget is
//! one core, whose use is told with each run, and whoever starts it may have any runtime.
//! Connections are kept alive, opened and tried before the first request that counts, and none may
//! have been replaced at the end.
//!
//! Two ways to load a server:
//!
//! - a *closed loop* sends the next request of a connection when the last one is answered. It finds
//!   the ceiling. It must not be asked for latency under load: while the server stands still, it
//!   sends nothing, and so sees one slow request per connection (coordinated omission).
//! - an *open loop* has a schedule that does not ask how the server is doing. Latency counts from
//!   the scheduled moment, and what was not answered at the end counts with the time it waited.

mod alarm;
mod client;
mod closed_loop;
mod connection;
mod expectation;
mod open_loop;
mod pacer;
mod recorder;
mod request;
mod thread;
mod worker;

use std::{net::SocketAddr, time::Duration};

pub use self::{
    client::Client,
    closed_loop::ClosedLoop,
    expectation::Expectation,
    open_loop::OpenLoop,
    pacer::{Arrivals, Pacer},
    request::PreparedRequest,
};

/// Where requests go, which, and what the answers have to be.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// Sent in turn, over all connections together.
    pub requests: Vec<PreparedRequest>,
    /// What each answer has to be, unless its request expects something of its own.
    pub expect: Expectation,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From sending to the whole answer. Default: 10 s. A request that takes longer is an error,
    /// and its connection is replaced.
    pub request: Duration,
    /// From the scheduled moment to the answer, before an answer counts as late. Default: 1 s.
    pub late: Duration,
    /// What an open loop waits for answers after its last scheduled moment. Default: 1 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request: Duration::from_secs(10),
            late: Duration::from_secs(1),
            drain: Duration::from_secs(1),
        }
    }
}
