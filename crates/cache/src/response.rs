//! Bodies of responses, kept as bytes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CacheManager, LoadError, Policy};

/// Of a hash: 128 bits, as two bodies with one tag would be one to every client.
const TAG_BYTES: usize = 16;

/// The body of a response, as it is before any content coding, with an entity tag that is a hash of it. A hit
/// neither encodes nor hashes anything.
///
/// Codings are made of it elsewhere, and can be remembered by its tag: equal tags mean equal bodies.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Response {
    content_type: String,
    etag: String,
    body: Bytes,
    #[serde(skip)]
    is_private: bool,
}

impl Response {
    /// A response that whoever asks for its key may have.
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Response {
        let (content_type, body) = (content_type.into(), body.into());
        let mut hasher = blake3::Hasher::new();
        // The type is a part of what a client sees; no type contains the separator.
        hasher.update(content_type.as_bytes());
        hasher.update(&[0]);
        hasher.update(&body);
        let etag = hasher.finalize().to_hex()[..2 * TAG_BYTES].to_owned();
        Response {
            content_type,
            etag,
            body,
            is_private: false,
        }
    }

    /// The same, for the one who has asked alone: it is kept nowhere and shared with nobody.
    #[must_use]
    pub fn private(mut self) -> Response {
        self.is_private = true;
        self
    }

    /// Whether it is for the one who has asked alone.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// What `Content-Type` says.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The opaque part of a strong entity tag (RFC 9110, section 8.8.3), without its quotes: 32 hexadecimal digits of
    /// the BLAKE3 hash of type and body.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The body. Clones share it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The load has given what nobody else may have.
enum Unkept<E> {
    Private,
    Failed(Arc<E>),
}

impl CacheManager {
    /// [`get_or_load`](CacheManager::get_or_load) for a response. One that its load calls
    /// [private](Response::private) goes to the caller whose load it is; whoever waited for it loads for itself. It
    /// counts as a load without a value.
    ///
    /// # Errors
    ///
    /// Those of [`get_or_load`](CacheManager::get_or_load), whoever's load it is.
    ///
    /// # Cancel safety
    ///
    /// That of [`get_or_load`](CacheManager::get_or_load).
    #[allow(
        clippy::missing_panics_doc,
        reason = "each load is there until it is begun, once"
    )]
    pub async fn get_or_load_response<E, F, Fut>(
        &self,
        key: &str,
        policy: impl Into<Policy>,
        load: F,
    ) -> Result<Arc<Response>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Response, E>>,
    {
        let limits = self.inner.limits();
        let (mut load, own) = (Some(load), OnceLock::new());
        let loading = || {
            let (load, own) = (load.take(), &own);
            async move {
                let load = load.expect("a load is begun once");
                let response = load().await;
                let response = response.map_err(|it| Unkept::Failed(Arc::new(it)))?;
                if response.is_private {
                    drop(own.set(response));
                    return Err(Unkept::Private);
                }
                Ok(response)
            }
        };
        let shared = self.get_or_load(key, policy, loading).await;
        if let Some(own) = own.into_inner() {
            return Ok(Arc::new(own));
        }
        match shared {
            Ok(response) => Ok(response),
            Err(LoadError::Failed(unkept)) => match (unkept.as_ref(), load) {
                (Unkept::Failed(error), _) => Err(LoadError::Failed(Arc::clone(error))),
                (Unkept::Private, load) => {
                    let load = load.expect("whose load was private has its response");
                    let inner = &self.inner;
                    inner.run(key, limits, false, load).await?.into_result()
                }
            },
            Err(LoadError::TimedOut { after }) => Err(LoadError::TimedOut { after }),
            Err(LoadError::Panicked { message }) => Err(LoadError::Panicked { message }),
        }
    }
}
