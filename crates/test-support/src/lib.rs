#![doc = include_str!("../README.md")]

mod address;
mod background;
mod database;
mod error;
mod eventually;
mod own_servers;
mod proxy;
mod redis;

pub use ruleiq_servers::{PostgresSpec, RedisSpec, Spec, Which};

pub use crate::{
    database::TestDatabase, eventually::eventually, own_servers::OwnServers, proxy::FaultProxy,
    redis::TestRedis,
};
