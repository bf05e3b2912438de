//! Servers that outlive the command that starts them.

use std::path::Path;

use ruleiq_servers::{Error, Services, Spec, State};

use crate::{
    client::{redis, sql},
    home::{Home, runs, signal},
};

fn pids(services: &Services) -> Vec<u32> {
    services
        .status()
        .into_iter()
        .filter_map(|(_, state)| match state {
            State::Up { pid, .. } => Some(pid),
            _ => None,
        })
        .collect()
}

#[test]
fn services_are_up_until_they_are_taken_down() {
    let home = Home::new();
    let services = Services::new(home.path());
    assert!(pids(&services).is_empty());
    assert!(matches!(services.running(), Err(Error::NotRunning(_))));
    assert!(!services.down().unwrap());

    let running = services.up(&mut Vec::new()).unwrap();
    sql(&running.database_url, &["SELECT 1"]).unwrap();
    redis(&running.redis_url, "PING").unwrap();
    let pids_up = pids(&services);
    assert!(pids_up.len() == 2 && pids_up.iter().all(|pid| runs(*pid)));
    assert!(!format!("{running:?}").contains("127.0.0.1"));

    let env = services.env(Path::new("/bin/xtask")).unwrap();
    let expect = [
        ("TEST_DATABASE_URL", running.database_url.clone()),
        ("TEST_REDIS_URL", running.redis_url.clone()),
        ("RULEIQ_XTASK", "/bin/xtask".to_owned()),
    ];
    assert_eq!(env, expect);

    assert_eq!(services.up(&mut Vec::new()).unwrap(), running);
    assert_eq!(pids(&services), pids_up);

    assert!(services.down().unwrap());
    assert!(!pids_up.iter().any(|pid| runs(*pid)));
    assert!(!home.path().join("services/postgres").exists());
}

#[test]
fn up_starts_again_what_has_died() {
    let home = Home::new();
    let services = Services::new(home.path());
    let before = services.up(&mut Vec::new()).unwrap();
    let [postgres, redis_pid] = pids(&services)[..] else {
        panic!("both should run");
    };
    signal("KILL", postgres);
    crate::home::eventually("the end of PostgreSQL", || !runs(postgres));

    let after = services.up(&mut Vec::new()).unwrap();

    assert_ne!(after.database_url, before.database_url);
    sql(&after.database_url, &["SELECT 1"]).unwrap();
    assert_eq!(pids(&services)[1], redis_pid);
    services.down().unwrap();
}

#[test]
fn starting_and_ending_others_leaves_services_alone() {
    let home = Home::new();
    let services = Services::new(home.path());
    let running = services.up(&mut Vec::new()).unwrap();
    drop(home.start(&Spec::temporary()));
    sql(&running.database_url, &["SELECT 1"]).unwrap();
    redis(&running.redis_url, "PING").unwrap();
    services.down().unwrap();
}
