//! Whether the load client is a fair one: what a server needs per request under it, under `wrk`
//! and under `oha`.
//!
//! A client shapes what it measures: one that sends in bunches lets the server answer in bunches,
//! one that sleeps between requests makes the server sleep too. All clients have the same number of
//! connections, one thread and the same time, send the same path and the same headers (those that oha sends by
//! itself; wrk sends `host` alone unless told otherwise), and take turns in mirrored blocks. Slices
//! are short, since the speed of a processor drifts; the others are stopped between theirs, and the
//! server counts the requests. It has a processor of its own, and so has whichever client loads it.
//!
//! The second part shows what the open loop is for: a server that stands still for a second, under
//! a closed and under an open loop.

mod apart;
mod peer;
mod stall;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ruleiq_bench::{
    ArmOf, Budget, Fault, Orders, Process,
    cpu::{Clocks, Servers},
    load::{Client, Expectation, Limits, PreparedRequest, Target},
    stats,
};
use serde::{Deserialize, Serialize};

pub use self::stall::{StallPlan, StallSeen, stall};
use self::{apart::Apart, peer::Peer};
use crate::{
    http_server,
    paused::Paused,
    plain_server::{PlainPlan, PlainRoute, PlainServer, SERVED},
};

const PATH: &str = "/plain";
/// How far the server's CPU time per request may differ from that under another client.
const BAR: f64 = 0.05;
const CONFIDENCE: f64 = 0.99;
/// Requests of another client before its first slice.
const WARM: u64 = 1_000;
const START_LIMIT: Duration = Duration::from_secs(20);
/// Slices without a request, one after the other, until a client is given up.
const TRIES: usize = 3;
/// In which a server answers what it has received.
const SETTLE: Duration = Duration::from_millis(5);

/// How the check is done.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientCheckPlan {
    /// Connections of each client.
    pub connections: usize,
    /// How long a slice is, in milliseconds.
    pub slice_ms: u64,
    /// Blocks; in each, every client has two slices. Fewer than 8 give no interval at 99 %.
    pub blocks: usize,
    /// The answer's size in bytes.
    pub body_bytes: usize,
    /// What the orders are drawn from.
    pub seed: u64,
    /// wrk's program.
    pub wrk: PathBuf,
    /// oha's program.
    pub oha: PathBuf,
    /// How the server that stands still is loaded.
    pub stall: StallPlan,
}

impl Default for ClientCheckPlan {
    fn default() -> ClientCheckPlan {
        ClientCheckPlan {
            connections: 32,
            slice_ms: 200,
            blocks: 240,
            body_bytes: 1_000,
            seed: 42,
            wrk: "wrk".into(),
            oha: "oha".into(),
            stall: StallPlan::default(),
        }
    }
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct ClientCheck {
    /// Under our client, in its slices' order.
    pub ours: Vec<Cost>,
    /// Against each other client that is installed.
    pub compared: Vec<Compared>,
    /// Whether the server and its clients had a processor each.
    pub is_apart: bool,
    /// How to get those that are not.
    pub missing: Vec<String>,
    /// The server that stands still.
    pub stall: StallSeen,
}

/// One slice.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// The server's CPU microseconds per request.
    pub cpu_us: f64,
    /// Requests per second.
    pub rate: f64,
}

/// Our client against another one.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The other one, with its version.
    pub name: String,
    /// Its slices.
    pub slices: Vec<Cost>,
    /// The server's CPU time per request under ours, over that under the other one.
    pub ratio: f64,
    /// Between these with a confidence of 99 %; none with fewer than 8 blocks.
    pub interval: Option<(f64, f64)>,
}

/// Runs the check. `program` is `bench-cases`.
///
/// # Errors
///
/// When a server does not start, a client fails, or an answer is not the expected one.
pub async fn client_check(program: &Path, plan: &ClientCheckPlan) -> Result<ClientCheck, Fault> {
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(plan.body_bytes).collect();
    let route = PlainRoute::new(PATH, "text/plain", &body);
    let server = PlainPlan {
        counts: true,
        routes: vec![route],
        ..PlainPlan::default()
    };
    let server = PlainServer::start_with(program, &server)?;
    let mut peers = Vec::new();
    let mut missing = Vec::new();
    for find in [Peer::wrk(&plan.wrk).await, Peer::oha(&plan.oha).await] {
        match find {
            Ok(peer) => peers.push(peer),
            Err(remedy) => missing.push(remedy),
        }
    }
    let apart = Apart::keep(server.pid());
    let mut rig = Rig {
        clocks: Clocks::new(Servers::default(), &[(Process::Server, server.pid())]),
        address: server.address(),
        client: connect(&server, &body, plan).await?,
        peers: Vec::new(),
        plan: plan.clone(),
    };
    for peer in &peers {
        rig.start(peer).await?;
    }
    let blocks = rig.blocks().await?;
    drop(rig);
    let is_apart = apart.is_some();
    drop(apart);
    let compared = peers.iter().enumerate();
    Ok(ClientCheck {
        compared: compared
            .map(|(i, peer)| compare(peer.name(), &blocks, i + 1))
            .collect(),
        ours: slices(&blocks, 0),
        is_apart,
        missing,
        stall: stall(program, &plan.stall).await?,
    })
}

async fn connect(
    server: &PlainServer,
    body: &[u8],
    plan: &ClientCheckPlan,
) -> Result<Client, Fault> {
    let mut request = PreparedRequest::get(PATH)?;
    for (name, value) in peer::HEADERS {
        request = request.header(name, value)?;
    }
    let target = Target {
        address: server.address(),
        requests: vec![request],
        expect: Expectation::body(200, body),
    };
    Client::connect(target, plan.connections, Limits::default()).await
}

/// The clients and the server between them. Ours has place 0.
struct Rig {
    clocks: Clocks,
    address: SocketAddr,
    client: Client,
    peers: Vec<Paused>,
    plan: ClientCheckPlan,
}

/// By client, the two slices of a block.
type Block = BTreeMap<usize, Vec<Cost>>;

impl Rig {
    /// Sees that a client's requests are answered rightly, then starts it for its slices.
    async fn start(&mut self, peer: &Peer) -> Result<(), Fault> {
        let url = format!("http://{}{PATH}", self.address);
        let connections = self.plan.connections;
        peer.load(&url, connections, Duration::from_secs(1)).await?;
        let before = self.served().await?;
        let started = peer.start(&url, connections)?;
        let warm = async {
            while self.served().await? < before + WARM {
                tokio::time::sleep(SETTLE).await;
            }
            Ok(())
        };
        let warm = tokio::time::timeout(START_LIMIT, warm).await;
        warm.map_err(|_| Fault::Failed(format!("{} sends nothing", peer.name())))??;
        started.pause().await?;
        self.peers.push(started);
        Ok(())
    }

    /// How many requests the server has answered.
    async fn served(&self) -> Result<u64, Fault> {
        let told = http_server::fetch(self.address, SERVED, &[]).await?;
        let told = std::str::from_utf8(&told.body).ok();
        told.and_then(|it| it.parse().ok())
            .ok_or_else(|| Fault::Failed("the server does not count".to_owned()))
    }

    async fn blocks(&mut self) -> Result<Vec<Block>, Fault> {
        let places: Vec<usize> = (0..=self.peers.len()).collect();
        for place in &places {
            // Warms the server and both caches.
            self.slice(*place).await?;
        }
        let arms: Vec<ArmOf> = places.into_iter().map(ArmOf::Side).collect();
        let mut orders = Orders::new(self.plan.seed);
        let mut blocks = Vec::new();
        for _ in 0..self.plan.blocks {
            let mut block = Block::new();
            for arm in orders.block(&arms) {
                let (ArmOf::Side(place) | ArmOf::Again(place)) = arm;
                let cost = self.slice(place).await?;
                block.entry(place).or_default().push(cost);
            }
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// A slice in which the host let nobody run is taken again.
    async fn slice(&mut self, place: usize) -> Result<Cost, Fault> {
        for _ in 0..TRIES {
            if let Some(cost) = self.try_slice(place).await? {
                return Ok(cost);
            }
        }
        let name = match place.checked_sub(1) {
            None => "our client",
            Some(i) => self.peers[i].name(),
        };
        Err(Fault::Failed(format!("{name} sends nothing any more")))
    }

    /// None if no request was answered.
    async fn try_slice(&mut self, place: usize) -> Result<Option<Cost>, Fault> {
        let time = Duration::from_millis(self.plan.slice_ms);
        let served = self.served().await?;
        let before = self.clocks.before().map_err(Fault::failed)?;
        let began = std::time::Instant::now();
        match place.checked_sub(1) {
            None => ours(&mut self.client, time).await?,
            Some(i) => {
                self.peers[i].go_on()?;
                tokio::time::sleep(time).await;
                self.peers[i].pause().await?;
            }
        }
        let wall = began.elapsed();
        // What was under way is answered, whoever is there to read it.
        tokio::time::sleep(SETTLE).await;
        let used = self.clocks.since(&before).map_err(Fault::failed)?;
        let requests = self.served().await?.saturating_sub(served);
        if requests == 0 {
            return Ok(None);
        }
        let server_s = used.cpu_s.get(Process::Server.word()).copied();
        let server_s = server_s
            .ok_or_else(|| Fault::Failed("the server's CPU clock cannot be read".to_owned()))?;
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let requests = requests as f64;
        Ok(Some(Cost {
            cpu_us: server_s * 1e6 / requests,
            rate: requests / wall.as_secs_f64(),
        }))
    }
}

async fn ours(client: &mut Client, time: Duration) -> Result<(), Fault> {
    let tally = client.closed_loop(Budget::For(time)).await?;
    let problem = tally.errors.into_keys().next();
    match problem {
        Some(error) => Err(Fault::Failed(error)),
        None if tally.wrong > 0 => Err(Fault::Wrong(format!("{} answers", tally.wrong))),
        None if tally.operations == 0 => Err(Fault::Failed("no request was answered".into())),
        None => Ok(()),
    }
}

fn slices(blocks: &[Block], place: usize) -> Vec<Cost> {
    let of_the_client = blocks.iter().filter_map(|it| it.get(&place));
    of_the_client.flatten().copied().collect()
}

fn compare(name: &str, blocks: &[Block], place: usize) -> Compared {
    let log = |block: &Block, place| {
        let slices = block.get(&place)?;
        let logs: Vec<f64> = slices.iter().map(|it| it.cpu_us.ln()).collect();
        stats::mean(&logs)
    };
    let differences: Vec<f64> = blocks
        .iter()
        .filter_map(|it| Some(log(it, 0)? - log(it, place)?))
        .collect();
    let estimate = stats::estimate(&differences, CONFIDENCE);
    Compared {
        name: name.to_owned(),
        slices: slices(blocks, place),
        ratio: estimate.as_ref().map_or(f64::NAN, |it| it.middle.exp()),
        interval: estimate
            .and_then(|it| it.interval)
            .map(|it| (it.low.exp(), it.high.exp())),
    }
}

impl Compared {
    /// Whether the server needs the same within 5 %; none while that is undecided.
    pub fn is_within(&self) -> Option<bool> {
        let (low, high) = self.interval?;
        if low >= 1.0 - BAR && high <= 1.0 + BAR {
            return Some(true);
        }
        (high < 1.0 - BAR || low > 1.0 + BAR).then_some(false)
    }
}

fn median(slices: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let values: Vec<f64> = slices.iter().map(of).collect();
    stats::median(&values).unwrap_or(f64::NAN)
}

impl fmt::Display for ClientCheck {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.is_apart {
            true => "on a processor of its own",
            false => "NOT on a processor of its own",
        };
        writeln!(
            out,
            "CPU time per request of a server {place}, by client (medians):"
        )?;
        let ours = ("ruleiq-bench", &self.ours);
        let others = self
            .compared
            .iter()
            .map(|it| (it.name.as_str(), &it.slices));
        for (name, slices) in std::iter::once(ours).chain(others) {
            let cpu = median(slices, |it| it.cpu_us);
            let rate = median(slices, |it| it.rate);
            writeln!(out, "  {name:<14} {cpu:8.2} us  {rate:8.0} requests/s")?;
        }
        for it in &self.compared {
            write!(out, "  ours / {}: {:.3}", it.name, it.ratio)?;
            if let Some((low, high)) = it.interval {
                write!(out, " [{low:.3}, {high:.3}]")?;
            }
            let verdict = match it.is_within() {
                Some(true) => "within 5 %",
                Some(false) => "NOT within 5 %",
                None => "undecided at 5 %",
            };
            writeln!(out, ", {verdict}")?;
        }
        for remedy in &self.missing {
            writeln!(out, "  {remedy}")?;
        }
        write!(out, "{}", self.stall)
    }
}
