//! What stands beside the two servers: a pooler, a standby, sentinels, a cluster.

use std::fs;

use ruleiq_servers::{Error, RedisSpec, Spec, Supervised, Which};

use crate::{
    client::{redis, sql},
    home::{Home, eventually, runs, signal},
};

fn start(home: &Home, words: &[&str]) -> Supervised {
    home.start(&Spec::from_words(words).unwrap())
}

/// Whether the server answers the command with this text among others.
fn says(servers: &Supervised, which: Which, command: &str, text: &str) -> bool {
    redis(servers.url(which).unwrap(), command).is_ok_and(|reply| reply.contains(text))
}

/// Host and port of a server in two lines, as a sentinel answers them.
fn address(servers: &Supervised, which: Which) -> String {
    let (_, address) = servers.url(which).unwrap().split_once('@').unwrap();
    address.replace(':', "\n")
}

#[test]
fn a_pooler_lends_one_connection_to_one_transaction_after_the_other() {
    let home = Home::new();
    let mut servers = start(&home, &["postgres", "pgbouncer"]);
    let pooled = servers.pgbouncer_url().unwrap().to_owned();
    let direct = servers.postgres_url().unwrap().to_owned();
    let backend = |url| sql(url, &["SELECT pg_backend_pid()"]).unwrap();
    assert_eq!(backend(&pooled), backend(&pooled));
    assert_ne!(backend(&pooled), backend(&direct));

    servers.kill(Which::PgBouncer).unwrap();
    assert!(sql(&pooled, &["SELECT 1"]).is_err());
    sql(&direct, &["SELECT 1"]).unwrap();
    servers.start_again(Which::PgBouncer).unwrap();
    servers.stop(Which::Postgres).unwrap();
    servers.start_again(Which::Postgres).unwrap();
    eventually("an answer through the pooler", || {
        sql(&pooled, &["SELECT 1"]).is_ok()
    });
    servers.stop(Which::PgBouncer).unwrap();
}

#[test]
fn a_pooler_refuses_wrong_passwords_other_users_and_options() {
    let home = Home::new();
    let servers = start(&home, &["postgres", "pgbouncer"]);
    let url = servers.pgbouncer_url().unwrap();
    let (login, address) = url.split_once('@').unwrap();
    let (_, password) = login.rsplit_once(':').unwrap();

    sql(url, &["SELECT 1"]).unwrap();
    let refused = |url: String| sql(&url, &["SELECT 1"]).is_err();
    assert!(refused(format!("postgres://postgres:wrong@{address}")));
    assert!(refused(format!(
        "postgres://pgbouncer:{password}@{address}"
    )));
    assert!(refused(format!("{url}?options=-cstatement_timeout=1s")));

    let logs: Vec<String> = home
        .temporary()
        .iter()
        .filter_map(|folder| fs::read_to_string(folder.join("log")).ok())
        .collect();
    let is_known = |log: &String| log.contains("process up: PgBouncer 1.");
    assert!(logs.iter().any(is_known), "{logs:?}");
    assert!(!logs.iter().any(|log| log.contains(password)));
}

#[test]
fn a_standby_follows_its_primary_and_answers_alone_what_only_reads() {
    let home = Home::new();
    let mut servers = start(&home, &["postgres", "standby"]);
    let primary = servers.postgres_url().unwrap().to_owned();
    let standby = servers.standby_url().unwrap().to_owned();
    let count = "SELECT count(*) FROM kept";
    let has = |rows: &str| sql(&standby, &[count]).is_ok_and(|it| it == rows);
    let is_standby = "SELECT pg_is_in_recovery()";
    assert_eq!(sql(&primary, &[is_standby]).unwrap(), "f");
    assert_eq!(sql(&standby, &[is_standby]).unwrap(), "t");

    sql(&primary, &["CREATE TABLE kept ()"]).unwrap();
    eventually("the table", || has("0"));
    let refused = sql(&standby, &["DROP TABLE kept"]).unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "25006", "read-only");

    servers.kill(Which::PostgresStandby).unwrap();
    sql(&primary, &["INSERT INTO kept DEFAULT VALUES"]).unwrap();
    servers.start_again(Which::PostgresStandby).unwrap();
    eventually("what was written meanwhile", || has("1"));

    servers.stop(Which::Postgres).unwrap();
    assert!(has("1"));
    servers.start_again(Which::Postgres).unwrap();
    sql(&primary, &["INSERT INTO kept DEFAULT VALUES"]).unwrap();
    eventually("the return of the primary", || has("2"));
}

#[test]
fn a_standby_has_the_settings_of_its_primary_and_leaves_nothing() {
    let home = Home::new();
    let words = ["postgres", "postgres:max_connections=321", "standby"];
    let servers = start(&home, &words);
    let show = ["SHOW max_connections"];
    let standby = servers.standby_url().unwrap();
    assert_eq!(sql(standby, &show).unwrap(), "321");
    let (login, _) = standby.split_once('@').unwrap();
    let (_, password) = login.rsplit_once(':').unwrap();
    let settings = home
        .temporary()
        .into_iter()
        .filter_map(|folder| fs::read_to_string(folder.join("data/postgresql.auto.conf")).ok());
    let settings: String = settings.collect();
    assert!(settings.contains("primary_conninfo"), "{settings}");
    assert!(!settings.contains(password));
    drop(servers);
    assert!(home.temporary().is_empty());
}

#[test]
fn sentinels_promote_the_replica_of_a_primary_that_is_gone() {
    let home = Home::new();
    let mut servers = start(&home, &["redis", "sentinels"]);
    let master = "SENTINEL GET-MASTER-ADDR-BY-NAME ruleiq";
    let before = address(&servers, Which::Redis);
    let after = address(&servers, Which::RedisReplica);
    redis(servers.redis_url().unwrap(), "SET kept yes").unwrap();
    eventually("the replication", || {
        says(&servers, Which::RedisReplica, "GET kept", "yes")
    });
    for number in 0..3 {
        assert!(says(&servers, Which::Sentinel(number), master, &before));
    }

    // It finds the others again by what it has noted.
    servers.kill(Which::Sentinel(2)).unwrap();
    servers.start_again(Which::Sentinel(2)).unwrap();
    servers.kill(Which::Redis).unwrap();
    eventually("the promotion", || {
        (0..3).all(|number| says(&servers, Which::Sentinel(number), master, &after))
    });
    let promoted = Which::RedisReplica;
    assert!(says(&servers, promoted, "GET kept", "yes"));
    assert!(says(&servers, promoted, "SET kept no", "+OK"));

    servers.start_again(Which::Redis).unwrap();
    // The sentinels would say so after ten seconds.
    let become_replica = format!("REPLICAOF {}", after.replace('\n', " "));
    redis(servers.redis_url().unwrap(), &become_replica).unwrap();
    eventually("the return of the first primary as a replica", || {
        says(&servers, Which::Redis, "GET kept", "no")
    });
    let url = servers.sentinel_url().unwrap();
    assert!(url.starts_with("redis-sentinel://:"), "{url}");
}

#[test]
fn the_replica_of_a_master_takes_its_slots_over() {
    let home = Home::new();
    let mut servers = start(&home, &["cluster"]);
    assert!(servers.cluster_url().is_some());
    assert_eq!(servers.redis_url(), None);
    let [master, replica] = [0, 3].map(Which::ClusterNode);
    // The slot of this key, 5061, is the first master's.
    assert!(says(&servers, master, "SET bar yes", "+OK"));
    let elsewhere = redis(servers.url(Which::ClusterNode(1)).unwrap(), "GET bar").unwrap();
    assert!(elsewhere.starts_with("-MOVED 5061"), "{elsewhere}");
    eventually("the replication", || {
        says(&servers, replica, "INFO keyspace", "keys=1")
    });

    servers.kill(master).unwrap();
    eventually("the promotion", || {
        says(&servers, replica, "GET bar", "yes")
    });

    servers.start_again(master).unwrap();
    eventually("the return of the master as a replica", || {
        says(&servers, master, "INFO replication", "role:slave")
            && says(&servers, master, "INFO replication", "link_status:up")
    });
}

#[test]
fn the_next_start_ends_companions_that_a_killed_supervisor_left() {
    let home = Home::new();
    let words = ["postgres", "pgbouncer", "standby", "redis", "sentinels"];
    let servers = start(&home, &words);
    let pids = home.pids("process");
    assert_eq!(pids.len(), 8);
    // As if the supervisor had been killed before it wrote them down. Only there they are found.
    if cfg!(target_os = "linux") {
        for folder in home.temporary() {
            fs::remove_file(folder.join("process")).unwrap();
        }
    }
    signal("KILL", home.pids("lock")[0]);
    drop(servers);
    assert!(pids.iter().all(|pid| runs(*pid)));

    drop(start(&home, &["redis"]));

    assert!(!pids.iter().any(|pid| runs(*pid)));
    assert!(home.temporary().is_empty());
}

#[test]
fn what_needs_a_server_that_is_not_asked_for_is_refused_before_anything_starts() {
    let home = Home::new();
    let spec = Spec {
        redis: Some(RedisSpec::default()),
        pgbouncer: true,
        ..Spec::default()
    };
    let error = Supervised::start(&home.program(), &spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`pgbouncer` needs PostgreSQL, which is not asked for; add `postgres`"
    );
    assert!(matches!(error, Error::Unmet { .. }));
    assert!(!home.path().join("temporary").exists());
}
