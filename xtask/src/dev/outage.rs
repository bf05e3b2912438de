//! Brings a server back that somebody killed, after the outage could be seen.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use ruleiq_servers::Which;

use crate::{database::Database, progress};

/// How long an outage lasts.
const OUTAGE: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// Watches one server.
#[derive(Debug)]
pub(super) struct Outage {
    which: Which,
    endpoint: Option<(String, u16)>,
    start_again_at: Option<Instant>,
}

impl Outage {
    pub(super) fn watch(which: Which, database: &Database) -> Outage {
        Outage {
            which,
            endpoint: database.endpoint(which),
            start_again_at: None,
        }
    }

    /// Notes that the server is gone, or starts it again when that was long enough ago.
    pub(super) fn look(&mut self, database: &mut Database) {
        let name = self.which.name();
        match self.start_again_at {
            None if self.is_reachable() => {}
            None => {
                progress::line(&format!(
                    "{name} is gone; it is started again in {}",
                    progress::seconds(OUTAGE)
                ));
                self.start_again_at = Some(Instant::now() + OUTAGE);
            }
            Some(time) if Instant::now() < time => {}
            Some(_) => match database.start_again(self.which) {
                Ok(()) => {
                    progress::line(&format!("{name} is back"));
                    self.start_again_at = None;
                }
                Err(error) => {
                    progress::line(&format!("{name} does not start: {error}; trying again"));
                    self.start_again_at = Some(Instant::now() + OUTAGE);
                }
            },
        }
    }

    /// Whether something listens there. A server that is only slow or paused is not gone.
    fn is_reachable(&self) -> bool {
        let Some((host, port)) = &self.endpoint else {
            return true;
        };
        let addresses = (host.as_str(), *port).to_socket_addrs();
        addresses.into_iter().flatten().any(|address| {
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(_) => true,
                Err(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
            }
        })
    }
}
