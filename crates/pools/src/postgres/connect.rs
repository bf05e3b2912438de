//! Opens connections, asks servers to stop statements, and ends connections.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Handle,
    task::JoinHandle,
    time,
};
use tokio_postgres::{
    CancelToken, Client, Config, SimpleQueryMessage,
    config::{LoadBalanceHosts, SslMode, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    ConnectError, PostgresConfig,
    cancel::Asking,
    cluster::{Cluster, Origin, Wanted},
    endpoint::{Address, Endpoint, Socket, SocketOptions, endpoints},
    pooler,
    tuning::Instance,
    unverified::unverified,
    wire::{Tap, TapTls, Wire},
};
use crate::{BuildError, tls};

const APPLICATION_NAME: &str = "ruleiq";
/// A peer that has vanished without a word is noticed within 15 s + 3 * 5 s while nothing is sent,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// and within this while something is.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that `statement_timeout` takes: 24 days.
const LONGEST_STATEMENT_MS: u128 = i32::MAX as u128;
/// Its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// How long asking a server to stop a statement may take,
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// and a pooler, which may wait for a connection to ask by. `PgBouncer` 1.18 dies when whoever asks goes
/// before that (its issue 801).
const POOLER_CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how to connect, and the runtime on which it is done.
///
/// Sockets live on this runtime, whatever runtime their users are on.
#[derive(Clone)]
pub(crate) struct Connector {
    login: Login,
    /// What its connections are called. None behind a pooler, which hands them to others.
    instance: Option<Arc<Instance>>,
    connect_timeout: Duration,
    transaction_pooling: bool,
    runtime: Handle,
}

/// What it takes to reach a server and to be let in.
#[derive(Clone)]
struct Login {
    config: Config,
    endpoints: Vec<Endpoint>,
    options: SocketOptions,
    /// How long one host may take.
    share: Duration,
    tls: MakeRustlsConnect,
    is_reading: bool,
    /// Which of several servers with roles of their own.
    wanted: Option<Wanted>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) client: Client,
    /// What moves the bytes. It ends by itself, with a word to the server, when the client is
    /// dropped and all that was sent is answered.
    pub(crate) task: Driving,
    pub(crate) wire: Arc<Wire>,
    pub(crate) canceller: Canceller,
    /// Where it leads, among several servers.
    pub(crate) origin: Option<Origin>,
}

/// The task of a connection that is nobody's yet. Dropped, it ends at once: by itself it would wait for
/// answers that may never come.
#[derive(Debug)]
pub(crate) struct Driving(Option<JoinHandle<()>>);

impl Driving {
    /// It ends by itself from now on.
    pub(crate) fn let_go(mut self) -> JoinHandle<()> {
        self.0.take().expect("only this takes it, and consumes it")
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What it takes to ask the server to stop what a connection runs.
#[derive(Clone)]
pub(crate) struct Canceller {
    token: CancelToken,
    address: Address,
    /// Of the server's certificate.
    name: String,
}

impl fmt::Debug for Canceller {
    /// Without its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(config: &PostgresConfig, runtime: Handle) -> Result<Connector, BuildError> {
        let (mut driver, endpoints) = driver_config(config)?;
        let instance = instance(config, &mut driver);
        let verify = driver.get_ssl_mode() == SslMode::Require || config.ca_file.is_some();
        let tls = match verify {
            true => tls::verifying(config.ca_file.as_deref())?,
            false => unverified(),
        };
        let login = Login {
            share: share(config, &endpoints),
            endpoints,
            options: SocketOptions::of(&driver),
            config: driver,
            tls: MakeRustlsConnect::new(tls),
            is_reading: false,
            wanted: None,
        };
        Ok(Connector {
            login,
            instance,
            connect_timeout: config.connect_timeout,
            transaction_pooling: config.transaction_pooling,
            runtime,
        })
    }

    /// The same for connections on which nothing is written, and no statement runs longer than that.
    pub(crate) fn for_reading(&self, statement_limit: Duration) -> Connector {
        let limit = statement_limit.as_millis().clamp(1, LONGEST_STATEMENT_MS);
        let mut connector = self.clone();
        connector.login.read_only();
        connector
            .login
            .set(&format!("-c statement_timeout={limit}"));
        connector
    }

    /// One for each host, to read from.
    pub(crate) fn of_each(&self) -> Vec<Connector> {
        let each = |endpoint: &Endpoint| {
            let mut connector = self.clone();
            connector.login.endpoints = vec![endpoint.clone()];
            connector.login.share = self.connect_timeout;
            connector.login.read_only();
            connector.login.wanted = Some(Wanted::Member);
            connector
        };
        self.login.endpoints.iter().map(each).collect()
    }

    /// The same for the one host that takes writes.
    pub(crate) fn of_primary(mut self, cluster: Arc<Cluster>) -> Connector {
        self.login.share = self.connect_timeout;
        self.login.wanted = Some(Wanted::Primary(cluster));
        self
    }

    /// Whether where a connection leads is where it should.
    pub(crate) fn is_current(&self, origin: &Origin) -> bool {
        match &self.login.wanted {
            Some(Wanted::Primary(cluster)) => cluster.is_current(origin),
            _ => true,
        }
    }

    pub(crate) fn instance(&self) -> Option<&Instance> {
        self.instance.as_deref()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Opens a connection, which lives on the runtime that this is polled on: the pool's. Dropping the
    /// future ends the attempt.
    pub(crate) async fn connect(&self) -> Result<Opened, ConnectError> {
        let limit = self.connect_timeout;
        let connecting = async {
            let opened = self.login.connect().await?;
            if self.transaction_pooling {
                pooler::learn_types(&opened.client).await?;
            }
            Ok(opened)
        };
        let connecting = time::timeout(limit, connecting).await;
        connecting.unwrap_or(Err(ConnectError::TimedOut { after: limit }))
    }

    /// Asks the server to stop what the connection runs.
    pub(crate) async fn cancel(&self, canceller: &Canceller) {
        let limit = match self.transaction_pooling {
            false => CANCEL_TIMEOUT,
            true => POOLER_CANCEL_TIMEOUT,
        };
        match time::timeout(limit, self.login.cancel(canceller)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not cancel a statement"),
            Err(_) => tracing::debug!("could not cancel a statement in time"),
        }
    }

    /// Whether a server answers to whoever comes, which takes none of its connections. Bounding the wait
    /// is the caller's.
    pub(crate) async fn is_answered(&self) -> bool {
        self.login.is_answered().await
    }

    /// How many hosts there are.
    pub(crate) fn hosts(&self) -> usize {
        self.login.endpoints.len()
    }

    /// Hosts and ports, for people.
    pub(crate) fn server(&self) -> String {
        let endpoints = self.login.endpoints.iter();
        endpoints
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Login {
    /// Nothing is written on its connections.
    fn read_only(&mut self) {
        self.is_reading = true;
        self.set("-c default_transaction_read_only=on");
    }

    /// Adds an option, which comes last and wins.
    fn set(&mut self, option: &str) {
        let options = match self.config.get_options() {
            Some(before) => format!("{before} {option}"),
            None => option.to_owned(),
        };
        self.config.options(options);
    }

    /// Connects to the first server that is there and fits, in the order of the URL or any; or to the one
    /// that takes writes.
    async fn connect(&self) -> Result<Opened, ConnectError> {
        let endpoints = match &self.wanted {
            Some(Wanted::Primary(cluster)) => vec![&self.endpoints[cluster.primary().await?]],
            _ => self.in_order(self.endpoints.iter().collect()),
        };
        let mut error = None;
        for endpoint in endpoints {
            let addresses = match endpoint.addresses().await {
                Ok(addresses) => addresses,
                Err(source) => {
                    let address = endpoint.to_string();
                    error = Some(ConnectError::Unreachable { address, source });
                    continue;
                }
            };
            for address in self.in_order(addresses) {
                // One that has vanished, or takes the connection and says nothing, must not take the time
                // of all.
                let connecting = time::timeout(self.share, self.connect_to(endpoint, address));
                match connecting.await {
                    Ok(Ok(opened)) => return Ok(opened),
                    Ok(Err(failed)) => error = Some(failed),
                    Err(_) => error = Some(ConnectError::TimedOut { after: self.share }),
                }
            }
        }
        Err(error.unwrap_or(ConnectError::NoAddress))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "here is where connections are made"
    )]
    async fn connect_to(
        &self,
        endpoint: &Endpoint,
        address: Address,
    ) -> Result<Opened, ConnectError> {
        let socket = self.open(&address).await?;
        let wire = Arc::new(Wire::new());
        let tls = self.tls::<Tap<Socket>>(endpoint.name())?;
        let tls = TapTls::new(tls, Arc::clone(&wire));
        let tap = Tap::new(socket, Arc::clone(&wire));
        let (client, connection) = match address {
            // There is nobody in between, and the driver would want a name to check.
            Address::Unix(_) => {
                let mut config = self.config.clone();
                config.ssl_mode(SslMode::Disable);
                config.connect_raw(tap, tls).await?
            }
            Address::Tcp(_) => self.config.connect_raw(tap, tls).await?,
        };
        let task = Driving(Some(tokio::spawn(async move {
            // Whoever runs a statement gets the error too, and it belongs to them.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database broke");
            }
        })));
        let origin = match &self.wanted {
            None => {
                self.check_role(&client, &address).await?;
                None
            }
            Some(Wanted::Primary(cluster)) => {
                Some(cluster.admit(&client, address.to_string()).await?)
            }
            Some(Wanted::Member) => Some(Origin::of_member(&client).await?),
        };
        Ok(Opened {
            canceller: Canceller {
                token: client.cancel_token(),
                address,
                name: endpoint.name().to_owned(),
            },
            client,
            task,
            wire,
            origin,
        })
    }

    /// Asks whether there is TLS, which a server answers before it knows anybody (53.2.10).
    async fn is_answered(&self) -> bool {
        for endpoint in &self.endpoints {
            let Ok(addresses) = endpoint.addresses().await else {
                continue;
            };
            for address in addresses {
                let asking = async {
                    let mut socket = self.options.open(&address).await?;
                    socket.write_all(&SSL_REQUEST).await?;
                    socket.read_u8().await
                };
                if asking.await.is_ok() {
                    return true;
                }
            }
        }
        false
    }

    /// Whether the server may be written to, where the URL wants to know.
    async fn check_role(&self, client: &Client, address: &Address) -> Result<(), ConnectError> {
        // Where connections are read-only by our own wish, the setting says nothing of the server.
        let (question, yes, no) = match self.is_reading {
            false => ("SHOW transaction_read_only", "on", "off"),
            true => ("SELECT pg_is_in_recovery()", "t", "f"),
        };
        let wanted = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => no,
            TargetSessionAttrs::ReadOnly => yes,
            _ => return Ok(()),
        };
        let answer = client.simple_query(question).await?;
        let fits = answer.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some(wanted),
            _ => false,
        });
        if fits {
            return Ok(());
        }
        Err(ConnectError::WrongRole {
            address: address.to_string(),
        })
    }

    async fn cancel(&self, canceller: &Canceller) -> Result<(), ConnectError> {
        let Canceller {
            token,
            address,
            name,
        } = canceller;
        let socket = Asking(self.open(address).await?);
        let tls = self.tls::<Asking<Socket>>(name)?;
        Ok(token.cancel_query_raw(socket, tls).await?)
    }

    async fn open(&self, address: &Address) -> Result<Socket, ConnectError> {
        let opening = self.options.open(address).await;
        opening.map_err(|source| ConnectError::Unreachable {
            address: address.to_string(),
            source,
        })
    }

    /// TLS to the server of this name.
    fn tls<S>(&self, name: &str) -> Result<RustlsTo<S>, ConnectError>
    where
        MakeRustlsConnect: MakeTlsConnect<S>,
    {
        let made = MakeTlsConnect::<S>::make_tls_connect(&mut self.tls.clone(), name);
        made.map_err(|_| ConnectError::NoAddress)
    }

    /// In the given order, or in any where the URL says so.
    fn in_order<T>(&self, mut list: Vec<T>) -> Vec<T> {
        if self.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut list);
        }
        list
    }
}

type RustlsTo<S> = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;

/// Gives the connections a name that no other instance's have.
fn instance(config: &PostgresConfig, driver: &mut Config) -> Option<Arc<Instance>> {
    if config.transaction_pooling {
        return None;
    }
    let instance = Instance::of(driver.get_application_name().unwrap_or(APPLICATION_NAME));
    driver.application_name(instance.application_name());
    Some(Arc::new(instance))
}

fn driver_config(config: &PostgresConfig) -> Result<(Config, Vec<Endpoint>), BuildError> {
    // The driver's error may quote a part of the password, and is dropped.
    let parsed = config.url.expose_secret().parse::<Config>();
    let mut driver = parsed.map_err(|_| BuildError::DatabaseUrl)?;
    let endpoints = endpoints(&driver).ok_or(BuildError::DatabaseUrl)?;
    if let Some(name) = &config.application_name {
        driver.application_name(name);
    } else if driver.get_application_name().is_none() {
        driver.application_name(APPLICATION_NAME);
    }
    // Poolers refuse options: what they set would stay behind for the next client.
    let limit = config.statement_limit();
    if let Some(limit) = limit.filter(|_| !config.transaction_pooling) {
        let limit = limit.as_millis().clamp(1, LONGEST_STATEMENT_MS);
        let ours = format!("-c statement_timeout={limit}");
        // What the URL says comes last and wins.
        let options = match driver.get_options() {
            Some(theirs) => format!("{ours} {theirs}"),
            None => ours,
        };
        driver.options(options);
    }
    if endpoints.len() > 1 && driver.get_connect_timeout().is_none() {
        driver.connect_timeout(share(config, &endpoints));
    }
    // Where the URL does not say otherwise.
    if driver.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        driver.keepalives_idle(KEEPALIVE_IDLE);
    }
    if driver.get_keepalives_interval().is_none() {
        driver.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if driver.get_keepalives_retries().is_none() {
        driver.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if driver.get_tcp_user_timeout().is_none() {
        driver.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    Ok((driver, endpoints))
}

/// How long one of several hosts may take.
fn share(config: &PostgresConfig, endpoints: &[Endpoint]) -> Duration {
    config.connect_timeout / u32::try_from(endpoints.len().max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(config: &PostgresConfig) -> Result<Config, BuildError> {
        driver_config(config).map(|(driver, _)| driver)
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_quoted() {
        for url in [
            "",
            "postgres://",
            "nonsense",
            "postgres://user:hunter2@host:port/db",
            "postgres://host/db?hunter2=1",
            "postgres://user:p@hunter2@host/db",
            "postgres://host/db?sslmode=verify-full",
        ] {
            let error = driver(&PostgresConfig::new(url)).unwrap_err();
            assert!(matches!(error, BuildError::DatabaseUrl), "{url}: {error}");
            assert!(
                !format!("{error} {error:?}").contains("hunter2"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn the_url_has_the_last_word_on_what_it_says() {
        let config = PostgresConfig::new("postgres://h/d?application_name=mine&options=-c%20x%3D1");
        let driver = driver(&config).unwrap();
        assert_eq!(driver.get_application_name(), Some("mine"));
        assert_eq!(
            driver.get_options(),
            Some("-c statement_timeout=60000 -c x=1")
        );
    }

    #[test]
    fn what_the_url_says_of_a_silent_peer_is_kept() {
        let url = "postgres://h/d?keepalives_idle=1&keepalives_interval=2&keepalives_retries=3\
                   &tcp_user_timeout=4";
        let mine = driver(&PostgresConfig::new(url)).unwrap();
        assert_eq!(mine.get_keepalives_idle(), Duration::from_secs(1));
        assert_eq!(mine.get_keepalives_interval(), Some(Duration::from_secs(2)));
        assert_eq!(mine.get_keepalives_retries(), Some(3));
        assert_eq!(mine.get_tcp_user_timeout(), Some(&Duration::from_secs(4)));
        let ours = driver(&PostgresConfig::new("postgres://h/d")).unwrap();
        assert_eq!(ours.get_keepalives_idle(), KEEPALIVE_IDLE);
        assert_eq!(ours.get_keepalives_retries(), Some(KEEPALIVE_RETRIES));
    }

    #[test]
    fn a_host_that_is_gone_leaves_time_for_the_others() {
        let check = |url: &str, expect| {
            let config = PostgresConfig {
                connect_timeout: Duration::from_secs(6),
                ..PostgresConfig::new(url)
            };
            let driver = driver(&config).unwrap();
            let seconds = driver.get_connect_timeout().map(Duration::as_secs);
            assert_eq!(seconds, expect, "{url}");
        };
        check("postgres://a/d", None);
        check("postgres://a,b,c/d", Some(2));
        check("postgres://a,b/d?connect_timeout=5", Some(5));
        check("postgres:///d?hostaddr=127.0.0.1,127.0.0.2", Some(3));
    }

    #[test]
    fn behind_a_pooler_no_options_are_sent() {
        let config = PostgresConfig {
            transaction_pooling: true,
            ..PostgresConfig::new("postgres://h/d")
        };
        let driver = driver(&config).unwrap();
        assert_eq!(driver.get_options(), None);
        assert_eq!(driver.get_application_name(), Some("ruleiq"));
    }
}
