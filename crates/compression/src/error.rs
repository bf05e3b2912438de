//! The errors of building and of encoding.

use std::io;

use crate::Coding;

/// Why an encoder cannot be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The coding has no such level, or none that a response could be encoded at.
    #[error("{coding} has no level `{level}`; choose one of {choice}")]
    Level {
        /// The coding.
        coding: Coding,
        /// The level asked for.
        level: i32,
        /// The levels that there are.
        choice: &'static str,
    },

    /// A path that no request has.
    #[error("the path `{path}` covers nothing; a path begins with `/`")]
    Path {
        /// The path.
        path: Box<str>,
    },
}

/// Why a body was not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Brotli gave up; it does not say why.
    #[error("the brotli encoder failed")]
    Brotli,

    /// zstd gave up, for lack of memory.
    #[error("the zstd encoder failed")]
    Zstd(#[source] io::Error),

    /// The body has ended already.
    #[error("the body has ended already")]
    Ended,

    /// gzip gave up.
    #[error("the gzip encoder failed")]
    Gzip(#[source] flate2::CompressError),
}
