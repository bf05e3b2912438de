//! The content codings.

use std::fmt;

use serde::Deserialize;

/// A content coding that a response can be encoded in.
///
/// `identity`, which is no coding, is spelled `None` where a `Coding` may be missing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
pub enum Coding {
    /// RFC 7932. The fewest bytes.
    #[serde(rename = "br")]
    Brotli,
    /// RFC 8878. The least CPU for its bytes.
    #[serde(rename = "zstd")]
    Zstd,
    /// RFC 1952. Understood by everyone.
    #[serde(rename = "gzip")]
    Gzip,
}

impl Coding {
    /// All of them, in the order in which a tie is broken by default.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// The token that stands in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }
}

/// A coding at one of its levels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Choice {
    /// The coding.
    pub coding: Coding,
    /// Its level.
    pub level: i32,
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
