//! However many ask at once for what is not there, it is loaded once.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use fred::interfaces::KeysInterface as _;
use futures_util::future::join_all;
use ruleiq_cache::CacheManager;
use tokio::sync::Barrier;

use crate::{
    fleet::PLACE,
    place::{Place, TTL, in_process},
    soak::{is_full, report},
};

/// Has tasks ask for one key, all at once. Answers the number of loads.
async fn loads(cache: &CacheManager, key: &'static str, callers: usize) -> u64 {
    let loads = Arc::new(AtomicU64::new(0));
    let start = Arc::new(Barrier::new(callers));
    let tasks = (0..callers).map(|n| {
        let (cache, loads, start) = (cache.clone(), Arc::clone(&loads), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let load = {
                let loads = Arc::clone(&loads);
                move || async move {
                    let number = loads.fetch_add(1, SeqCst) + 1;
                    tokio::task::yield_now().await;
                    Ok::<_, ()>(number)
                }
            };
            let loaded = match n % 2 {
                0 => cache.get_or_load(key, TTL, load).await,
                _ => cache.detached().get_or_load(key, TTL, load).await,
            };
            *loaded.unwrap()
        })
    });
    let values = join_all(tasks.collect::<Vec<_>>()).await;
    assert!(values.into_iter().all(|it| it.unwrap() > 0));
    loads.load(SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_callers_at_once_share_one_load() {
    let callers = if is_full() { 10_000 } else { 500 };
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let away = place.behind(&proxy).await.build().unwrap();
    proxy.refuse().await;
    let mut most = 0;
    for cache in [in_process(), place.cache().await, away] {
        for key in ["one", "another", "a third"] {
            most = most.max(loads(&cache, key, callers).await);
        }
    }
    report("one_load", most, "loads", "1", most == 1);
    assert_eq!(most, 1, "loads of one key");
}

#[tokio::test]
async fn eight_processes_share_one_load() {
    let place = Place::new().await;
    let program = std::env::current_exe().unwrap();
    let mut fleet: Vec<_> = (0..8)
        .map(|_| {
            Command::new(&program)
                .args(["--exact", "fleet::a_process_of_a_fleet"])
                .env(
                    PLACE,
                    format!("{} {}", place.redis.url(), place.redis.prefix()),
                )
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for process in &mut fleet {
        assert!(process.wait().unwrap().success());
    }
    let client = place.redis.client().await;
    let name = format!("{}-loads", place.redis.prefix());
    let loads: u64 = client.get(&name).await.unwrap();
    client.unlink::<(), _>(name).await.unwrap();
    report(
        "one_load_of_eight_processes",
        loads,
        "loads",
        "3",
        loads == 3,
    );
    assert_eq!(loads, 3);
}
