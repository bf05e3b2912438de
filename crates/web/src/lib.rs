#![doc = include_str!("../README.md")]

#[cfg(feature = "cache")]
mod cached;
mod catch_panic;
mod causal_tokens;
mod compression;
mod failure;
mod n_plus_one;
mod problem;
mod request_id;
mod request_scope;
mod route;
mod timing;

#[cfg(feature = "cache")]
pub use crate::cached::Cached;
pub use crate::{
    catch_panic::{CatchPanic, CatchPanicMiddleware},
    causal_tokens::CausalTokens,
    compression::{
        CompressionBuilder, CompressionFuture, CompressionMiddleware, CompressionService,
        ContentHash, Uncompressed,
    },
    n_plus_one::{NPlusOne, NPlusOneMetrics, NPlusOneMiddleware, NPlusOneMode, NPlusOneTold},
    problem::Problem,
    request_id::{RequestId, RequestIdMiddleware},
    request_scope::{RequestScope, RequestScopeMiddleware},
    timing::{Timing, TimingMiddleware},
};
