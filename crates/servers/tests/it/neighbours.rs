//! Servers side by side.

use std::{fs, thread};

use ruleiq_servers::{Error, PostgresSpec, RedisSpec, Spec, Supervised, remove_kept};

use crate::{
    client::{redis, sql},
    home::Home,
};

#[test]
fn two_homes_do_not_disturb_each_other() {
    let homes = [Home::new(), Home::new()];
    let [one, two] = thread::scope(|scope| {
        homes
            .each_ref()
            .map(|home| scope.spawn(|| home.start(&Spec::temporary())))
            .map(|started| started.join().unwrap())
    });
    let database = two.postgres_url().unwrap();
    sql(one.postgres_url().unwrap(), &["CREATE TABLE mine ()"]).unwrap();
    sql(database, &["CREATE TABLE mine ()"]).unwrap();
    drop(one);

    sql(database, &["SELECT FROM mine"]).unwrap();
    redis(two.redis_url().unwrap(), "PING").unwrap();
}

#[test]
fn servers_of_one_home_start_at_the_same_time() {
    let home = Home::new();
    let all: Vec<Supervised> = thread::scope(|scope| {
        let started: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| home.start(&Spec::temporary())))
            .collect();
        started.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for servers in &all {
        sql(servers.postgres_url().unwrap(), &["SELECT 1"]).unwrap();
        redis(servers.redis_url().unwrap(), "PING").unwrap();
    }
    assert_eq!(home.temporary().len(), 8);
    drop(all);
    assert!(home.temporary().is_empty());
}

#[test]
fn a_kept_folder_is_refused_while_another_supervisor_holds_it() {
    let home = Home::new();
    let folder = home.path().join("redis");
    let spec = Spec {
        redis: Some(RedisSpec::kept(&folder)),
        ..Spec::default()
    };
    let holder = home.start(&spec);

    let refused = Supervised::start(&home.program(), &spec).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.starts_with(&format!("`{}`", folder.display())),
        "{text}"
    );
    assert!(text.contains("is in use by the process"), "{text}");
    assert!(matches!(remove_kept(&folder), Err(Error::Held { .. })));
    redis(holder.redis_url().unwrap(), "PING").unwrap();

    drop(holder);
    drop(home.start(&spec));
    remove_kept(&folder).unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_folder_with_other_files_is_neither_used_nor_removed() {
    let home = Home::new();
    let folder = home.path().join("photos");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("holiday.jpg"), "").unwrap();
    let spec = Spec {
        redis: Some(RedisSpec::kept(&folder)),
        ..Spec::default()
    };

    let refused = Supervised::start(&home.program(), &spec).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("not a server's"), "{text}");
    remove_kept(&folder).unwrap();
    assert!(folder.join("holiday.jpg").exists());
}

#[test]
fn kept_data_and_the_password_survive_a_restart_and_another_port() {
    let home = Home::new();
    let spec = Spec {
        postgres: Some(PostgresSpec::kept(home.path().join("pg"))),
        redis: Some(RedisSpec::kept(home.path().join("redis"))),
        ..Spec::default()
    };
    let servers = home.start(&spec);
    let before = servers.postgres_url().unwrap().to_owned();
    sql(&before, &["CREATE TABLE kept AS SELECT 'yes' AS it"]).unwrap();
    redis(servers.redis_url().unwrap(), "SET kept yes").unwrap();
    drop(servers);
    // Somebody else has the port now.
    let address = before.split_once('@').unwrap().1.replace("/postgres", "");
    let _taken = std::net::TcpListener::bind(address).unwrap();

    let servers = home.start(&spec);

    let after = servers.postgres_url().unwrap();
    assert_ne!(after, before);
    assert_eq!(after.split('@').next(), before.split('@').next());
    assert_eq!(sql(after, &["SELECT it FROM kept"]).unwrap(), "yes");
    let url = servers.redis_url().unwrap();
    assert_eq!(redis(url, "GET kept").unwrap(), "yes");
}
