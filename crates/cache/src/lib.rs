#![doc = include_str!("../README.md")]

#[doc(hidden)]
pub mod __macro;
mod ambient;
mod backplane;
mod breaker;
mod builder;
mod codec;
mod detached;
mod envelope;
mod error;
mod fence;
mod glob;
mod history;
mod invalidate;
mod l1;
mod l2;
mod load;
mod look;
mod manager;
mod metrics;
mod names;
mod nothing;
mod only;
mod payload;
mod pending;
mod policy;
mod prefixes;
mod read;
mod response;
mod scripts;
mod stats;
mod store;
mod tags;
mod tracking;
pub mod ttl;
mod warm;
mod write;

pub use ruleiq_cache_macros::{cached, cached_query};

pub use crate::{
    ambient::{AlreadyInstalled, install, installed, runs_without_cache},
    builder::{BuildError, Builder, Coherence},
    codec::Codec,
    detached::Detached,
    error::{Error, LoadError},
    manager::{CacheManager, MAX_KEY_BYTES, MAX_TTL},
    metrics::CacheMetrics,
    policy::Policy,
    response::Response,
    stats::{PrefixStats, Stats},
    tags::{MAX_TAG_BYTES, MAX_TAGS},
    warm::{Warmed, Warming},
};
