//! Starting, what is then there, and stopping.

use ruleiq_servers::{Error, PostgresSpec, Spec, Supervised};

use crate::{
    client::{redis, sql},
    home::{Home, runs},
};

#[test]
fn both_servers_answer_and_are_gone_after_the_drop() {
    let home = Home::new();
    let servers = home.start(&Spec::temporary());
    let database = servers.postgres_url().unwrap().to_owned();
    let cache = servers.redis_url().unwrap().to_owned();
    let pids = home.pids("process");

    assert_eq!(sql(&database, &["SELECT 'one'"]).unwrap(), "one");
    assert_eq!(redis(&cache, "PING").unwrap(), "+PONG");
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(*pid)));

    drop(servers);
    assert!(!pids.iter().any(|pid| runs(*pid)));
    assert!(home.temporary().is_empty());
    assert!(sql(&database, &["SELECT 1"]).is_err());
    assert!(redis(&cache, "PING").is_err());
}

#[test]
fn nobody_gets_in_without_the_password() {
    let home = Home::new();
    let servers = home.start(&Spec::temporary());
    let without = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (credentials, address) = rest.split_once('@').unwrap();
        let user = credentials.split(':').next().unwrap();
        format!("{scheme}://{user}:wrong@{address}")
    };

    let database = without(servers.postgres_url().unwrap());
    assert!(sql(&database, &["SELECT 1"]).is_err());
    let cache = without(servers.redis_url().unwrap());
    let answer = redis(&cache, "PING").unwrap();
    assert!(answer.starts_with("-NOAUTH"), "{answer}");
}

#[test]
fn statements_are_counted_from_the_start() {
    let home = Home::new();
    let servers = home.start(&Spec::from_words(["postgres"]).unwrap());
    let url = servers.postgres_url().unwrap();
    let statements = [
        "CREATE EXTENSION pg_stat_statements",
        "SELECT 1",
        "SELECT calls::text FROM pg_stat_statements WHERE query = 'SELECT $1'",
    ];
    assert_eq!(sql(url, &statements).unwrap(), "1");
    assert_eq!(servers.redis_url(), None);
}

#[test]
fn settings_reach_the_server_and_durable_means_fsync() {
    let home = Home::new();
    let show = |spec: PostgresSpec, name: &str| {
        let servers = home.start(&Spec {
            postgres: Some(spec),
            ..Spec::default()
        });
        sql(servers.postgres_url().unwrap(), &[&format!("SHOW {name}")]).unwrap()
    };
    let spec = PostgresSpec {
        settings: vec![("max_connections".to_owned(), "7".to_owned())],
        ..PostgresSpec::default()
    };
    assert_eq!(show(spec, "max_connections"), "7");
    assert_eq!(show(PostgresSpec::default(), "fsync"), "off");
    assert_eq!(show(PostgresSpec::default().durable(), "fsync"), "on");
    // Elsewhere a kill would leave it.
    let durable = PostgresSpec::default().durable();
    assert_eq!(show(durable, "dynamic_shared_memory_type"), "mmap");
}

#[test]
fn a_server_that_does_not_start_tells_its_log_and_leaves_nothing() {
    let home = Home::new();
    let spec = PostgresSpec {
        settings: vec![("no_such_setting".to_owned(), "1".to_owned())],
        ..PostgresSpec::default()
    };
    let spec = Spec {
        postgres: Some(spec),
        ..Spec::default()
    };
    let error = Supervised::start(&home.program(), &spec).unwrap_err();
    assert!(matches!(error, Error::Supervisor(_)));
    let text = error.to_string();
    assert!(text.starts_with("PostgreSQL did not start"), "{text}");
    assert!(text.contains("\"no_such_setting\""), "{text}");
    assert!(home.temporary().is_empty());
}
