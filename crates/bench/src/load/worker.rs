//! What a connection does with one request.

use std::{net::SocketAddr, sync::Arc};

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
            limits,
        })
    }

    /// Sends the request whose turn it is.
    pub(super) async fn send(&self, connection: &mut Connection, turn: u64) -> Result<(), Fault> {
        self.exchange(connection, turn, turn.is_multiple_of(IN_FULL))
            .await
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
