//! A network that fails on demand: a TCP proxy in front of PostgreSQL or Redis.
//!
//! One task, the gate, owns the listener and all links, and obeys one order at a time; an order is
//! answered when it is in force. It runs on a runtime of its own, so that a test whose runtime is
//! busy or blocked still has a network.

mod gate;
mod link;

use std::{fmt, net::Ipv4Addr, time::Duration};

use tokio::sync::{mpsc, oneshot};
use url::Url;

use self::gate::{Fault, Gate, Order};
use crate::{address, background};

/// A TCP proxy on a port of its own that cuts, refuses, stalls, delays and heals.
///
/// Each of these replaces the one before and returns once it is in force. The proxy ends with this
/// value, and with it all connections through it.
pub struct FaultProxy {
    port: u16,
    orders: mpsc::Sender<Order>,
}

impl FaultProxy {
    /// Stands in front of the server of an address, `postgres://…` or `redis://…`, and lets
    /// everything pass. The server need not be there; while it is not, connections are reset.
    ///
    /// # Panics
    ///
    /// When the address has no host, or the system has no port.
    pub async fn in_front_of(url: &str) -> FaultProxy {
        let parsed = Url::parse(url).ok();
        let Some(upstream) = parsed.as_ref().and_then(address::host_and_port) else {
            // The address itself may hold a password.
            panic!("a proxy needs the address of a PostgreSQL or Redis with one host");
        };
        let (orders, received) = mpsc::channel(1);
        let port = background::run(async move {
            let gate = Gate::open(upstream).await?;
            let port = gate.port();
            background::spawn(gate.obey(received));
            Ok::<u16, std::io::Error>(port)
        });
        FaultProxy {
            port: port.await.expect("a free port on the loopback"),
            orders,
        }
    }

    /// The same address, through the proxy.
    ///
    /// # Panics
    ///
    /// When the address has no host.
    pub fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).expect("an address with a scheme");
        url.set_host(Some(&Ipv4Addr::LOCALHOST.to_string()))
            .and_then(|()| {
                url.set_port(Some(self.port))
                    .map_err(|()| url::ParseError::EmptyHost)
            })
            .expect("an address with a host");
        url.into()
    }

    /// Resets all connections. Those that are made later pass, at once and without delay.
    pub async fn cut(&self) {
        self.order(Fault::Cut).await;
    }

    /// Resets all connections and refuses others.
    pub async fn refuse(&self) {
        self.order(Fault::Refuse).await;
    }

    /// Lets no byte pass, in either direction. Connections are accepted and hang.
    pub async fn stall(&self) {
        self.order(Fault::Stall).await;
    }

    /// Lets every byte that arrives from now on pass so much later, in either direction: a round
    /// trip takes twice as long.
    pub async fn delay(&self, each_way: Duration) {
        self.order(Fault::Delay(each_way)).await;
    }

    /// Lets everything pass. What was stalled flows on.
    pub async fn heal(&self) {
        self.order(Fault::None).await;
    }

    async fn order(&self, fault: Fault) {
        let (done, in_force) = oneshot::channel();
        let order = Order { fault, done };
        let sent = self.orders.send(order).await;
        sent.expect("the gate lives as long as the proxy");
        in_force
            .await
            .expect("nobody took the proxy's port while it refused connections");
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
