//! What handlers share, and how requests reach them.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use ruleiq_cache::CacheManager;
use ruleiq_pools::{CheckoutError, PoolManager, ReadSession, Reader, Session};
use secrecy::SecretString;

use crate::auth::{LoginLimit, Passwords, Tokens};

/// The parts of the running server.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) pools: PoolManager,
    pub(crate) cache: CacheManager,
    pub(crate) tokens: Tokens,
    pub(crate) refresh_token_ttl: Duration,
    pub(crate) passwords: Passwords,
    pub(crate) login_limit: LoginLimit,
    pub(crate) metrics_token: Option<SecretString>,
    /// Whether the server is going down, and wants no more traffic.
    pub(crate) draining: AtomicBool,
}

impl App {
    /// A connection to the database.
    #[track_caller]
    pub(crate) fn session(
        &self,
    ) -> impl Future<Output = Result<Session, CheckoutError>> + Send + use<> {
        self.pools.session()
    }

    /// A connection to read from, of whichever server has what the request has written.
    #[track_caller]
    pub(crate) fn read_session(
        &self,
    ) -> impl Future<Output = Result<ReadSession, CheckoutError>> + Send + use<> {
        self.pools.read_session()
    }

    /// Reads of one quick statement, from the primary.
    pub(crate) fn reader(&self) -> Reader {
        self.pools.reader()
    }

    /// Answers from now on that the server wants no more traffic.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
