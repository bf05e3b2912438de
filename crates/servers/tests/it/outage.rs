//! Taking a server away and giving it back.

use std::io::{ErrorKind, Read as _};

use ruleiq_servers::{Error, PostgresSpec, RedisSpec, Spec, Which};

use crate::{
    client::{connect, redis, sql},
    home::Home,
};

#[test]
fn what_was_acknowledged_survives_a_kill_on_the_same_port() {
    let home = Home::new();
    let mut servers = home.start(&Spec {
        postgres: Some(PostgresSpec::default().durable()),
        redis: Some(RedisSpec::default().durable()),
        ..Spec::default()
    });
    let database = servers.postgres_url().unwrap().to_owned();
    let cache = servers.redis_url().unwrap().to_owned();
    sql(&database, &["CREATE TABLE kept AS SELECT 'yes' AS it"]).unwrap();
    redis(&cache, "SET kept yes").unwrap();

    for which in [Which::Postgres, Which::Redis] {
        servers.kill(which).unwrap();
    }
    assert!(sql(&database, &["SELECT 1"]).is_err());
    assert!(redis(&cache, "PING").is_err());
    for which in [Which::Postgres, Which::Redis] {
        servers.start_again(which).unwrap();
    }

    assert_eq!(servers.postgres_url(), Some(&*database));
    assert_eq!(sql(&database, &["SELECT it FROM kept"]).unwrap(), "yes");
    assert_eq!(redis(&cache, "GET kept").unwrap(), "yes");
}

#[test]
fn a_stopped_server_can_be_started_again_and_a_running_one_cannot() {
    let home = Home::new();
    let mut servers = home.start(&Spec::temporary());
    for which in [Which::Postgres, Which::Redis] {
        let refused = servers.start_again(which).unwrap_err();
        assert!(matches!(refused, Error::Supervisor(text) if text.ends_with("runs already")));
        servers.stop(which).unwrap();
        let refused = servers.stop(which).unwrap_err();
        assert!(matches!(refused, Error::Supervisor(text) if text.ends_with("does not run")));
        servers.start_again(which).unwrap();
    }
    sql(servers.postgres_url().unwrap(), &["SELECT 1"]).unwrap();
    redis(servers.redis_url().unwrap(), "PING").unwrap();
}

#[test]
fn a_paused_server_takes_connections_and_says_nothing() {
    let home = Home::new();
    let mut servers = home.start(&Spec::temporary());
    let cache = servers.redis_url().unwrap().to_owned();
    let database = servers.postgres_url().unwrap().to_owned();
    let address = database.split_once('@').unwrap().1.replace("/postgres", "");

    for which in [Which::Postgres, Which::Redis] {
        servers.pause(which).unwrap();
    }
    let silence = redis(&cache, "PING").unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    let mut stream = connect(&address).unwrap();
    let silence = stream.read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);

    for which in [Which::Postgres, Which::Redis] {
        servers.resume(which).unwrap();
    }
    assert_eq!(redis(&cache, "PING").unwrap(), "+PONG");
    assert_eq!(sql(&database, &["SELECT 'one'"]).unwrap(), "one");
}

#[test]
fn a_paused_server_ends_with_its_supervisor() {
    let home = Home::new();
    let mut servers = home.start(&Spec::temporary());
    for which in [Which::Postgres, Which::Redis] {
        servers.pause(which).unwrap();
    }
    drop(servers);
    assert!(home.temporary().is_empty());
}
