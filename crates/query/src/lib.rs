#![doc = include_str!("../README.md")]

mod arguments;
mod driver;
mod error;
mod fingerprint;
mod lexer;
mod queries;
mod shape;
mod statement;

pub use crate::{
    arguments::Arguments,
    error::Error,
    fingerprint::Fingerprint,
    lexer::{Token, TokenKind, Tokens, tokens},
    queries::{Queries, Read},
    shape::Shape,
    statement::{Sql, Statement},
};
