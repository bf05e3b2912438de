//! Serves the monitoring endpoints over a database and a Redis, until it is interrupted.
//!
//! ```text
//! cargo run -p ruleiq-performance --example serve -- postgres://localhost/shop redis://localhost
//! curl -H 'Authorization: Bearer let-me-in' localhost:8080/api/v1/performance/database/stats
//! ```

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{env, error::Error, time::Duration};

use actix_web::{App, HttpRequest, HttpServer, http::StatusCode};
use ruleiq_performance::{
    Performance,
    cache::CacheManager,
    metrics::Metrics,
    pools::{PoolManager, PostgresConfig, RedisConfig},
    web::{Problem, RequestId, RequestScope, Timing},
};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut urls = env::args().skip(1);
    let (Some(postgres), Some(redis)) = (urls.next(), urls.next()) else {
        return Err("name a database and a Redis: postgres://… redis://…".into());
    };
    let pools = PoolManager::builder()
        .postgres(PostgresConfig::new(postgres))
        .redis(RedisConfig::new(redis))
        .build()?;
    let mut cache = CacheManager::builder();
    if let Some(client) = pools.redis() {
        cache = cache.redis(client);
    }
    let metrics = Metrics::new();
    let performance = Performance::builder()
        .pools(pools.clone())
        .cache(cache.build()?)
        .metrics(metrics.clone())
        .admin(only_admins)
        .build()?;

    println!("http://127.0.0.1:8080/health");
    let timing = Timing::new(metrics);
    HttpServer::new(move || {
        App::new()
            .configure(|config| performance.configure(config))
            .wrap(RequestScope::new(Duration::from_secs(30)))
            .wrap(timing.clone())
            .wrap(RequestId::new())
    })
    .bind(("127.0.0.1", 8080))?
    .run()
    .await?;
    pools.close().await;
    Ok(())
}

fn only_admins(request: &HttpRequest) -> Result<(), actix_web::Error> {
    match request.headers().get("authorization") {
        Some(it) if it == "Bearer let-me-in" => Ok(()),
        _ => Err(Problem::new(StatusCode::UNAUTHORIZED, "token_invalid", "log in").into()),
    }
}
