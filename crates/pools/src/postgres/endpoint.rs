//! The servers of a URL, and sockets to them.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    time,
};
use tokio_postgres::{Config, config::Host};

const DEFAULT_PORT: u16 = 5432;

/// One host of a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    Tcp {
        /// What its certificate has to name; empty where only an address is known.
        name: String,
        /// What is looked up: the name or an address.
        target: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// Where a connection went: an address that needs no looking up, so that a request to cancel
/// reaches the same server.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What is set on a TCP socket.
#[derive(Clone, Debug)]
pub(super) struct SocketOptions {
    connect_timeout: Option<Duration>,
    user_timeout: Option<Duration>,
    keepalive: Option<TcpKeepalive>,
}

/// A socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The hosts of a URL in its order. `None` where its lists do not fit each other.
pub(super) fn endpoints(config: &Config) -> Option<Vec<Endpoint>> {
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = hosts.len().max(addresses.len());
    let fit = |length: usize| length <= 1 || length == count;
    if count == 0 || !fit(ports.len()) || !(hosts.is_empty() || hosts.len() == count) {
        return None;
    }
    if !(addresses.is_empty() || addresses.len() == count) {
        return None;
    }
    // A host with this in it is the end of a password whose own was not escaped.
    let is_cut = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if hosts.iter().any(is_cut) {
        return None;
    }
    let endpoint = |at: usize| {
        let port = ports.get(at).or(ports.first()).copied();
        let port = port.unwrap_or(DEFAULT_PORT);
        let name = match (hosts.get(at), addresses.get(at)) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (None, Some(address)) => address.to_string(),
            _ => String::new(),
        };
        match (addresses.get(at), hosts.get(at)) {
            (Some(address), _) => Some(Endpoint::Tcp {
                name,
                target: address.to_string(),
                port,
            }),
            (None, Some(Host::Tcp(target))) => Some(Endpoint::Tcp {
                name,
                target: target.clone(),
                port,
            }),
            (None, Some(Host::Unix(folder))) => {
                Some(Endpoint::Unix(folder.join(format!(".s.PGSQL.{port}"))))
            }
            (None, None) => None,
        }
    };
    (0..count).map(endpoint).collect()
}

impl Endpoint {
    /// What TLS is to check the certificate against.
    pub(super) fn name(&self) -> &str {
        match self {
            Endpoint::Tcp { name, .. } => name,
            Endpoint::Unix(_) => "",
        }
    }

    /// All addresses that it stands for.
    pub(super) async fn addresses(&self) -> io::Result<Vec<Address>> {
        match self {
            Endpoint::Unix(path) => Ok(vec![Address::Unix(path.clone())]),
            Endpoint::Tcp { target, port, .. } => {
                let found = lookup_host((target.as_str(), *port)).await?;
                Ok(found.map(Address::Tcp).collect())
            }
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp { target, port, .. } => write!(f, "{target}:{port}"),
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl SocketOptions {
    pub(super) fn of(config: &Config) -> SocketOptions {
        let keepalive = || {
            let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
            if let Some(interval) = config.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(retries) = config.get_keepalives_retries() {
                keepalive = keepalive.with_retries(retries);
            }
            keepalive
        };
        SocketOptions {
            connect_timeout: config.get_connect_timeout().copied(),
            user_timeout: config.get_tcp_user_timeout().copied(),
            keepalive: config.get_keepalives().then(keepalive),
        }
    }

    /// Opens a socket.
    pub(super) async fn open(&self, address: &Address) -> io::Result<Socket> {
        let opening = async {
            match address {
                Address::Tcp(address) => self.tcp(*address).await,
                Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
            }
        };
        match self.connect_timeout {
            Some(limit) => match time::timeout(limit, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
            None => opening.await,
        }
    }

    async fn tcp(&self, address: SocketAddr) -> io::Result<Socket> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(self.user_timeout)?;
        if let Some(keepalive) = &self.keepalive {
            socket.set_tcp_keepalive(keepalive)?;
        }
        Ok(Socket::Tcp(stream))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Option<Vec<String>> {
        let found = endpoints(&url.parse().unwrap())?;
        Some(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn hosts_addresses_and_ports_belong_together() {
        let check = |url: &str, expect: &[&str]| assert_eq!(shown(url).unwrap(), expect, "{url}");
        check("postgres://h/d", &["h:5432"]);
        check("postgres://a:1,b:2/d", &["a:1", "b:2"]);
        check("host=a,b port=7", &["a:7", "b:7"]);
        check("host=a hostaddr=127.0.0.1", &["127.0.0.1:5432"]);
        check(
            "hostaddr=127.0.0.1,127.0.0.2",
            &["127.0.0.1:5432", "127.0.0.2:5432"],
        );
        check(
            "host=/run/postgresql port=9",
            &["/run/postgresql/.s.PGSQL.9"],
        );
        for url in [
            "user=me",
            "host=a,b port=1,2,3",
            "host=a,b hostaddr=127.0.0.1",
        ] {
            assert_eq!(shown(url), None, "{url}");
        }
    }

    #[test]
    fn a_certificate_has_to_name_the_host_not_its_address() {
        let config = "host=db.example hostaddr=127.0.0.1".parse().unwrap();
        assert_eq!(endpoints(&config).unwrap()[0].name(), "db.example");
    }
}
