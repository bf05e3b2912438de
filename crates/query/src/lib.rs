#![doc = include_str!("../README.md")]

mod driver;
mod error;
mod fingerprint;
mod queries;
mod statement;

pub use crate::{
    error::Error,
    fingerprint::Fingerprint,
    queries::{Queries, Read},
    statement::{Sql, Statement},
};
