//! The shared connections: connected when first asked for, reconnected for ever.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use fred::{
    clients::{Client, Pool},
    interfaces::{ClientLike as _, EventInterface as _, MetricsInterface as _},
    types::{
        Builder, ClientState, InfoKind,
        config::{
            Config, Options, ReconnectPolicy, Server, TcpConfig, TlsConfig, TlsConnector,
            UnresponsiveConfig,
        },
    },
};
use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    runtime::Handle,
    sync::broadcast::{self, error::TryRecvError},
    task::AbortHandle,
    time,
};

use super::{RedisConfig, RedisInfo, watch::watch};
use crate::{BuildError, ResourceStats, tls};

/// Two, so that a large value does not hold everybody up; more were measured to bring nothing.
const MAX_CONNECTIONS: usize = 2;
/// From 50 ms to 2 s between attempts, doubled each time, for ever.
const RECONNECT_MIN_MS: u32 = 50;
const RECONNECT_MAX_MS: u32 = 2_000;
const RECONNECT_JITTER_MS: u32 = 50;
/// A connection that owes an answer for so long is closed and opened anew.
const UNRESPONSIVE: UnresponsiveConfig = UnresponsiveConfig {
    max_timeout: Some(Duration::from_secs(1)),
    interval: Duration::from_millis(300),
};
/// How long Redis may take to answer a health check or a farewell.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Redis {
    pool: Pool,
    /// For each client of the pool.
    in_flight: Vec<InFlight>,
    connected: Once,
    watches: Mutex<Vec<AbortHandle>>,
    runtime: Handle,
    max_connections: usize,
}

impl Redis {
    pub(crate) fn new(config: &RedisConfig, runtime: Handle) -> Result<Redis, BuildError> {
        let size = config.max_connections.get().min(MAX_CONNECTIONS);
        let pool = builder(config)?.build_pool(size);
        let pool = pool.map_err(|_| BuildError::RedisUrl)?;
        let clients = pool.clients().iter();
        Ok(Redis {
            in_flight: clients.map(InFlight::new).collect(),
            pool,
            connected: Once::new(),
            watches: Mutex::default(),
            runtime,
            max_connections: size,
        })
    }

    /// A client on one of the connections, a live one if there is one.
    pub(crate) fn client(&self) -> Client {
        self.connected.call_once(|| {
            let _on_our_runtime = self.runtime.enter();
            // The tasks end when the clients quit; nobody waits for them.
            drop(self.pool.connect_pool());
            let watches = self.pool.clients().iter();
            let watches = watches.map(|client| tokio::spawn(watch(client.clone())));
            *self.watches() = watches.map(|task| task.abort_handle()).collect();
        });
        self.pool.next_connected().clone()
    }

    pub(crate) fn stats(&self) -> ResourceStats {
        let clients = self.pool.clients();
        let count = |is: fn(&Client) -> bool| clients.iter().filter(|it| is(it)).count();
        let connected = count(Client::is_connected);
        let clients_in_flight = clients.iter().zip(&self.in_flight);
        let busy = clients_in_flight.filter(|(client, in_flight)| {
            client.is_connected() && (client.command_queue_len() > 0 || in_flight.of(client) > 0)
        });
        let checked_out = busy.count();
        ResourceStats {
            size: self.max_connections,
            max_overflow: 0,
            checked_out,
            checked_in: connected.saturating_sub(checked_out),
            overflow: 0,
            permitted: None,
            waiting: clients.iter().map(Client::command_queue_len).sum(),
            oldest_wait: Duration::ZERO,
            connecting: count(|it| it.state() == ClientState::Connecting),
            closing: count(|it| it.state() == ClientState::Disconnecting),
            utilization: 0.0,
        }
        .derive()
    }

    /// Whether Redis answers within a limit.
    pub(crate) async fn is_healthy(&self) -> bool {
        let client = self.client();
        let answer = async {
            if !client.is_connected() {
                client.wait_for_connect().await?;
            }
            let options = Options {
                timeout: Some(HEALTH_TIMEOUT),
                ..Options::default()
            };
            client.with_options(&options).ping::<()>(None).await
        };
        matches!(time::timeout(HEALTH_TIMEOUT, answer).await, Ok(Ok(())))
    }

    /// What Redis says of itself; `None` where it does not answer within a limit.
    pub(crate) async fn info(&self) -> Option<RedisInfo> {
        let client = self.client();
        let answer = async {
            if !client.is_connected() {
                client.wait_for_connect().await?;
            }
            let server: String = client.info(Some(InfoKind::Server)).await?;
            let memory: String = client.info(Some(InfoKind::Memory)).await?;
            Ok::<_, fred::error::Error>(server + &memory)
        };
        let text = time::timeout(HEALTH_TIMEOUT, answer).await.ok()?.ok()?;
        RedisInfo::parse(&text)
    }

    fn watches(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_watches(&self) {
        self.watches().drain(..).for_each(|watch| watch.abort());
    }

    pub(crate) async fn close(&self) {
        self.end_watches();
        let farewells = self.pool.clients().iter().map(|client| async move {
            if time::timeout(HEALTH_TIMEOUT, client.quit()).await.is_err() {
                tracing::debug!("Redis did not answer the farewell in time");
            }
        });
        join_all(farewells).await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end_watches();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The commands of a client that Redis has not answered yet.
///
/// The driver counts the messages of either direction. What was under way when a connection broke is
/// never answered, and is left out from when that is noticed.
#[derive(Debug)]
pub(super) struct InFlight(Mutex<Lost>);

#[derive(Debug)]
struct Lost {
    reconnected: broadcast::Receiver<Server>,
    commands: u64,
}

impl InFlight {
    pub(super) fn new(client: &Client) -> InFlight {
        InFlight(Mutex::new(Lost {
            reconnected: client.reconnect_rx(),
            commands: 0,
        }))
    }

    pub(super) fn of(&self, client: &Client) -> u64 {
        // Nothing panics while it is held.
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unanswered = unanswered(client);
        let mut has_reconnected = false;
        while !matches!(
            lost.reconnected.try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {
            has_reconnected = true;
        }
        // Where less is unanswered than was thought to be lost, less was.
        if has_reconnected || unanswered < lost.commands {
            lost.commands = unanswered;
        }
        unanswered - lost.commands
    }
}

/// How many messages Redis has sent.
pub(super) fn answers(client: &Client) -> u64 {
    client.read_res_size_metrics().samples
}

fn unanswered(client: &Client) -> u64 {
    // In this order: what is answered in between was not under way any more.
    let answers = answers(client);
    let requests = client.read_req_size_metrics().samples;
    requests.saturating_sub(answers)
}

fn builder(config: &RedisConfig) -> Result<Builder, BuildError> {
    let (url, with_tls) = plain_url(&config.url).ok_or(BuildError::RedisUrl)?;
    // The error may quote a part of the password, and is dropped.
    let parsed = Config::from_url(url.expose_secret());
    let mut server = parsed.map_err(|_| BuildError::RedisUrl)?;
    if with_tls {
        let tls = tls::verifying(config.ca_file.as_deref())?;
        server.tls = Some(TlsConfig::from(TlsConnector::from(tls)));
    }
    // A service starts while its Redis is away.
    server.fail_fast = false;
    let mut builder = Builder::from_config(server);
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = config.command_timeout;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = config.connect_timeout;
            connection.internal_command_timeout = config.connect_timeout;
            // A command that was sent may have run: whoever sent it decides.
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = config.max_waiting.get();
            connection.unresponsive = UNRESPONSIVE;
            connection.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
        });
    let mut policy = ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2);
    policy.set_jitter(RECONNECT_JITTER_MS);
    builder.set_policy(policy);
    Ok(builder)
}

/// The URL without its wish for TLS, and whether it had one. fred would grant the wish by the
/// process's default provider of cryptography, which may be missing; ours is named.
fn plain_url(url: &SecretString) -> Option<(SecretString, bool)> {
    let (scheme, rest) = url.expose_secret().split_once("://")?;
    let (scheme, suffix) = match scheme.split_once('-') {
        Some((scheme, suffix)) => (scheme, Some(suffix)),
        None => (scheme, None),
    };
    let (scheme, with_tls) = match scheme {
        "redis" => ("redis", false),
        "rediss" => ("redis", true),
        "valkey" => ("valkey", false),
        "valkeys" => ("valkey", true),
        _ => return None,
    };
    let suffix = match suffix {
        None => "",
        Some("cluster") => "-cluster",
        Some("sentinel") => "-sentinel",
        Some(_) => return None,
    };
    Some((format!("{scheme}{suffix}://{rest}").into(), with_tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_taken_out_of_the_url() {
        let check = |url: &str, plain: &str, with_tls: bool| {
            let (found, tls) = plain_url(&SecretString::from(url)).unwrap();
            assert_eq!((found.expose_secret(), tls), (plain, with_tls));
        };
        check("redis://h", "redis://h", false);
        check("rediss://u:p@h/1", "redis://u:p@h/1", true);
        check("rediss-sentinel://h", "redis-sentinel://h", true);
        check("valkeys-cluster://h:1", "valkey-cluster://h:1", true);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_quoted() {
        for url in [
            "",
            "nonsense",
            "http://hunter2@h",
            "redis://u:hunter2@h:port",
        ] {
            let error = builder(&RedisConfig::new(url)).unwrap_err();
            assert!(matches!(error, BuildError::RedisUrl), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
