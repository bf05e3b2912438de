//! A `ruleiq-server` of a case's own, as it runs in production.
//!
//! It listens on a port that the system picks, signs with keys that nobody else has and keeps its
//! cache under a prefix of its own. It ends with this value, and its keys with it.

mod fetch;
mod output;
mod token;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ruleiq_bench::Fault;
use ruleiq_cache::CacheManager;
use ruleiq_pools::{PoolManager, RedisConfig};
use uuid::Uuid;

pub use self::fetch::{Fetched, get as fetch};
use self::{output::Output, token::Signer};
use crate::Env;

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to, before it is made to.
const END: Duration = Duration::from_secs(5);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);
/// How long taking its keys out of Redis may take; they expire anyhow.
const CLEARING: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct HttpServer {
    child: Child,
    address: SocketAddr,
    signer: Signer,
    metrics_token: String,
    redis_url: String,
    prefix: String,
}

impl HttpServer {
    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When its program, database or Redis is missing, or it is not ready within half a minute;
    /// with the end of its log.
    pub async fn start(env: &Env, workers: NonZeroUsize) -> Result<HttpServer, Fault> {
        let signer = Signer::new();
        let prefix = format!("ruleiq-bench-{}", Uuid::new_v4());
        let metrics_token = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        let variables = [
            ("RULEIQ_ENV", "production"),
            ("LOG", "info"),
            ("BIND_ADDRESS", "127.0.0.1:0"),
            ("METRICS_BIND_ADDRESS", "off"),
            ("METRICS_TOKEN", &metrics_token),
            ("WORKERS", &workers.to_string()),
            ("DATABASE_URL", env.database_url()?),
            ("REDIS_URL", env.redis_url()?),
            ("CACHE_PREFIX", &prefix),
            // The load of a benchmark is all that can be done, and its answers are compared.
            ("COMPRESSION_LOAD_AWARE", "false"),
            ("JWT_KEYS", &signer.setting()),
            ("ACCESS_TOKEN_TTL", "86400"),
            ("DRAIN_DELAY", "0"),
            ("SHUTDOWN_GRACE", "2"),
        ];
        let program = env.server_program()?;
        let child = Command::new(program)
            .arg("serve")
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|it| {
                Fault::Failed(format!("`{}` cannot be started: {it}", program.display()))
            })?;
        let mut server = HttpServer {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            signer,
            metrics_token,
            redis_url: env.redis_url()?.to_owned(),
            prefix,
        };
        server.address = server.ready().await?;
        Ok(server)
    }

    /// Waits until it listens and says that it is ready.
    async fn ready(&mut self) -> Result<SocketAddr, Fault> {
        let stderr = self.child.stderr.take();
        let output = Output::read(stderr.expect("it was piped"))?;
        let ready = async {
            loop {
                if let Some(address) = output.address() {
                    let probe = fetch::get(address, "/readyz", &[]).await;
                    if probe.is_ok_and(|it| it.status == 200) {
                        return Ok(address);
                    }
                }
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(format!("it ended ({status})"));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let late = Err(format!("it was not ready within {} s", START.as_secs()));
        let ready = tokio::time::timeout(START, ready).await.unwrap_or(late);
        ready.map_err(|why| {
            let log = output.tail();
            Fault::Failed(format!("the server did not start: {why}; its log: {log}"))
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An access token of a user, good for a day. No row tells of it, and no password is hashed.
    pub fn token(&self, user_id: Uuid, is_admin: bool) -> String {
        self.signer.sign(user_id, is_admin)
    }

    /// What opens `/metrics`.
    pub fn metrics_token(&self) -> &str {
        &self.metrics_token
    }

    /// The answer to a `GET` with these headers.
    ///
    /// # Errors
    ///
    /// When there is none within ten seconds.
    pub async fn get(&self, path: &str, headers: &[(String, String)]) -> Result<Fetched, Fault> {
        fetch::get(self.address, path, headers).await
    }

    /// The answer to a `POST` of JSON with these headers.
    ///
    /// # Errors
    ///
    /// When there is none within ten seconds.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> Result<Fetched, Fault> {
        fetch::send(self.address, "POST", path, headers, body).await
    }

    /// Asks the process to end, and makes it.
    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().map(Pid::from_raw);
        let told = pid.and_then(|it| kill(it, Signal::SIGTERM).ok());
        if told.is_none() {
            // An error says that it has ended already.
            drop(self.child.kill());
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > END {
                drop(self.child.kill());
                break;
            }
            thread::sleep(LOOK);
        }
        drop(self.child.wait());
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop();
        let (url, prefix) = (self.redis_url.clone(), self.prefix.clone());
        // A thread of its own, since the one that drops may be a runtime's.
        let cleared = thread::spawn(move || clear(&url, &prefix)).join();
        // What is left expires.
        drop(cleared);
    }
}

/// Takes all keys of a prefix away.
fn clear(redis_url: &str, prefix: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let redis = RedisConfig::new(redis_url.to_owned());
        let Ok(pools) = PoolManager::builder().redis(redis).build() else {
            return;
        };
        let cache = CacheManager::builder()
            .prefix(prefix)
            .command_timeout(CLEARING);
        let cache = pools.redis().and_then(|it| cache.redis(it).build().ok());
        if let Some(cache) = cache {
            drop(tokio::time::timeout(CLEARING, cache.delete_pattern("?*")).await);
        }
        drop(tokio::time::timeout(CLEARING, pools.close()).await);
    });
}
