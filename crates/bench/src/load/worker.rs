//! What a connection does with one request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::header::HeaderValue;
use tokio::task::JoinSet;

use super::{Expectation, Limits, PreparedRequest, Target, connection::Connection};
use crate::Fault;

/// One answer in so many is compared in full.
const IN_FULL: u64 = 64;

/// What is sent, and to where.
#[derive(Debug)]
pub(super) struct Orders {
    address: SocketAddr,
    requests: Vec<(PreparedRequest, Expectation)>,
    /// Requests sent so far. They go on from one run to the next, so that short runs do not ask
    /// for the first few over and over.
    turns: AtomicU64,
    pub(super) limits: Limits,
}

impl Orders {
    pub(super) fn new(target: Target, limits: Limits) -> Result<Orders, Fault> {
        let Target {
            address,
            requests,
            expect,
        } = target;
        if requests.is_empty() {
            return Err(Fault::Failed(format!("`{address}`: no request to send")));
        }
        let host = HeaderValue::from_str(&address.to_string()).map_err(Fault::failed)?;
        let requests = requests.into_iter().map(|it| {
            let expect = *it.expect().unwrap_or(&expect);
            (it.with_host(&host), expect)
        });
        Ok(Orders {
            address,
            requests: requests.collect(),
            turns: AtomicU64::new(0),
            limits,
        })
    }

    /// Sends the request whose turn it is.
    pub(super) async fn send(&self, connection: &mut Connection) -> Result<(), Fault> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let in_full = is_in_full(turn, self.requests.len() as u64);
        self.exchange(connection, turn, in_full).await
    }

    /// The same; the answer is compared in full.
    pub(super) async fn try_out(
        &self,
        connection: &mut Connection,
        turn: u64,
    ) -> Result<(), Fault> {
        self.exchange(connection, turn, true).await
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        turn: u64,
        in_full: bool,
    ) -> Result<(), Fault> {
        let n = self.requests.len() as u64;
        let place = usize::try_from(turn % n).expect("less than a length");
        let (request, expect) = &self.requests[place];
        connection
            .exchange(request, expect, in_full, self.limits.request)
            .await
    }

    /// Opens a connection in place of one that broke.
    pub(super) async fn reconnect(&self) -> Result<Connection, Fault> {
        Connection::open(self.address).await
    }
}

/// Whether the answer of this turn is compared in full, where `n` requests are sent in turn. Each
/// time around it is the turn of others, whatever divides what: after 64 times, of every one.
fn is_in_full(turn: u64, n: u64) -> bool {
    (turn % n + turn / n).is_multiple_of(IN_FULL)
}

/// Opens `n` connections and tries each out with a request.
pub(super) async fn open(orders: Arc<Orders>, n: usize) -> Result<Vec<Connection>, Fault> {
    let mut trying = JoinSet::new();
    for turn in 0..n {
        let mut connection = Connection::open(orders.address).await?;
        let orders = Arc::clone(&orders);
        trying.spawn(async move {
            orders.try_out(&mut connection, turn as u64).await?;
            Ok(connection)
        });
    }
    let tried = trying.join_all().await;
    tried.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_its_answer_compared_in_full() {
        for n in [1, 3, 63, 64, 65, 100, 256] {
            let turns = (0..n * IN_FULL).filter(|it| is_in_full(*it, n));
            let mut places: Vec<u64> = turns.map(|it| it % n).collect();
            places.sort_unstable();
            let all: Vec<u64> = (0..n).collect();
            assert_eq!(places, all, "of {n}");
        }
    }
}
