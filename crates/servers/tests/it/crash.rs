//! However a parent or a supervisor ends, nothing stays.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Command,
};

use ruleiq_servers::{PostgresSpec, RedisSpec, Spec};

use crate::{
    client::{redis, sql},
    home::{Home, eventually, pid_in, runs, signal},
};

#[test]
fn a_killed_parent_leaves_no_server_and_no_data() {
    let home = Home::new();
    let mut parent = home.start_parent(&Spec::temporary());
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let database = lines.next().unwrap().unwrap();
    sql(&database, &["SELECT 1"]).unwrap();
    let mut pids = home.pids("process");
    pids.extend(home.pids("lock"));
    assert!(pids.len() == 4 && pids.iter().all(|pid| runs(*pid)));

    parent.kill().unwrap();
    parent.wait().unwrap();

    eventually("the end of all processes", || {
        !pids.iter().any(|pid| runs(*pid))
    });
    assert!(home.temporary().is_empty());
}

#[test]
fn the_next_start_sweeps_what_a_killed_supervisor_left() {
    let home = Home::new();
    let servers = home.start(&Spec::temporary());
    let left = home.temporary();
    let pids = home.pids("process");
    let blocks: Vec<String> = left.iter().filter_map(|it| shared_memory(it)).collect();
    signal("KILL", home.pids("lock")[0]);
    drop(servers);
    assert!(pids.iter().all(|pid| runs(*pid)));

    let servers = home.start(&Spec::from_words(["redis"]).unwrap());

    assert!(!pids.iter().any(|pid| runs(*pid)));
    assert!(!left.iter().any(|folder| folder.exists()));
    assert_eq!(home.temporary().len(), 1);
    // Without the program, a block stays.
    let is_freed = Command::new("ipcrm").arg("--version").output().is_ok();
    assert!(
        !is_freed
            || !blocks
                .iter()
                .any(|block| shared_memory_in_use().contains(block))
    );
    drop(servers);
}

#[test]
fn kept_data_survive_a_killed_supervisor() {
    let home = Home::new();
    let (postgres, cache) = (home.path().join("pg"), home.path().join("redis"));
    let spec = Spec {
        postgres: Some(PostgresSpec::kept(&postgres)),
        redis: Some(RedisSpec::kept(&cache).durable()),
        ..Spec::default()
    };
    let servers = home.start(&spec);
    let url = servers.postgres_url().unwrap().to_owned();
    sql(&url, &["CREATE TABLE kept AS SELECT 'yes' AS it"]).unwrap();
    redis(servers.redis_url().unwrap(), "SET kept yes").unwrap();
    let pids = [&postgres, &cache].map(|folder| pid_in(&folder.join("process")));
    signal("KILL", pid_in(&postgres.join("lock")));
    drop(servers);
    assert!(pids.iter().all(|pid| runs(*pid)));

    let servers = home.start(&spec);

    assert!(!pids.iter().any(|pid| runs(*pid)));
    let url = servers.postgres_url().unwrap();
    assert_eq!(sql(url, &["SELECT it FROM kept"]).unwrap(), "yes");
    let url = servers.redis_url().unwrap();
    assert_eq!(redis(url, "GET kept").unwrap(), "yes");
}

/// The record of a crash may name a number that the system has given to somebody else since.
#[test]
fn a_process_that_only_has_the_number_is_left_alone() {
    let home = Home::new();
    let folder = home.path().join("pg");
    let spec = Spec {
        postgres: Some(PostgresSpec::kept(&folder)),
        ..Spec::default()
    };
    drop(home.start(&spec));
    let mut innocent = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = innocent.id();
    fs::write(folder.join("process"), format!("{pid} before/1")).unwrap();
    let pid_file = format!("{pid}\n{}\n", folder.join("data").display());
    fs::write(folder.join("data/postmaster.pid"), pid_file).unwrap();

    let servers = home.start(&spec);

    sql(servers.postgres_url().unwrap(), &["SELECT 1"]).unwrap();
    assert!(runs(pid));
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

/// Key and identifier of PostgreSQL's block of shared memory.
fn shared_memory(folder: &Path) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let block = first_two(text.lines().nth(6)?);
    assert!(shared_memory_in_use().contains(&block), "{block}");
    Some(block)
}

/// Empty where the system does not list it.
fn shared_memory_in_use() -> Vec<String> {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    text.lines().map(first_two).collect()
}

fn first_two(line: &str) -> String {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
    fields.join(" ")
}
