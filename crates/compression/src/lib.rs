#![doc = include_str!("../README.md")]

mod accept_encoding;
mod arena;
mod body;
mod coding;
mod config;
mod cost;
mod effort;
mod encoder;
mod error;
mod load;
mod memo;
mod metrics;
mod policy;
mod pool;
mod stream;

pub use crate::{
    accept_encoding::{AcceptEncoding, NotAcceptable, Preferred},
    body::{Body, Kind},
    coding::{Choice, Coding},
    config::{Config, Levels, Preference, Route},
    effort::{Effort, Reason},
    encoder::Encoder,
    error::{BuildError, EncodeError},
    load::{Load, LoadHandle, LoadMeter},
    memo::{Memo, Variant},
    metrics::CompressionMetrics,
    policy::{Policy, Skip},
    stream::StreamEncoder,
};
