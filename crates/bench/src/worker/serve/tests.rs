use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::json;
use tokio::io::{BufReader, DuplexStream, duplex, split};

use super::*;
use crate::{Arm, Budget, Doing, Process, Tally, repeat};

/// What the cases run in: nothing.
struct Nothing;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

fn right(answer: u64) -> Result<Box<dyn Arm>, Fault> {
    let operation = move || {
        ALLOCATED.fetch_add(3, Ordering::Relaxed);
        std::hint::black_box(answer)
    };
    Ok(repeat(operation, |it| {
        if *it == 7 {
            return Ok(());
        }
        Err(Fault::Wrong(format!("{it} instead of 7")))
    }))
}

/// An arm whose work is done elsewhere, and which cannot say how much that is.
struct Elsewhere(Box<dyn Arm>);

impl Arm for Elsewhere {
    fn check(&mut self) -> Doing<'_, ()> {
        self.0.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.0.run(budget)
    }

    fn pids(&self) -> Vec<(Process, u32)> {
        vec![(Process::Server, std::process::id())]
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async { Err(Fault::Failed("it does not count".to_owned())) })
    }
}

fn cases() -> Vec<Case<Nothing>> {
    let whole = Case::builder("toy", "whole", json!({"size": 1}))
        .subject("ours", "1", |_, _| async { right(7) })
        .control("theirs", "2", |_, _| async { right(7) })
        .peer("nowhere", "0", |_, _| async {
            Err(Fault::Failed("it is not installed".into()))
        });
    let wrong = Case::builder("toy", "wrong", ()).subject("ours", "1", |_, _| async { right(8) });
    let stuck = Case::builder("toy", "stuck", ()).subject("ours", "1", |_, _| async {
        Ok(crate::concurrent(1, stuck(), |_: &()| Ok(())))
    });
    let elsewhere = Case::builder("toy", "elsewhere", ())
        .subject("ours", "1", |_, _| async {
            Ok(Box::new(Elsewhere(right(7)?)) as Box<dyn Arm>)
        })
        .control("theirs", "2", |_, _| async { right(7) });
    vec![
        whole.build(),
        wrong.build(),
        stuck.build(),
        elsewhere.build(),
    ]
}

/// An operation without end, which tells when nothing holds it any more.
fn stuck() -> impl Fn() -> std::future::Pending<Result<(), Fault>> {
    let held = Held;
    move || {
        let _ = &held;
        std::future::pending()
    }
}

static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

struct Asker {
    stream: BufReader<DuplexStream>,
}

impl Asker {
    fn new() -> Asker {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            let worker = Worker {
                cases: cases(),
                env: Arc::new(Nothing),
                servers: Servers::default(),
                allocated: Some(|| Allocated {
                    count: ALLOCATED.load(Ordering::Relaxed),
                    bytes: 0,
                }),
            };
            let (input, output) = split(theirs);
            worker.serve(BufReader::new(input), output).await
        });
        Asker {
            stream: BufReader::new(ours),
        }
    }

    async fn read(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, request: &serde_json::Value) -> serde_json::Value {
        let line = format!("{request}\n");
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .await
            .unwrap();
        self.read().await
    }
}

fn set_up(case: &str, sides: &[usize]) -> serde_json::Value {
    json!({"set_up": {
        "case": {"component": "toy", "case": case}, "sides": sides, "again": true,
        "warm_up_s": 0.0,
    }})
}

#[tokio::test]
async fn a_case_goes_through_all_its_steps() {
    let mut asker = Asker::new();
    assert_eq!(asker.read().await, json!({"hello": {"protocol": PROTOCOL}}));
    let cases = asker.ask(&json!({"list": {}})).await;
    assert_eq!(cases["cases"][0]["sides"].as_array().unwrap().len(), 3);

    let states = asker.ask(&set_up("whole", &[0, 1, 2])).await;
    let arms: Vec<_> = states["arms"].as_array().unwrap().iter().collect();
    assert_eq!(arms[2]["fault"]["text"], "it is not installed");
    assert_eq!(arms[3]["arm"], json!({"again": 1}), "{states}");
    let checked = asker.ask(&json!({"check": {}})).await;
    assert!(!checked.to_string().contains("is_wrong"), "{checked}");

    let request = json!({"slice": {"arm": {"again": 1}, "length": {"operations": 5_000}}});
    let slice = &asker.ask(&request).await["slice"];
    assert_eq!(slice["operations"], 5_000);
    assert!(slice["cpu_s"]["client"].as_f64().unwrap() > 0.0);

    let counts = &asker.ask(&json!({"counts": {}})).await["counts"];
    assert_eq!(counts[1][1]["allocations_per_op"], 3.0, "{counts}");
    assert_eq!(
        asker.ask(&json!({"tear_down": {}})).await,
        json!({"done": {}})
    );
    let slice = asker.ask(&request).await;
    assert_eq!(slice["error"], "no case is set up");
}

#[tokio::test]
async fn only_what_this_process_does_is_allocated_here() {
    let mut asker = Asker::new();
    asker.read().await;
    asker.ask(&set_up("elsewhere", &[0, 1])).await;
    let said = asker.ask(&json!({"counts": {}})).await;
    let counts = said["counts"].as_array().unwrap();
    let of = |place| {
        let is_its = |it: &&serde_json::Value| it[0] == json!({ "side": place });
        let its = counts.iter().filter(is_its);
        its.map(|it| it[1].to_string()).collect::<String>()
    };
    assert!(of(0).contains("it does not count"), "{said}");
    assert!(!of(0).contains("allocations_per_op"), "{said}");
    assert!(of(1).contains("allocations_per_op"), "{said}");
}

#[tokio::test]
async fn a_wrong_answer_is_told_apart_from_none() {
    let mut asker = Asker::new();
    asker.read().await;
    let states = asker.ask(&set_up("wrong", &[0])).await;
    assert_eq!(states["arms"][1]["arm"], json!({"again": 0}));
    let checked = asker.ask(&json!({"check": {}})).await;
    let fault = &checked["arms"][0]["fault"];
    assert_eq!(fault["is_wrong"], true);
    assert_eq!(fault["text"], "wrong answer: 8 instead of 7");
}

#[tokio::test]
async fn a_case_goes_when_the_coordinator_is_gone() {
    let mut asker = Asker::new();
    asker.read().await;
    asker.ask(&set_up("stuck", &[0])).await;
    let request = json!({"slice": {"arm": {"side": 0}, "length": {"seconds": 3_000.0}}});
    let line = format!("{request}\n");
    let stream = asker.stream.get_mut();
    stream.write_all(line.as_bytes()).await.unwrap();
    drop(asker);
    let mut tries = 0;
    // Both arms: the subject, and the subject again.
    while DROPPED.load(Ordering::SeqCst) < 2 {
        tries += 1;
        assert!(tries < 500, "the case is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let mut asker = Asker::new();
    asker.read().await;
    let said = asker.ask(&set_up("missing", &[0])).await.to_string();
    assert!(said.contains("toy/missing"), "{said}");
    let said = asker.ask(&set_up("wrong", &[5])).await.to_string();
    assert!(said.contains("no side 5"), "{said}");
    let said = asker.ask(&json!({"dance": {}})).await.to_string();
    assert!(said.contains("no request"), "{said}");
    assert!(asker.ask(&json!({"list": {}})).await["cases"].is_array());
}
