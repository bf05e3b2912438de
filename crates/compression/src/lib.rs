#![doc = include_str!("../README.md")]

mod accept_encoding;
mod coding;
mod config;
mod cost;
mod encoder;
mod error;
mod metrics;
mod policy;
mod pool;

pub use crate::{
    accept_encoding::{AcceptEncoding, NotAcceptable},
    coding::Coding,
    config::Config,
    encoder::Encoder,
    error::{BuildError, EncodeError},
    metrics::CompressionMetrics,
    policy::{Policy, Skip},
};
