//! What can go wrong, for callers who ask Redis for something and for callers who wait for a load.

use std::{sync::Arc, time::Duration};

use crate::{
    MAX_KEY_BYTES, MAX_TTL,
    tags::{MAX_TAG_BYTES, MAX_TAGS},
};

/// Why the cache did not do what it was told.
///
/// Reads never give one: to them, a Redis that is away is a miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value cannot be written, neither as postcard nor as JSON.
    #[error("the value of `{key}` cannot be encoded")]
    Encode {
        /// Of which key.
        key: String,
        /// What the encoder says.
        #[source]
        source: serde_json::Error,
    },
    /// The key is out of bounds.
    #[error("a key of {bytes} bytes is out of bounds: give one of 1 to {MAX_KEY_BYTES}")]
    KeyOutOfBounds {
        /// Its length.
        bytes: usize,
    },
    /// The value is too large to be kept.
    #[error(
        "the value of `{key}` takes {bytes} bytes: keep less of it, or raise `max_value_bytes`, which is {limit}"
    )]
    ValueTooLarge {
        /// Of which key.
        key: String,
        /// Its size, as encoded.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A value has too many tags.
    #[error("a value with {count} tags is not kept: give at most {MAX_TAGS}")]
    TooManyTags {
        /// How many, tables included.
        count: usize,
    },
    /// A tag is out of bounds.
    #[error("a tag of {bytes} bytes is out of bounds: give one of 1 to {MAX_TAG_BYTES}")]
    TagOutOfBounds {
        /// Its length.
        bytes: usize,
    },
    /// The pattern would take everything away.
    #[error("`{pattern}` matches every key: call `clear` if that is meant")]
    MatchesEverything {
        /// What was given.
        pattern: String,
    },
    /// The time to live is out of bounds.
    #[error(
        "a time to live of {ttl:?} is out of bounds: give more than zero and at most {MAX_TTL:?}"
    )]
    TtlOutOfBounds {
        /// What was given.
        ttl: Duration,
    },
    /// Redis did not answer, and nothing is known to have changed.
    #[error("redis did not answer within {after:?}: try again, or do without the cache")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// Redis cannot be reached, or could not be a moment ago.
    #[error("redis cannot be reached: try again, or do without the cache")]
    Unavailable {
        /// What the connection says; `None` where Redis was not asked, because it has just failed.
        #[source]
        source: Option<fred::error::Error>,
    },
    /// Redis refused.
    #[error("redis refused the command: see its answer and its log")]
    Refused {
        /// What it says.
        #[source]
        source: fred::error::Error,
    },
}

/// Why [`get_or_load`](crate::CacheManager::get_or_load) has no value.
///
/// It never speaks of Redis: a load that succeeds is a value, whatever Redis does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The load failed. All who waited for it share its error.
    #[error("the value could not be loaded")]
    Failed(#[source] Arc<E>),
    /// The value did not come in time: see [`Scope`](ruleiq_scope::Scope)'s deadline and
    /// [`load_timeout`](crate::Builder::load_timeout).
    #[error("the value did not come within {after:?}")]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The load panicked.
    #[error("the load panicked: `{message}`")]
    Panicked {
        /// What the panic said.
        message: Arc<str>,
    },
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> LoadError<E> {
        match self {
            LoadError::Failed(error) => LoadError::Failed(Arc::clone(error)),
            LoadError::TimedOut { after } => LoadError::TimedOut { after: *after },
            LoadError::Panicked { message } => LoadError::Panicked {
                message: Arc::clone(message),
            },
        }
    }
}
