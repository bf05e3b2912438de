use super::*;

const HELLO: &str = r#"echo '{"hello":{"protocol":1}}'"#;

fn script(text: &str) -> WorkerProgram {
    WorkerProgram {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), text.into()],
        variables: Vec::new(),
        stop: Stop::default(),
    }
}

async fn started(after_hello: &str) -> WorkerProcess {
    let program = script(&format!("{HELLO}; {after_hello}"));
    WorkerProcess::start(&program, 100).await.unwrap()
}

#[tokio::test]
async fn a_worker_that_dies_is_quoted() {
    let mut worker = started("read x; echo out of luck >&2; exit 3").await;
    let error = worker.list().await.unwrap_err();
    assert!(!error.is_alive());
    let text = error.to_string();
    assert!(text.contains("`list`") && text.contains('3'), "{text}");
    assert!(text.contains("out of luck"), "{text}");
    // Asked again, it says the same.
    assert!(matches!(
        worker.check().await,
        Err(WorkerError::Died { step: "check", .. })
    ));
}

#[tokio::test]
async fn a_worker_of_another_protocol_is_refused() {
    let error = WorkerProcess::start(&script(r#"echo '{"hello":{"protocol":9}}'"#), 0).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains('9') && text.contains('1'), "{text}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let program = WorkerProgram {
        program: "/nowhere/bench-cases".into(),
        ..script("")
    };
    let error = WorkerProcess::start(&program, 0).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/bench-cases"));
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let mut worker = started("read x; echo nonsense; read x").await;
    let error = worker.list().await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    let mut worker = started(r#"read x; echo '{"done":{}}'; read x"#).await;
    assert!(matches!(
        worker.list().await,
        Err(WorkerError::Garbled { step: "list", .. })
    ));
}

#[tokio::test]
async fn one_that_refuses_lives_on() {
    let mut worker = started(
        r#"read x; echo '{"error":"there is no such case"}'; read x; echo '{"cases":[]}'; read x"#,
    )
    .await;
    let error = worker.tear_down().await.unwrap_err();
    assert!(error.is_alive());
    assert_eq!(error.to_string(), "there is no such case");
    assert!(worker.list().await.unwrap().is_empty());
    worker.end().await;
}

#[tokio::test]
async fn one_that_does_not_answer_is_killed_with_its_children() {
    let mut worker = started("sleep 600 & echo $! >&2; read x; sleep 600").await;
    let pid = worker.pid().unwrap();
    let error = worker
        .ask("slice", &Request::Counts {}, Duration::from_millis(300))
        .await
        .unwrap_err();
    let WorkerError::TimedOut { last_words, .. } = &error else {
        panic!("{error}");
    };
    let child: u32 = last_words[0].parse().unwrap();
    drop(worker);
    for pid in [pid, child] {
        assert_gone(pid).await;
    }
}

#[tokio::test]
async fn all_workers_end_at_once_with_their_children() {
    let stop = Stop::default();
    let program = WorkerProgram {
        stop: stop.clone(),
        ..script(&format!(
            "{HELLO}; sleep 600 & echo $! >&2; read x; sleep 600"
        ))
    };
    let mut worker = WorkerProcess::start(&program, 0).await.unwrap();
    let pid = worker.pid().unwrap();
    while worker.last_words().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.end_workers();
    let error = worker.list().await.unwrap_err();
    assert!(!error.is_alive());
    let child: u32 = worker.last_words()[0].parse().unwrap();
    for pid in [pid, child] {
        assert_gone(pid).await;
    }
}

async fn assert_gone(pid: u32) {
    let mut tries = 0;
    while is_running(pid) {
        tries += 1;
        assert!(tries < 500, "{pid} still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether it is there, and not only waited for.
fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| {
        !it.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.starts_with(" Z"))
    })
}
