#![doc = include_str!("../README.md")]

mod applied;
mod connection;
mod error;
mod migration;
mod migrator;
mod ownership;

pub use crate::{
    error::Error,
    migration::{InvalidMigration, MigrationFile},
    migrator::{Migrator, Report, Status, Target, latest_version},
    ownership::{Ownership, require_ours},
};
