//! Writes to and reads from Redis through the shared connections.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features redis --example use_redis -- URL`

#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;

use fred::interfaces::KeysInterface as _;
use ruleiq_pools::{PoolManager, RedisConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("give the URL of a Redis")?;
    let pools = PoolManager::builder()
        .redis(RedisConfig::new(url))
        .build()?;
    let redis = pools.redis().ok_or("the manager has a Redis")?;

    let key = format!("ruleiq-example:{}", std::process::id());
    let visits: u64 = redis.incr(&key).await?;
    let _: u64 = redis.del(&key).await?;
    println!("visit {visits}");

    let stats = pools.stats().redis.ok_or("the manager has a Redis")?;
    println!(
        "{} of {} connections are up",
        stats.checked_in + stats.checked_out,
        stats.size
    );
    pools.close().await;
    Ok(())
}
