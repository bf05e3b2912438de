//! Access tokens: short-lived JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256.
//!
//! Each names its key by `kid`, so that keys rotate without logging anybody out: put the new key
//! first, and remove the old one when its last token has expired. A verified token is remembered
//! for at most [`REMEMBERED`], by its digest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Identity, hmac};

/// How long a verified token is believed without looking again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many verified tokens are remembered.
const MAX_REMEMBERED: usize = 10_000;
/// Longer ones are not ours.
const MAX_TOKEN_BYTES: usize = 2_048;
const ISSUER: &str = "ruleiq";
const KEY_BYTES: usize = 32;

/// Signs and verifies access tokens.
pub(crate) struct Tokens {
    keys: Vec<Key>,
    validation: Validation,
    ttl: Duration,
    verified: Cache<[u8; 32], Verified>,
}

/// Why the signing keys cannot be used. It quotes no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum InvalidKeys {
    #[error("key {number} of JWT_KEYS is not `kid:key`")]
    Format { number: usize },
    #[error("key `{kid}` of JWT_KEYS is not base64url of at least {KEY_BYTES} bytes")]
    Key { kid: String },
    #[error("JWT_KEYS names `{kid}` twice")]
    Twice { kid: String },
}

struct Key {
    kid: String,
    signs: EncodingKey,
    verifies: DecodingKey,
}

#[derive(Clone, Copy)]
struct Verified {
    identity: Identity,
    until: Instant,
}

#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    admin: bool,
    iat: u64,
    exp: u64,
    jti: Uuid,
}

impl Tokens {
    /// Reads keys in the form `kid:key,…`.
    ///
    /// # Errors
    ///
    /// A key that is malformed, too short or named twice.
    pub(crate) fn new(keys: &SecretString, ttl: Duration) -> Result<Tokens, InvalidKeys> {
        hmac::install();
        let keys = keys
            .expose_secret()
            .split(',')
            .enumerate()
            .map(|(index, text)| Key::parse(index + 1, text.trim()))
            .collect::<Result<Vec<Key>, InvalidKeys>>()?;
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|it| it.kid == key.kid) {
                return Err(InvalidKeys::Twice {
                    kid: key.kid.clone(),
                });
            }
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Only this service makes and reads them, so there are no clocks to differ.
        validation.leeway = 0;
        Ok(Tokens {
            keys,
            validation,
            ttl,
            verified: Cache::new(MAX_REMEMBERED),
        })
    }

    /// How long a token is valid.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Signs a token.
    ///
    /// # Errors
    ///
    /// None that an input could cause.
    pub(crate) fn sign(&self, identity: Identity) -> jsonwebtoken::errors::Result<String> {
        let now = unix_now();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: identity.user_id,
            admin: identity.is_admin,
            iat: now.as_secs(),
            exp: (now + self.ttl).as_secs(),
            jti: Uuid::new_v4(),
        };
        let key = &self.keys[0];
        let header = Header {
            kid: Some(key.kid.clone()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &key.signs)
    }

    /// The identity that a token proves, if it is valid.
    pub(crate) fn verify(&self, token: &str) -> Option<Identity> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let digest = sha256(token.as_bytes());
        let now = Instant::now();
        if let Some(known) = self.verified.get(&digest).filter(|it| now < it.until) {
            return Some(known.identity);
        }
        let claims = self.decode(token)?;
        let left = Duration::from_secs(claims.exp).checked_sub(unix_now())?;
        let identity = Identity {
            user_id: claims.sub,
            is_admin: claims.admin,
        };
        let until = now + left.min(REMEMBERED);
        self.verified.insert(digest, Verified { identity, until });
        Some(identity)
    }

    fn decode(&self, token: &str) -> Option<Claims> {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = self.keys.iter().find(|it| it.kid == kid)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.verifies, &self.validation);
        Some(data.ok()?.claims)
    }
}

impl Key {
    fn parse(number: usize, text: &str) -> Result<Key, InvalidKeys> {
        let (kid, key) = text
            .split_once(':')
            .filter(|(kid, _)| !kid.is_empty() && kid.len() <= 64)
            .ok_or(InvalidKeys::Format { number })?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(key.trim_end_matches('='))
            .ok()
            .filter(|it| it.len() >= KEY_BYTES)
            .ok_or_else(|| InvalidKeys::Key {
                kid: kid.to_owned(),
            })?;
        Ok(Key {
            kid: kid.to_owned(),
            signs: EncodingKey::from_secret(&bytes),
            verifies: DecodingKey::from_secret(&bytes),
        })
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kids: Vec<&str> = self.keys.iter().map(|it| it.kid.as_str()).collect();
        f.debug_struct("Tokens")
            .field("kids", &kids)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// The digest under which a secret is kept instead of the secret.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock stands after 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
    const NEW: &str = "new:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY";

    fn tokens(keys: &str, ttl: u64) -> Tokens {
        Tokens::new(&keys.into(), Duration::from_secs(ttl)).unwrap()
    }

    fn somebody() -> Identity {
        Identity {
            user_id: Uuid::new_v4(),
            is_admin: true,
        }
    }

    #[test]
    fn a_token_proves_who_it_was_made_for() {
        let (tokens, identity) = (tokens(OLD, 60), somebody());
        let token = tokens.sign(identity).unwrap();

        assert_eq!(tokens.verify(&token), Some(identity));
        assert_eq!(tokens.verify(&token), Some(identity), "remembered");
    }

    #[test]
    fn keys_rotate_without_logging_anybody_out() {
        let identity = somebody();
        let token = tokens(OLD, 60).sign(identity).unwrap();

        assert_eq!(
            tokens(&format!("{NEW},{OLD}"), 60).verify(&token),
            Some(identity)
        );
        assert_eq!(tokens(NEW, 60).verify(&token), None);
    }

    #[test]
    fn what_is_not_a_valid_token_proves_nothing() {
        let tokens = tokens(OLD, 60);
        let good = tokens.sign(somebody()).unwrap();
        let (head, signature) = good.rsplit_once('.').unwrap();
        let (first, rest) = signature.split_at(1);
        let first_changed = if first == "A" { "B" } else { "A" };
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT","kid":"old"}"#);
        let payload = head.split_once('.').unwrap().1;
        let hs512 = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT","kid":"old"}"#);
        for token in [
            String::new(),
            "a.b.c".to_owned(),
            head.to_owned(),
            format!("{head}."),
            format!("{head}.{first_changed}{rest}"),
            format!("{unsigned}.{payload}."),
            format!("{unsigned}.{payload}.{signature}"),
            format!("{hs512}.{payload}.{signature}"),
            "x".repeat(1 << 20),
        ] {
            assert_eq!(tokens.verify(&token), None, "{token:.80}");
        }
    }

    #[test]
    fn an_expired_token_proves_nothing() {
        let tokens = tokens(OLD, 0);
        let token = tokens.sign(somebody()).unwrap();
        assert_eq!(tokens.verify(&token), None);
    }

    #[test]
    fn malformed_keys_are_refused_and_never_shown() {
        for (keys, expected) in [
            ("", "key 1 of JWT_KEYS is not `kid:key`"),
            ("hunter2hunter2", "key 1 of JWT_KEYS is not `kid:key`"),
            (
                "a:hunter2",
                "key `a` of JWT_KEYS is not base64url of at least 32 bytes",
            ),
        ] {
            let error = Tokens::new(&keys.into(), Duration::ZERO).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let twice = Tokens::new(&format!("{OLD},{OLD}").into(), Duration::ZERO).unwrap_err();
        assert_eq!(twice.to_string(), "JWT_KEYS names `old` twice");
    }
}
