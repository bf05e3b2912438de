//! Latency under load: the ceiling by a closed loop, latency by an open one at shares of it.
//!
//! The ceiling is searched where nobody waits; latency is measured where the load does not depend
//! on the server. A point is flagged where its figures are about the client rather than the server.

mod point;

use std::{net::SocketAddr, time::Duration};

use ruleiq_bench::{
    Budget, Fault, Orders,
    cpu::Clocks,
    load::{Arrivals, Client, Expectation, Limits, PreparedRequest, Target},
    report::{Curve, CurvePoint},
    stats,
};

use crate::plain_server;

/// The shares of the ceiling at which latency is measured.
const SHARES: [f64; 4] = [0.25, 0.5, 0.7, 0.9];
/// The one at which targets are judged.
pub(crate) const JUDGED: f64 = 0.7;
/// Where the search for the knee begins if all of those hold.
const BEYOND: f64 = 1.2;
/// How closely the knee is searched, as a ratio.
const CLOSE: f64 = 1.05;
/// What is answered of what is offered, for a rate to hold.
const ANSWERED: f64 = 0.99;
/// How often each ceiling is measured; their median counts.
const CEILINGS: usize = 3;

/// What is loaded, and how.
#[derive(Debug)]
pub struct CurvePlan {
    /// The report's component: `http`.
    pub component: String,
    /// The endpoint.
    pub case: String,
    /// Subject or control, by name.
    pub side: String,
    /// The server and its requests.
    pub target: Target,
    /// The clocks of the processes that answer.
    pub clocks: Clocks,
    /// A plain server, whose handler that does nothing shows the client's own ceiling.
    pub plain: SocketAddr,
    /// Connections; so many requests can be under way at once.
    pub connections: usize,
    /// The P99 up to which a rate holds.
    pub bound: Duration,
    /// How long each rate is offered.
    pub slice: Duration,
    /// Whether the knee is searched beyond the four shares.
    pub refine: bool,
    /// Further slices of the share at which targets are judged.
    pub repeats: usize,
    /// What schedules and orders are drawn from.
    pub seed: u64,
}

/// Measures the curve.
///
/// # Errors
///
/// When a server cannot be reached, gives a wrong answer to the first request, or answers nothing.
/// Errors under load are counted in the points.
pub async fn curve(plan: CurvePlan) -> Result<Curve, Fault> {
    let connect = |target| Client::connect(target, plan.connections, Limits::default());
    let null = Target {
        address: plan.plain,
        requests: vec![PreparedRequest::get(plain_server::NULL)?],
        expect: Expectation::body(200, b""),
    };
    let mut null = connect(null).await?;
    let mut client = connect(plan.target.clone()).await?;
    let (ceiling, client_ceiling) = ceilings(&mut client, &mut null, plan.slice).await?;
    drop(null);
    let mut load = Load {
        orders: Orders::new(plan.seed),
        client,
        ceiling,
        client_ceiling,
        plan,
        points: Vec::new(),
    };
    load.shares().await?;
    let knee = load.knee().await?;
    let mut points = load.points;
    points.sort_by(|a, b| a.0.share.total_cmp(&b.0.share));
    // The first of those that were offered again stays in its place.
    let mut repeats = Vec::new();
    let mut curve: Vec<CurvePoint> = Vec::new();
    for (point, _) in points {
        match curve.last() {
            Some(last) if last.share.total_cmp(&point.share).is_eq() => repeats.push(point),
            _ => curve.push(point),
        }
    }
    Ok(Curve {
        component: load.plan.component,
        case: load.plan.case,
        side: load.plan.side,
        ceiling,
        client_ceiling,
        knee,
        points: curve,
        repeats,
    })
}

/// The ceilings of the server and of the client, in requests per second, taken in turn.
async fn ceilings(
    client: &mut Client,
    null: &mut Client,
    slice: Duration,
) -> Result<(f64, f64), Fault> {
    let slice = slice / 4;
    let (mut ours, mut nothing) = (Vec::new(), Vec::new());
    // Warms both.
    rate(client, slice).await?;
    rate(null, slice).await?;
    for _ in 0..CEILINGS {
        ours.push(rate(client, slice).await?);
        nothing.push(rate(null, slice).await?);
    }
    let ceiling = |rates: &[f64]| stats::median(rates).filter(|it| *it > 0.0);
    ceiling(&ours)
        .zip(ceiling(&nothing))
        .ok_or_else(|| Fault::Failed("no request was answered rightly".into()))
}

async fn rate(client: &mut Client, slice: Duration) -> Result<f64, Fault> {
    let began = std::time::Instant::now();
    let tally = client.closed_loop(Budget::For(slice)).await?;
    let wall = began.elapsed().as_secs_f64();
    if tally.operations == 0 {
        let error = tally.errors.into_keys().next();
        let error = error.unwrap_or_else(|| "all answers are wrong".into());
        return Err(Fault::Failed(error));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let operations = tally.operations as f64;
    Ok(operations / wall)
}

struct Load {
    plan: CurvePlan,
    client: Client,
    orders: Orders,
    ceiling: f64,
    client_ceiling: f64,
    /// Each with whether the rate holds.
    points: Vec<(CurvePoint, bool)>,
}

impl Load {
    async fn shares(&mut self) -> Result<(), Fault> {
        let again = std::iter::repeat_n(JUDGED, self.plan.repeats);
        let mut shares: Vec<f64> = SHARES.into_iter().chain(again).collect();
        self.orders.shuffle(&mut shares);
        for share in shares {
            self.offer(share).await?;
        }
        Ok(())
    }

    /// The highest rate that holds below the lowest that does not.
    async fn knee(&mut self) -> Result<Option<f64>, Fault> {
        let mut lowest_broken = self.lowest_broken();
        if self.plan.refine {
            if lowest_broken.is_none() {
                self.offer(BEYOND).await?;
                lowest_broken = self.lowest_broken();
            }
            while let Some((low, high)) = self.highest_holding().zip(lowest_broken)
                && high / low > CLOSE
            {
                self.offer(low.midpoint(high)).await?;
                lowest_broken = self.lowest_broken();
            }
        }
        Ok(self.highest_holding().map(|share| share * self.ceiling))
    }

    fn lowest_broken(&self) -> Option<f64> {
        let broken = self.points.iter().filter(|it| !it.1);
        broken.map(|it| it.0.share).min_by(f64::total_cmp)
    }

    /// A rate above one that does not hold is held by luck, if at all.
    fn highest_holding(&self) -> Option<f64> {
        let below = self.lowest_broken().unwrap_or(f64::INFINITY);
        let holding = self.points.iter().filter(|it| it.1 && it.0.share < below);
        holding.map(|it| it.0.share).max_by(f64::total_cmp)
    }

    async fn offer(&mut self, share: f64) -> Result<(), Fault> {
        let arrivals = Arrivals {
            rate: share * self.ceiling,
            duration: self.plan.slice,
            seed: self.orders.seed(),
        };
        let before = self.plan.clocks.before().map_err(Fault::failed)?;
        let seen = self.client.open_loop(&arrivals).await?;
        let used = self.plan.clocks.since(&before).map_err(Fault::failed)?;
        let holds = point::holds(&seen, self.plan.bound, ANSWERED);
        let point = point::point(share, seen, used, self.client_ceiling);
        self.points.push((point, holds));
        Ok(())
    }
}
