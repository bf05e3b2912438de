//! Looks a slow answer up twice: the second time it comes from the cache.
//!
//! `REDIS_URL=redis://127.0.0.1 cargo run -p ruleiq-cache --example lookup`

use std::{error::Error, time::Duration};

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{
        Builder,
        config::{Config, ReconnectPolicy},
    },
};
use ruleiq_cache::CacheManager;

fn connect(url: &str) -> Result<Client, fred::error::Error> {
    let mut config = Config::from_url(url)?;
    // The program starts without Redis, too.
    config.fail_fast = false;
    let reconnect = ReconnectPolicy::new_exponential(0, 50, 2_000, 2);
    let client = Builder::from_config(config).set_policy(reconnect).build()?;
    client.connect();
    Ok(client)
}

/// Answers how often the slow way was taken.
pub(crate) async fn look_up_twice(url: &str, prefix: &str) -> Result<u32, Box<dyn Error>> {
    let client = connect(url)?;
    let cache = CacheManager::builder()
        .redis(client)
        .prefix(prefix)
        .build()?;
    let mut asked = 0;
    for _ in 0..2 {
        let answer = cache.get_or_load("answer", Duration::from_secs(60), || async {
            asked += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<u32, fred::error::Error>(42)
        });
        assert_eq!(*answer.await?, 42);
    }
    cache.delete(&["answer"]).await;
    Ok(asked)
}

#[allow(clippy::print_stdout, reason = "it is for people")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    let asked = look_up_twice(&url, "lookup").await?;
    println!("looked up twice, asked {asked} time(s)");
    Ok(())
}
