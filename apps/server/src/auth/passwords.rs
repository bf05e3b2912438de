//! Passwords, hashed with Argon2id (RFC 9106) at the parameters that OWASP recommends: 19 MiB,
//! two passes, one lane.
//!
//! A hash costs tens of milliseconds of a core, so it runs on the blocking pool, at most
//! [`AT_ONCE`] at a time; who waits longer than [`MAX_WAIT`] is told to come again.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, time};

use crate::error::ApiError;

/// How many hashes are computed at once, whatever the number of cores.
const AT_ONCE: usize = 4;
/// How long a caller waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Computes and checks password hashes.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    /// The hash of a password that nobody knows, checked in place of a user that does not exist.
    decoy: Arc<str>,
}

impl Passwords {
    /// Takes as long as one hash.
    pub(crate) fn new() -> Passwords {
        let unknown = uuid::Uuid::new_v4();
        Passwords {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            decoy: hash(unknown.as_bytes()).into(),
        }
    }

    /// Hashes a password, with a salt of its own.
    ///
    /// # Errors
    ///
    /// 503 when too many wait.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.run(move || hash(password.expose_secret().as_bytes()))
            .await
    }

    /// Whether the password is the one that was hashed. Without a hash it is not, and finding
    /// that out takes as long.
    ///
    /// # Errors
    ///
    /// 503 when too many wait.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, ApiError> {
        let decoy = Arc::clone(&self.decoy);
        self.run(move || {
            // A hash that cannot be read marks a user who cannot log in.
            let stored = hash.as_deref().filter(|it| PasswordHash::new(it).is_ok());
            let matches = matches(&password, stored.unwrap_or(&decoy));
            matches && stored.is_some()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = time::timeout(MAX_WAIT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| ApiError::unavailable("login_busy", "too many are logging in"))?
            .expect("the semaphore is never closed");
        let job = move || {
            // Held by the job, not by the caller: a caller that leaves does not make room.
            let _permit = permit;
            job()
        };
        tokio::task::spawn_blocking(job)
            .await
            .map_err(ApiError::internal)
    }
}

fn hash(password: &[u8]) -> String {
    Argon2::default()
        .hash_password(password)
        .expect("the default parameters are valid and the system has random numbers")
        .to_string()
}

fn matches(password: &SecretString, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();

        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verify = |password: &str, hash: Option<&str>| {
            passwords.verify(password.into(), hash.map(ToOwned::to_owned))
        };
        assert!(verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!verify("wrong horse", Some(&hash)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(!verify("!", Some("!")).await.unwrap());
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap());
    }

    #[tokio::test]
    async fn a_caller_that_leaves_gives_its_place_back() {
        let passwords = Passwords::new();
        for _ in 0..3 * AT_ONCE {
            let abandoned = passwords.hash("x".into());
            drop(time::timeout(Duration::ZERO, abandoned).await);
        }
        assert!(passwords.hash("x".into()).await.is_ok());
        let all = passwords
            .permits
            .acquire_many(u32::try_from(AT_ONCE).unwrap())
            .await;
        assert!(all.is_ok());
    }
}
