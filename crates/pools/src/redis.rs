//! Redis: a few connections that all callers share.

mod config;
mod shared;

pub use self::config::RedisConfig;
pub(crate) use self::shared::Redis;
