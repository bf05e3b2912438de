//! A running service and the command measure the same work under the same name.

use actix_web::{App, HttpRequest, test};
use ruleiq_bench_cases::{Options, cases};
use ruleiq_metrics::Metrics;
use ruleiq_performance::{
    Performance,
    benchmark::{Benchmark, ruleiq_cases},
    cache::CacheManager,
    pools::{PoolManager, PostgresConfig, RedisConfig},
};
use serde_json::Value;

use crate::surroundings::Surroundings;

/// What decides how much one operation is, and how many are under way at once.
const DECISIVE: [&str; 7] = [
    "tasks",
    "at_once",
    "keys",
    "value_bytes",
    "per_operation",
    "body_bytes",
    "threads",
];

fn everybody(_: &HttpRequest) -> Result<(), actix_web::Error> {
    Ok(())
}

/// What a service of ours reports of itself.
async fn report(surroundings: &Surroundings) -> Value {
    let env = &surroundings.env;
    let database = PostgresConfig::new(env.database_url().unwrap().to_owned());
    let redis = RedisConfig::new(env.redis_url().unwrap());
    let pools = PoolManager::builder().postgres(database).redis(redis);
    let performance = Performance::builder()
        .pools(pools.build().unwrap())
        .cache(CacheManager::builder().build().unwrap())
        .metrics(Metrics::new())
        .admin(everybody)
        .benchmark(Benchmark::new(ruleiq_cases()))
        .build()
        .unwrap();
    let app = App::new().configure(|config| performance.configure(config));
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri("/api/v1/performance/benchmark?iterations=10")
        .insert_header(("authorization", "Bearer of-somebody"))
        .to_request();
    test::call_and_read_body_json(&app, request).await
}

#[actix_web::test]
async fn it_is_what_the_command_measures_with_two_tasks() {
    let surroundings = Surroundings::new().await;
    let report = report(&surroundings).await;
    let options = Options {
        concurrency: Some(2),
        tiny: false,
    };
    let of_command = cases::all(&options);
    let rows = report["results"].as_array().unwrap();
    assert!(!rows.is_empty(), "{report}");
    for row in rows {
        let name = (row["component"].as_str(), row["case"].as_str());
        let case = of_command.iter().find(|it| {
            (Some(&*it.name().component), Some(&*it.name().case)) == name
                && it.name().variant.is_empty()
        });
        let case = case.unwrap_or_else(|| panic!("the command has no {name:?}"));
        let mut compared = 0;
        for field in DECISIVE {
            let (here, there) = (&row["settings"][field], &case.settings()[field]);
            // A service counts the keys that it found; the command says how it draws them.
            if here.is_number() && there.is_number() {
                assert_eq!(here, there, "`{field}` of {name:?}");
                compared += 1;
            }
        }
        assert!(compared > 0, "{name:?} says nothing: {row}");
    }
}
