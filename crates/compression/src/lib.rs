#![doc = include_str!("../README.md")]

mod accept_encoding;
mod arena;
mod coding;
mod config;
mod cost;
mod encoder;
mod error;
mod memo;
mod metrics;
mod policy;
mod pool;
mod stream;

pub use crate::{
    accept_encoding::{AcceptEncoding, NotAcceptable, Preferred},
    coding::{Choice, Coding},
    config::Config,
    encoder::Encoder,
    error::{BuildError, EncodeError},
    memo::{Memo, Variant},
    metrics::CompressionMetrics,
    policy::{Policy, Skip},
    stream::StreamEncoder,
};
