//! Opens connections, asks servers to stop statements, and closes connections.

use std::{net::IpAddr, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
    time,
};
use tokio_postgres::{
    CancelToken, Client, Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{ConnectError, PostgresConfig, unverified::unverified};
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
/// How long asking a server to stop a statement may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where and how to connect, and the runtime on which it is done.
///
/// Sockets live on this runtime, whatever runtime their users are on.
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
    runtime: Handle,
}

/// An open connection: what sends, and the task that moves the bytes until the sender is dropped.
pub(crate) type Opened = (Client, JoinHandle<()>);

impl Connector {
    pub(crate) fn new(config: &PostgresConfig, runtime: Handle) -> Result<Connector, BuildError> {
        let driver = driver_config(config)?;
        let verify = driver.get_ssl_mode() == SslMode::Require || config.ca_file.is_some();
        let tls = match verify {
            true => tls::verifying(config.ca_file.as_deref())?,
            false => unverified(),
        };
        Ok(Connector {
            config: driver,
            tls: MakeRustlsConnect::new(tls),
            connect_timeout: config.connect_timeout,
            runtime,
        })
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Opens a connection. Dropping the future ends the attempt.
    #[expect(
        clippy::disallowed_methods,
        reason = "here is where connections are made"
    )]
    pub(crate) async fn connect(&self) -> Result<Opened, ConnectError> {
        let (config, tls, limit) = (self.config.clone(), self.tls.clone(), self.connect_timeout);
        let attempt = self.runtime.spawn(async move {
            let connecting = time::timeout(limit, config.connect(tls)).await;
            let (client, connection) =
                connecting.map_err(|_| ConnectError::TimedOut { after: limit })??;
            let task = tokio::spawn(async move {
                // Whoever runs a statement gets the error too, and it belongs to them.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database broke");
                }
            });
            Ok((client, task))
        });
        let _abort = AbortOnDrop(attempt.abort_handle());
        attempt.await.unwrap_or(Err(ConnectError::RuntimeEnded))
    }

    /// Asks the server to stop what the connection runs.
    pub(crate) async fn cancel(&self, token: &CancelToken) {
        match time::timeout(CANCEL_TIMEOUT, token.cancel_query(self.tls.clone())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not cancel a statement"),
            Err(_) => tracing::debug!("could not cancel a statement in time"),
        }
    }

    /// Hosts and ports, for people.
    pub(crate) fn server(&self) -> String {
        let names = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let mut names: Vec<String> = names.collect();
        if names.is_empty() {
            let addresses = self.config.get_hostaddrs().iter();
            names = addresses.map(IpAddr::to_string).collect();
        }
        let ports = self.config.get_ports();
        for (at, name) in names.iter_mut().enumerate() {
            if let Some(port) = ports.get(at).or(ports.first()) {
                *name = format!("{name}:{port}");
            }
        }
        names.join(",")
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn driver_config(config: &PostgresConfig) -> Result<Config, BuildError> {
    // The driver's error may quote a part of the password, and is dropped.
    let parsed = config.url.expose_secret().parse::<Config>();
    let mut driver = parsed.map_err(|_| BuildError::DatabaseUrl)?;
    if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
        return Err(BuildError::DatabaseUrl);
    }
    if let Some(name) = &config.application_name {
        driver.application_name(name);
    } else if driver.get_application_name().is_none() {
        driver.application_name(APPLICATION_NAME);
    }
    if let Some(limit) = config.statement_timeout {
        let limit = limit.as_millis().clamp(1, LONGEST_STATEMENT_MS);
        let ours = format!("-c statement_timeout={limit}");
        // What the URL says comes last and wins.
        let options = match driver.get_options() {
            Some(theirs) => format!("{ours} {theirs}"),
            None => ours,
        };
        driver.options(options);
    }
    let hosts = driver.get_hosts().len().max(driver.get_hostaddrs().len());
    if hosts > 1 && driver.get_connect_timeout().is_none() {
        // One that has vanished must not take the time of all.
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
        driver.connect_timeout(config.connect_timeout / hosts);
    }
    driver
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(TCP_USER_TIMEOUT);
    Ok(driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(config: &PostgresConfig) -> Result<Config, BuildError> {
        driver_config(config)
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_quoted() {
        for url in [
            "",
            "postgres://",
            "nonsense",
            "postgres://user:hunter2@host:port/db",
            "postgres://host/db?hunter2=1",
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
            statement_timeout: None,
            ..PostgresConfig::new("postgres://h/d")
        };
        let driver = driver(&config).unwrap();
        assert_eq!(driver.get_options(), None);
        assert_eq!(driver.get_application_name(), Some("ruleiq"));
    }
}
