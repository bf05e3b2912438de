//! Uses scopes as engines and tests do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod assert_statements;
