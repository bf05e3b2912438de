//! The API, endpoint by endpoint, against a handler that answers the same bytes at once.
//!
//! Both are processes of their own under the same load: keep-alive connections, each of which sends
//! its next request when its last one is answered. Which rows are asked for is drawn from the seed;
//! each request has an expectation of its own, learned from a first answer that is looked at.
//!
//! A closed loop shows what an answer costs, and hides what a stall delays: what misses a bound under
//! it is missed. What users wait is judged under an open one too, on the curves of some endpoints.
//!
//! Left out are requests that cannot be sent again and again to the same end: those that make a user,
//! a business profile or an assessment, complete one, renew a token or end it. Logging in is bound by
//! argon2, by design, and by the limit of attempts.

mod answer;
mod asked;
mod curve;
mod endpoint;
mod sides;
mod stored;

use std::{num::NonZeroUsize, time::Duration};

use ruleiq_bench::{Case, Process, Target};
use serde::Serialize;

pub use self::curve::{CurvesPlan, curves};
use self::endpoint::{ENDPOINTS, Endpoint};
use crate::{Env, Options};

const CONNECTIONS: usize = 16;
/// Different requests of a case, where it asks for rows.
const REQUESTS: usize = 256;
const SLICE: Duration = Duration::from_millis(500);
/// Codings of the answer that is measured compressed, too.
const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

/// What both sides are set up from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct HttpSettings {
    /// Keep-alive connections, each with one request under way.
    pub(crate) connections: usize,
    /// Threads of either server that serve.
    pub(crate) workers: NonZeroUsize,
    /// Different requests, sent in turn.
    pub(crate) requests: usize,
    /// `Accept-Encoding`; absent: none is sent.
    pub(crate) accept_encoding: Option<&'static str>,
    #[serde(skip)]
    pub(crate) endpoint: &'static Endpoint,
}

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let plain = ENDPOINTS.iter().map(|it| case(options, it, None));
    let coded = ENDPOINTS.iter().filter(|it| it.is_coded);
    let coded = coded.flat_map(|it| CODINGS.map(|coding| case(options, it, Some(coding))));
    plain.chain(coded).collect()
}

fn settings(
    options: &Options,
    endpoint: &'static Endpoint,
    coding: Option<&'static str>,
) -> HttpSettings {
    HttpSettings {
        connections: match endpoint.is_slow {
            true => 1,
            false => options.concurrency.unwrap_or(CONNECTIONS).max(1),
        },
        workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        requests: if options.tiny { 4 } else { REQUESTS },
        accept_encoding: coding,
        endpoint,
    }
}

/// What a few hundred answers cannot show with confidence must not decide a run.
fn target(endpoint: &Endpoint) -> Target {
    let target = Target::value_at_most("latency_p95", 200_000.0);
    match endpoint.is_slow {
        true => target,
        false => target.critical_beyond(500_000.0),
    }
}

fn case(options: &Options, endpoint: &'static Endpoint, coding: Option<&'static str>) -> Case<Env> {
    let settings = settings(options, endpoint, coding);
    let mut case = Case::builder("http", endpoint.name, settings)
        .about(endpoint.about)
        .cpu_of([Process::Server, Process::Postgres, Process::Redis])
        .slice(SLICE)
        .target(target(endpoint));
    if let Some(coding) = coding {
        case = case.variant("coding", coding);
    }
    if endpoint.is_quick && coding.is_none() {
        case = case.quick();
    }
    let control = match coding {
        None => sides::PLAIN,
        Some(_) => "actix-web, `Compress`",
    };
    case.subject(sides::OURS, env!("CARGO_PKG_VERSION"), sides::ours)
        .control(control, "4", sides::plain)
        .build()
}
