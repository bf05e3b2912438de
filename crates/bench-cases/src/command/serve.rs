//! `worker`: runs slices for a coordinator.

use std::sync::Arc;

use anyhow::Context;
use ruleiq_bench::{
    Case,
    worker::{Allocated, Worker},
};
use tokio::io::{BufReader, stdin, stdout};

use super::{env, output};
use crate::{Env, Options, cases, env::pids, self_test};

pub(super) async fn worker(
    options: &str,
    allocated: Option<fn() -> Allocated>,
) -> anyhow::Result<u8> {
    let options: Options =
        serde_json::from_str(options).with_context(|| format!("`{options}` are no options"))?;
    serve(cases::all(&options), allocated).await
}

pub(super) async fn self_test_worker(planted: &str) -> anyhow::Result<u8> {
    let planted =
        serde_json::from_str(planted).with_context(|| format!("`{planted}` cannot be planted"))?;
    serve(self_test::cases(planted), None).await
}

async fn serve(cases: Vec<Case<Env>>, allocated: Option<fn() -> Allocated>) -> anyhow::Result<u8> {
    if let Some(allocated) = allocated {
        let before = allocated();
        drop(std::hint::black_box(Box::new(before)));
        // Without this, a program linked with another allocator would count nothing, and a case
        // that allocates would pass.
        anyhow::ensure!(
            allocated() != before,
            "the counting allocator is not in use"
        );
    }
    let env = env()?;
    let (servers, unknown) = pids::servers(&env).await;
    for line in unknown {
        output::complain(&line);
    }
    let worker = Worker {
        cases,
        env: Arc::new(env),
        servers,
        allocated,
    };
    worker
        .serve(BufReader::new(stdin()), stdout())
        .await
        .context("the coordinator is gone")?;
    // The thread that reads the standard input would keep the runtime from ending.
    std::process::exit(0)
}
