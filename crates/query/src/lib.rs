#![doc = include_str!("../README.md")]

mod driver;
mod error;
mod fingerprint;
mod lexer;
mod queries;
mod statement;

pub use crate::{
    error::Error,
    fingerprint::Fingerprint,
    lexer::{Token, TokenKind, Tokens, tokens},
    queries::{Queries, Read},
    statement::{Sql, Statement},
};
