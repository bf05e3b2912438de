//! The sides: servers of one worker each, as processes of their own, asked over kept connections.
//!
//! The CPU time of the server is what counts: with the connection, whose cost stands on all sides alike, with the threads
//! that bodies are handed to, and with the memory that a process asks the system for.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use ruleiq_bench::{
    Arm, Budget, Doing, Fault, Process, Tally,
    load::{ClosedLoop, Expectation, PreparedRequest, Target},
};

use super::{
    Settings,
    codec::{compare, mean},
    corpus,
};
use crate::{
    Env, http_server,
    nginx::Nginx,
    plain_server::{Compressor, Framework, PlainPlan, PlainRoute, PlainServer, program},
};

/// A server and the load on it.
struct Served {
    /// Dropped first: its connections end before the server does.
    arm: ClosedLoop,
    pid: u32,
    bytes_out: f64,
    _server: Box<dyn Send>,
}

/// Our middleware on actix-web.
pub(super) async fn ours(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let level = settings.level;
    let compressor = Compressor::Ruleiq { level };
    plain(env, &settings, Framework::Actix, compressor).await
}

/// actix-web's own.
pub(super) async fn actix(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    plain(env, &settings, Framework::Actix, Compressor::Framework).await
}

/// tower-http's on hyper.
pub(super) async fn tower(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    plain(env, &settings, Framework::Hyper, Compressor::Framework).await
}

/// The handler alone.
pub(super) async fn bare(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let settings = Settings {
        is_eligible: false,
        is_marked: false,
        ..*settings
    };
    plain(env, &settings, Framework::Actix, Compressor::Nothing).await
}

pub(super) async fn nginx(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let bodies = bodies(&env, &settings);
    let (files, content_type) = (bodies.clone(), settings.content_type);
    let start = move || Nginx::start(&files, content_type);
    let server = tokio::task::spawn_blocking(start).await;
    let server = server.map_err(Fault::failed)??;
    let (address, pid) = (server.address(), server.pid());
    load(address, pid, Box::new(server), &bodies, &settings).await
}

async fn plain(
    env: Arc<Env>,
    settings: &Settings,
    framework: Framework,
    compressor: Compressor,
) -> Result<Box<dyn Arm>, Fault> {
    let bodies = bodies(&env, settings);
    let route = |(number, body): (usize, &Bytes)| {
        PlainRoute::new(&path(number), settings.content_type, body)
            .compressed(compressor)
            .marked(settings.is_marked)
    };
    let plan = PlainPlan {
        workers: settings.workers,
        framework,
        routes: bodies.iter().enumerate().map(route).collect(),
        ..PlainPlan::default()
    };
    let program = program()?;
    let start = move || PlainServer::start_with(&program, &plan);
    let server = tokio::task::spawn_blocking(start).await;
    let server = server.map_err(Fault::failed)??;
    let (address, pid) = (server.address(), server.pid());
    load(address, pid, Box::new(server), &bodies, settings).await
}

fn bodies(env: &Env, settings: &Settings) -> Vec<Bytes> {
    corpus::bodies(env.seed(), settings.size_bytes, settings.bodies)
}

fn path(number: usize) -> String {
    format!("/{number}")
}

/// Asks for each body once, and compares it in full; then the load expects the same bytes again.
async fn load(
    address: SocketAddr,
    pid: u32,
    server: Box<dyn Send>,
    bodies: &[Bytes],
    settings: &Settings,
) -> Result<Box<dyn Arm>, Fault> {
    let coding = settings.coding();
    let accept = [("accept-encoding".to_owned(), coding.as_str().to_owned())];
    let (mut requests, mut lengths) = (Vec::new(), Vec::new());
    for (number, body) in bodies.iter().enumerate() {
        let fetched = http_server::fetch(address, &path(number), &accept).await?;
        let right = settings.is_eligible.then_some(coding.as_str());
        if fetched.status != 200 || fetched.coding.as_deref() != right {
            let (status, coded) = (fetched.status, &fetched.coding);
            return Err(Fault::Wrong(format!("{status}, encoded as {coded:?}")));
        }
        match settings.is_eligible {
            true => compare(coding, &fetched.body, body)?,
            false if fetched.body == *body => {}
            false => return Err(Fault::Wrong("a body that was not sent".to_owned())),
        }
        lengths.push(fetched.body.len());
        let [(name, value)] = &accept;
        let request = PreparedRequest::get(&path(number))?.header(name, value)?;
        requests.push(request.expecting(Expectation::body(200, &fetched.body)));
    }
    let target = Target {
        address,
        requests,
        expect: Expectation::status(200),
    };
    Ok(Box::new(Served {
        arm: ClosedLoop::connect(target, settings.connections).await?,
        pid,
        bytes_out: mean(&lengths),
        _server: server,
    }))
}

impl Arm for Served {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn pids(&self) -> Vec<(Process, u32)> {
        vec![(Process::Server, self.pid)]
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        let bytes_out = self.bytes_out;
        Box::pin(async move { Ok(BTreeMap::from([("bytes_out".to_owned(), bytes_out)])) })
    }
}
