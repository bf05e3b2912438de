//! Carries how far the database was when a client has written to that client's next request, so that it
//! sees what it wrote, whatever server is read then.
//!
//! The token goes out as a cookie for browsers and as a header for other clients, and comes back as either.
//! It is signed, for whoever could make one up could lead all reads to the primary, or have none answered.

use std::{fmt, sync::Arc, time::SystemTime};

use actix_web::{
    cookie::{Cookie, SameSite, time::Duration},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue, SET_COOKIE},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use constant_time_eq::constant_time_eq;
use prometheus::{IntCounter, Registry};
use ruleiq_scope::CausalToken;

/// The header's name.
const HEADER: HeaderName = HeaderName::from_static("x-causal-token");
const NAME: &str = "causal_token";
/// Longer than a standby may be behind and still be read, by default.
const LIFETIME_S: u64 = 60;
/// The clocks of instances differ by so much.
const SKEW_S: u64 = 5;

/// The version, system, timeline, position and second.
const PAYLOAD: usize = 1 + 8 + 4 + 8 + 8;
const MAC: usize = 16;
const VERSION: u8 = 1;
/// Tells these keys from others that are made of the same secrets.
const CONTEXT: &str = "ruleiq-web 2026-11-27 causal tokens";

/// Signs and checks the tokens of [`RequestScope::causal`](crate::RequestScope::causal).
///
/// All instances of a service need the same key. A token is at most 64 bytes, holds for a minute, and tells
/// whoever reads it how far the database's log had come.
#[derive(Clone)]
pub struct CausalTokens(Arc<Inner>);

struct Inner {
    /// The first one signs.
    keys: Vec<[u8; 32]>,
    is_secure: bool,
    refused: Refused,
}

/// Counts tokens that were ignored.
struct Refused(IntCounter);

impl Default for Refused {
    fn default() -> Refused {
        let counter = IntCounter::new(
            "ruleiq_web_causal_tokens_refused_total",
            "Tokens of requests that were not ours or not of this minute, and were ignored.",
        );
        Refused(counter.expect("the name is valid"))
    }
}

impl CausalTokens {
    /// With keys that are made of secrets, of 32 random bytes or more: the first one signs, all verify, so that
    /// they can be changed one instance after the other. `is_secure`, for services that are reached by HTTPS,
    /// marks the cookie `Secure`. Without a secret no token is given or taken.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>, is_secure: bool) -> CausalTokens {
        let keys = secrets
            .into_iter()
            .map(|it| blake3::derive_key(CONTEXT, it));
        CausalTokens(Arc::new(Inner {
            keys: keys.collect(),
            is_secure,
            refused: Refused::default(),
        }))
    }

    /// Counts what is refused in this registry.
    ///
    /// # Errors
    ///
    /// When it is registered there already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.0.refused.0.clone()))
    }

    /// A `Set-Cookie` that takes the cookie from a client. Append it to the answer to a request that failed with
    /// `CheckoutError::TokenLost`, or all its requests fail until the token is a minute old.
    pub fn forgotten() -> (HeaderName, HeaderValue) {
        let cookie = "causal_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
        (SET_COOKIE, HeaderValue::from_static(cookie))
    }

    /// What a request brings along.
    pub(crate) fn of(&self, request: &ServiceRequest) -> Option<CausalToken> {
        let headers = request.headers();
        let header = headers.get(HEADER).and_then(|it| it.to_str().ok());
        let now = now();
        let open = |text: &str| self.open(text, now);
        let cookie = request.cookie(NAME);
        let by_cookie = || open(cookie.as_ref()?.value());
        let token = header.and_then(open).or_else(by_cookie);
        if token.is_none() && (header.is_some() || cookie.is_some()) {
            self.0.refused.0.inc();
        }
        token
    }

    /// Gives the client a token.
    pub(crate) fn give<B>(&self, response: &mut ServiceResponse<B>, token: CausalToken) {
        let Some(text) = self.seal(token, now()) else {
            return;
        };
        let cookie = Cookie::build(NAME, text.as_str())
            .path("/")
            .max_age(Duration::seconds(LIFETIME_S.cast_signed()))
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.0.is_secure)
            .finish();
        let headers = response.headers_mut();
        // Base64 is valid in cookies, and all of it in headers.
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            headers.append(SET_COOKIE, value);
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HEADER, value);
        }
    }

    fn seal(&self, token: CausalToken, second: u64) -> Option<String> {
        let key = self.0.keys.first()?;
        let mut bytes = Vec::with_capacity(PAYLOAD + MAC);
        bytes.push(VERSION);
        bytes.extend(token.system.to_be_bytes());
        bytes.extend(token.timeline.to_be_bytes());
        bytes.extend(token.lsn.to_be_bytes());
        bytes.extend(second.to_be_bytes());
        bytes.extend(mac(key, &bytes));
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(&self, text: &str, second: u64) -> Option<CausalToken> {
        let mut bytes = [0; PAYLOAD + MAC];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (payload, theirs) = bytes.split_at(PAYLOAD);
        let is_ours = |key: &[u8; 32]| constant_time_eq(&mac(key, payload), theirs);
        if length != bytes.len() || !self.0.keys.iter().any(is_ours) {
            return None;
        }
        let (version, rest) = payload.split_first()?;
        let (system, rest) = rest.split_first_chunk()?;
        let (timeline, rest) = rest.split_first_chunk()?;
        let (lsn, rest) = rest.split_first_chunk()?;
        let made = u64::from_be_bytes(rest.try_into().ok()?);
        let is_of_now = second <= made.saturating_add(LIFETIME_S) && made <= second + SKEW_S;
        (*version == VERSION && is_of_now).then(|| CausalToken {
            system: u64::from_be_bytes(*system),
            timeline: u32::from_be_bytes(*timeline),
            lsn: u64::from_be_bytes(*lsn),
        })
    }
}

fn mac(key: &[u8; 32], payload: &[u8]) -> [u8; MAC] {
    let hash = blake3::keyed_hash(key, payload);
    let mut mac = [0; MAC];
    mac.copy_from_slice(&hash.as_bytes()[..MAC]);
    mac
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| it.as_secs())
}

impl fmt::Debug for CausalTokens {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CausalTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn tokens() -> CausalTokens {
        CausalTokens::new([&b"new"[..], b"old"], true)
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened_for_a_minute(system: u64, timeline: u32, lsn: u64) {
            let token = CausalToken { system, timeline, lsn };
            let text = tokens().seal(token, NOW).unwrap();
            prop_assert!(text.len() <= 64, "{text}");
            for second in [NOW - SKEW_S, NOW, NOW + LIFETIME_S] {
                prop_assert_eq!(tokens().open(&text, second), Some(token));
            }
            for second in [NOW - SKEW_S - 1, NOW + LIFETIME_S + 1] {
                prop_assert_eq!(tokens().open(&text, second), None);
            }
            let old = CausalTokens::new([&b"old"[..]], true);
            prop_assert_eq!(old.open(&text, NOW), None);
            prop_assert_eq!(tokens().open(&old.seal(token, NOW).unwrap(), NOW), Some(token));
            let none = CausalTokens::new([], true);
            prop_assert_eq!((none.seal(token, NOW), none.open(&text, NOW)), (None, None));
        }

        #[test]
        fn what_was_changed_is_not_opened(at in 0_usize..64, with in "[A-Za-z0-9_-]") {
            let token = CausalToken { system: 1, timeline: 2, lsn: 3 };
            let text = tokens().seal(token, NOW).unwrap();
            let at = at % text.len();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(tokens().open(&changed, NOW).is_some(), changed == text);
        }

        #[test]
        fn nonsense_is_not_opened(text in ".{0,100}") {
            prop_assert_eq!(tokens().open(&text, NOW), None);
        }
    }

    #[test]
    fn the_key_does_not_show() {
        assert_eq!(format!("{:?}", tokens()), "CausalTokens { .. }");
    }
}
