//! The two sides: the server, and a handler that does nothing but answer.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use ruleiq_bench::{
    Arm, Budget, Doing, Fault, Process, Tally,
    load::{ClosedLoop, Expectation, PreparedRequest, Target},
};

use super::{HttpSettings, answer::judge_coded, asked::Request, stored::ReadBack};
use crate::{
    Env,
    http_server::{self, Fetched, HttpServer},
    plain_server::{Compressor, PlainPlan, PlainRoute, PlainServer, program},
    postgres::counted,
};

/// What reports call the API.
pub(super) const OURS: &str = "ruleiq-server";
/// What they call the handler.
pub(super) const PLAIN: &str = "actix-web, plain handler";

/// A server and the load on it.
struct Served {
    /// Dropped first: its connections end before the server does.
    arm: Box<dyn Arm>,
    pid: u32,
    bytes_out: f64,
    /// Where the operation stores something.
    read_back: Option<ReadBack>,
    _server: Box<dyn Send>,
}

/// A server, and what is asked of it.
pub(super) struct Loaded<S> {
    pub(super) server: S,
    pub(super) target: Target,
    /// Bytes of a mean answer's body.
    pub(super) bytes_out: f64,
    /// What the first request stores, if it does.
    read_back: Option<ReadBack>,
}

/// The API.
pub(super) async fn ours(
    env: Arc<Env>,
    settings: Arc<HttpSettings>,
) -> Result<Box<dyn Arm>, Fault> {
    let Loaded {
        server,
        target,
        bytes_out,
        read_back,
    } = load_ours(&env, &settings).await?;
    let arm = Box::new(ClosedLoop::connect(target, settings.connections).await?);
    Ok(Box::new(Served {
        arm: counted(arm, env.owner_url()?),
        pid: server.pid(),
        bytes_out,
        read_back,
        _server: Box::new(server),
    }))
}

/// The same answers without the API.
pub(super) async fn plain(
    env: Arc<Env>,
    settings: Arc<HttpSettings>,
) -> Result<Box<dyn Arm>, Fault> {
    let Loaded {
        server,
        target,
        bytes_out,
        read_back,
    } = load_plain(&env, &settings).await?;
    Ok(Box::new(Served {
        arm: Box::new(ClosedLoop::connect(target, settings.connections).await?),
        pid: server.pid(),
        bytes_out,
        read_back,
        _server: Box::new(server),
    }))
}

pub(super) async fn load_ours(
    env: &Env,
    settings: &HttpSettings,
) -> Result<Loaded<HttpServer>, Fault> {
    let server = HttpServer::start(env, settings.workers).await?;
    let asked = ask(env, &server, settings).await?;
    let expectation = |fetched: &Fetched| match settings.endpoint.is_stable {
        true => Expectation::body(fetched.status, &fetched.body),
        false => Expectation::status(fetched.status),
    };
    let prepare = |(request, fetched): &(Request, Fetched)| {
        Ok(prepared(request)?.expecting(expectation(fetched)))
    };
    let requests = asked.iter().map(prepare).collect::<Result<_, Fault>>()?;
    let address = server.address();
    Ok(Loaded {
        server,
        bytes_out: mean_bytes(&asked),
        read_back: ReadBack::of(&asked[0].0, address),
        target: target(address, requests, Expectation::status(200)),
    })
}

pub(super) async fn load_plain(
    env: &Env,
    settings: &HttpSettings,
) -> Result<Loaded<PlainServer>, Fault> {
    // The server is only asked for what the plain one is to answer, uncompressed.
    let server = HttpServer::start(env, settings.workers).await?;
    let identity = HttpSettings {
        accept_encoding: None,
        ..*settings
    };
    let asked = ask(env, &server, &identity).await?;
    drop(server);
    let typical = &typical(&asked);
    let mut route = PlainRoute::new(settings.endpoint.path, &typical.content_type, &typical.body);
    if settings.accept_encoding.is_some() {
        route = route.compressed(Compressor::Framework);
    }
    let plan = PlainPlan {
        workers: settings.workers.get(),
        routes: vec![route],
        ..PlainPlan::default()
    };
    let program = program()?;
    let started = tokio::task::spawn_blocking(move || PlainServer::start_with(&program, &plan));
    let server = started.await.map_err(Fault::failed)??;
    let mut requests = Vec::with_capacity(asked.len());
    for (request, _) in &asked {
        let mut request = prepared(request)?;
        if let Some(coding) = settings.accept_encoding {
            request = request.header("accept-encoding", coding)?;
        }
        requests.push(request);
    }
    let address = server.address();
    let (expect, bytes_out) = match settings.accept_encoding {
        None => (Expectation::body(200, &typical.body), typical.body.len()),
        Some(coding) => {
            let answer = coded(address, &asked[0].0.path, coding, typical).await?;
            (Expectation::body(200, &answer.body), answer.body.len())
        }
    };
    Ok(Loaded {
        bytes_out: count(bytes_out),
        read_back: None,
        target: target(address, requests, expect),
        server,
    })
}

/// What the plain server makes of its answer for who accepts this coding.
async fn coded(
    address: SocketAddr,
    path: &str,
    coding: &str,
    identity: &Fetched,
) -> Result<Fetched, Fault> {
    let accept = ("accept-encoding".to_owned(), coding.to_owned());
    let answer = http_server::fetch(address, path, &[accept]).await?;
    judge_coded(path, coding, &answer, identity)?;
    Ok(answer)
}

/// Every request once: fills the cache, and says what the answers are.
async fn ask(
    env: &Env,
    server: &HttpServer,
    settings: &HttpSettings,
) -> Result<Vec<(Request, Fetched)>, Fault> {
    let requests = settings.endpoint.asked;
    let requests = requests.requests(env, server, settings).await?;
    let mut asked = Vec::with_capacity(requests.len());
    for request in requests {
        let fetched = request.first(server, settings.accept_encoding).await?;
        asked.push((request, fetched));
    }
    Ok(asked)
}

fn prepared(request: &Request) -> Result<PreparedRequest, Fault> {
    let method = if request.body.is_some() {
        "POST"
    } else {
        "GET"
    };
    let mut prepared = PreparedRequest::new(method, &request.path)?;
    for (name, value) in &request.headers {
        prepared = prepared.header(name, value)?;
    }
    Ok(match &request.body {
        Some(body) => prepared.body(body.clone()),
        None => prepared,
    })
}

fn target(address: SocketAddr, requests: Vec<PreparedRequest>, expect: Expectation) -> Target {
    Target {
        address,
        requests,
        expect,
    }
}

/// The answer whose length is nearest to the mean.
fn typical(asked: &[(Request, Fetched)]) -> Fetched {
    let mean = mean_bytes(asked);
    let distance = |it: &Fetched| (count(it.body.len()) - mean).abs();
    let answers = asked.iter().map(|(_, fetched)| fetched);
    let nearest = answers.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.expect("no case is without a request").clone()
}

fn mean_bytes(asked: &[(Request, Fetched)]) -> f64 {
    let all: usize = asked.iter().map(|(_, fetched)| fetched.body.len()).sum();
    count(all) / count(asked.len())
}

#[expect(clippy::cast_precision_loss, reason = "a count of bytes or requests")]
fn count(n: usize) -> f64 {
    n as f64
}

impl Arm for Served {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            let Some(back) = &self.read_back else {
                return self.arm.check().await;
            };
            let before = back.read().await?;
            self.arm.check().await?;
            back.judge(&before, &back.read().await?)
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn pids(&self) -> Vec<(Process, u32)> {
        vec![(Process::Server, self.pid)]
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async {
            let mut counts = self.arm.counts().await?;
            counts.insert("bytes_out".to_owned(), self.bytes_out);
            Ok(counts)
        })
    }
}
