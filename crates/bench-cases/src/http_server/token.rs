//! Access tokens of a server whose key we made: JSON Web Tokens (RFC 7519), HMAC-SHA-256.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use uuid::Uuid;

const KEY_ID: &str = "bench";
const A_DAY_S: u64 = 24 * 3600;

/// Signs tokens with a random key.
pub(super) struct Signer {
    bytes: [u8; 32],
}

impl Signer {
    pub(super) fn new() -> Signer {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Signer { bytes }
    }

    /// The key, as the server's setting names it.
    pub(super) fn setting(&self) -> String {
        format!("{KEY_ID}:{}", BASE64_URL_SAFE_NO_PAD.encode(self.bytes))
    }

    pub(super) fn sign(&self, user_id: Uuid, is_admin: bool) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("the clock stands after 1970").as_secs();
        let header = json!({ "typ": "JWT", "alg": "HS256", "kid": KEY_ID });
        let claims = json!({
            "iss": "ruleiq", "sub": user_id, "admin": is_admin,
            "iat": now, "exp": now + A_DAY_S, "jti": Uuid::new_v4(),
        });
        let part = |it: &Value| BASE64_URL_SAFE_NO_PAD.encode(it.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let signature = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
