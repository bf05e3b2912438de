//! The gate: who may come in, and what happens to those who are in.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time,
};

use super::link::{self, Flow};

const BACKLOG: u32 = 1024;
/// The system is out of files; they come back when other connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    Cut,
    Refuse,
    Stall,
    Delay(Duration),
}

/// A change, and whom to tell that it is in force.
pub(super) struct Order {
    pub(super) fault: Fault,
    pub(super) done: oneshot::Sender<()>,
}

pub(super) struct Gate {
    address: SocketAddr,
    upstream: String,
    door: Door,
    flow: watch::Sender<Flow>,
    links: JoinSet<()>,
}

enum Door {
    Open(TcpListener),
    /// Bound without listening: connections are refused, and nobody else gets the port.
    Shut(TcpSocket),
    /// While it changes from one to the other.
    Gone,
}

impl Gate {
    pub(super) async fn open(upstream: String) -> io::Result<Gate> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Gate {
            address: listener.local_addr()?,
            upstream,
            door: Door::Open(listener),
            flow: watch::Sender::new(Flow::default()),
            links: JoinSet::new(),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Obeys until nobody can give orders any more.
    pub(super) async fn obey(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(Order { fault, done }) = order else { return };
                    if self.put_in_force(fault).await.is_err() {
                        return;
                    }
                    // It fails when whoever gave the order has been cancelled.
                    done.send(()).ok();
                }
                Some(_) = self.links.join_next() => {}
                accepted = accept(&self.door) => match accepted {
                    Ok(client) => self.admit(client),
                    Err(_) => time::sleep(ACCEPT_PAUSE).await,
                }
            }
        }
    }

    async fn put_in_force(&mut self, fault: Fault) -> io::Result<()> {
        let flow = match fault {
            Fault::None | Fault::Cut | Fault::Refuse => Flow::default(),
            Fault::Stall => Flow {
                stalled: true,
                delay: Duration::ZERO,
            },
            Fault::Delay(delay) => Flow {
                stalled: false,
                delay,
            },
        };
        if let Fault::Refuse = fault {
            self.shut()?;
        } else {
            self.reopen()?;
        }
        if let Fault::Cut = fault {
            self.turn_away_the_waiting()?;
        }
        if let Fault::Cut | Fault::Refuse = fault {
            // An aborted link resets its connections. Only then may bytes flow again.
            self.links.shutdown().await;
        }
        self.flow.send_replace(flow);
        Ok(())
    }

    fn admit(&mut self, client: TcpStream) {
        let (upstream, flow) = (self.upstream.clone(), self.flow.subscribe());
        let waiting = link::Waiting::new(client);
        self.links.spawn(link::carry(waiting, upstream, flow));
    }

    fn shut(&mut self) -> io::Result<()> {
        if let Door::Open(_) = self.door {
            self.door = Door::Gone;
            let socket = TcpSocket::new_v4()?;
            // The connections that came in through the port do not hold it.
            socket.set_reuseaddr(true)?;
            socket.bind(self.address)?;
            self.door = Door::Shut(socket);
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.door = match std::mem::replace(&mut self.door, Door::Gone) {
            Door::Shut(socket) => Door::Open(socket.listen(BACKLOG)?),
            other => other,
        };
        Ok(())
    }

    /// Resets the connections that the system has accepted and this task has not.
    fn turn_away_the_waiting(&mut self) -> io::Result<()> {
        let Door::Open(listener) = std::mem::replace(&mut self.door, Door::Gone) else {
            return Ok(());
        };
        // tokio would answer that nobody waits until its poller has said otherwise.
        let listener = listener.into_std()?;
        loop {
            match listener.accept() {
                Ok((client, _)) => {
                    client.set_nonblocking(true)?;
                    link::reset(&TcpStream::from_std(client)?);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        self.door = Door::Open(TcpListener::from_std(listener)?);
        Ok(())
    }
}

async fn accept(door: &Door) -> io::Result<TcpStream> {
    match door {
        Door::Open(listener) => Ok(listener.accept().await?.0),
        Door::Shut(_) | Door::Gone => pending().await,
    }
}
