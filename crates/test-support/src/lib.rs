#![doc = include_str!("../README.md")]

mod address;
mod background;
mod database;
mod error;
mod eventually;
mod proxy;
mod redis;

pub use crate::{
    database::TestDatabase, eventually::eventually, proxy::FaultProxy, redis::TestRedis,
};
