//! Redis: a few connections that all callers share.

mod config;
mod info;
mod shared;
mod watch;

pub(crate) use self::shared::Redis;
pub use self::{config::RedisConfig, info::RedisInfo};
