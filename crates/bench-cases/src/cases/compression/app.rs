//! An actix application on a thread of its own, asked without sockets.
//!
//! Between the request and its answer stand actix's routing, the middleware and the handler, on
//! actix's own runtime; no connection, whose cost would stand on both sides alike and make any
//! difference look smaller.

use std::{
    cell::Cell,
    collections::BTreeMap,
    hint::black_box,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use actix_web::{
    App, HttpResponse, body::MessageBody, body::to_bytes, dev::ServiceResponse, http::header,
    middleware::Compress, rt::System, test, test::TestRequest, web,
};
use bytes::Bytes;
use ruleiq_bench::{Arm, Budget, Doing, Fault, Histogram, Tally};
use ruleiq_compression::{Coding, Config};
use ruleiq_web::{CompressionMiddleware, ContentHash};
use tokio::sync::{mpsc, oneshot};

use super::{
    Settings,
    codec::{compare, mean},
    corpus,
};
use crate::Env;

/// What stands around the handler.
#[derive(Clone, Debug)]
enum Around {
    Ours(CompressionMiddleware),
    Compress,
    Nothing,
}

/// What the application's thread is asked to do.
enum Job {
    /// Every body once, compared in full. Answers the lengths of what came.
    Check(oneshot::Sender<Result<Vec<usize>, Fault>>),
    /// Requests, one after the other.
    Run(Budget, oneshot::Sender<Tally>),
}

/// A side whose operations are requests.
struct Requests {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

pub(super) async fn ours(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let config = Config {
        brotli_level: settings.brotli_level,
        ..Config::default()
    };
    let middleware = CompressionMiddleware::builder().config(config).build();
    let around = Around::Ours(middleware.map_err(Fault::failed)?);
    start(&env, &settings, around).await
}

pub(super) async fn actix(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    start(&env, &settings, Around::Compress).await
}

/// The handler alone, which says what its body is made of to nobody.
pub(super) async fn identity(
    env: Arc<Env>,
    settings: Arc<Settings>,
) -> Result<Box<dyn Arm>, Fault> {
    let settings = Settings {
        is_eligible: false,
        ..Settings::clone(&settings)
    };
    start(&env, &settings, Around::Nothing).await
}

pub(super) async fn bare(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    start(&env, &settings, Around::Nothing).await
}

async fn start(env: &Env, settings: &Settings, around: Around) -> Result<Box<dyn Arm>, Fault> {
    let bodies = corpus::bodies(env.seed(), settings.size_bytes, settings.bodies);
    let asked = Asked {
        bodies,
        coding: settings.coding(),
        content_type: settings.content_type,
        is_encoded: settings.is_eligible,
        is_marked: settings.is_marked,
    };
    let (jobs, received) = mpsc::channel(1);
    let thread = thread::Builder::new()
        .name("actix".to_owned())
        .spawn(move || System::new().block_on(work(asked, around, received)))
        .map_err(Fault::failed)?;
    let requests = Requests {
        jobs: Some(jobs),
        thread: Some(thread),
    };
    // The run compares lengths with those of this check.
    requests.lengths().await?;
    Ok(Box::new(requests))
}

/// What is asked for, and what has to come.
struct Asked {
    bodies: Vec<Bytes>,
    coding: Coding,
    content_type: &'static str,
    is_encoded: bool,
    is_marked: bool,
}

async fn work(asked: Asked, around: Around, jobs: mpsc::Receiver<Job>) {
    let last = Rc::new(Cell::new(0));
    let handler = {
        let (bodies, last) = (asked.bodies.clone(), Rc::clone(&last));
        let (content_type, is_marked) = (asked.content_type, asked.is_marked);
        move || {
            let number = (last.get() + 1) % bodies.len();
            last.set(number);
            let body = bodies[number].clone();
            async move {
                let mut response = HttpResponse::Ok().content_type(content_type).body(body);
                if is_marked {
                    // Bodies are told apart by their numbers.
                    response
                        .extensions_mut()
                        .insert(ContentHash(number as u128));
                }
                response
            }
        }
    };
    let app = App::new();
    match around {
        Around::Ours(middleware) => {
            let app = app.wrap(middleware).route("/", web::get().to(handler));
            let app = test::init_service(app).await;
            let call = async |it: TestRequest| test::try_call_service(&app, it.to_request()).await;
            serve(&asked, &last, jobs, call).await;
        }
        Around::Compress => {
            let app = app.wrap(Compress::default());
            let app = test::init_service(app.route("/", web::get().to(handler))).await;
            let call = async |it: TestRequest| test::try_call_service(&app, it.to_request()).await;
            serve(&asked, &last, jobs, call).await;
        }
        Around::Nothing => {
            let app = test::init_service(app.route("/", web::get().to(handler))).await;
            let call = async |it: TestRequest| test::try_call_service(&app, it.to_request()).await;
            serve(&asked, &last, jobs, call).await;
        }
    }
}

/// Does what it is asked until nobody can ask any more.
async fn serve<B: MessageBody>(
    asked: &Asked,
    last: &Cell<usize>,
    mut jobs: mpsc::Receiver<Job>,
    call: impl AsyncFn(TestRequest) -> Result<ServiceResponse<B>, actix_web::Error>,
) {
    let mut lengths = vec![0; asked.bodies.len()];
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Check(answer) => {
                let checked = check(asked, last, &call).await;
                if let Ok(checked) = &checked {
                    lengths.clone_from(checked);
                }
                // Whoever asked may have given up.
                drop(answer.send(checked));
            }
            Job::Run(budget, answer) => {
                let one = async || {
                    let found = request(asked, &call).await?;
                    match found.len() == lengths[last.get()] {
                        true => Ok(found),
                        false => Err(Fault::Wrong(format!("{} bytes", found.len()))),
                    }
                };
                let tally = run(budget, one, || answer.is_closed()).await;
                drop(answer.send(tally));
            }
        }
    }
}

async fn check<B: MessageBody>(
    asked: &Asked,
    last: &Cell<usize>,
    call: &impl AsyncFn(TestRequest) -> Result<ServiceResponse<B>, actix_web::Error>,
) -> Result<Vec<usize>, Fault> {
    let mut lengths = vec![0; asked.bodies.len()];
    for _ in 0..asked.bodies.len() {
        let found = request(asked, call).await?;
        let body = &asked.bodies[last.get()];
        match asked.is_encoded {
            true => compare(asked.coding, &found, body)?,
            false if found == *body => {}
            false => return Err(Fault::Wrong("a body that was not sent".to_owned())),
        }
        lengths[last.get()] = found.len();
    }
    Ok(lengths)
}

/// One request and its body.
async fn request<B: MessageBody>(
    asked: &Asked,
    call: &impl AsyncFn(TestRequest) -> Result<ServiceResponse<B>, actix_web::Error>,
) -> Result<Bytes, Fault> {
    let request = TestRequest::get()
        .uri("/")
        .insert_header((header::ACCEPT_ENCODING, asked.coding.as_str()));
    let response = call(request)
        .await
        .map_err(|it| Fault::Failed(it.to_string()))?;
    let coding = response.headers().get(header::CONTENT_ENCODING);
    let coding = coding.map(header::HeaderValue::as_bytes);
    let right = asked.is_encoded.then(|| asked.coding.as_str().as_bytes());
    if response.status() != 200 || coding != right {
        let status = response.status();
        return Err(Fault::Wrong(format!("{status}, encoded as {coding:?}")));
    }
    to_bytes(response.into_body())
        .await
        .map_err(|it| Fault::Failed(it.into().to_string()))
}

async fn run(
    budget: Budget,
    one: impl AsyncFn() -> Result<Bytes, Fault>,
    is_given_up: impl Fn() -> bool,
) -> Tally {
    let (limit, most) = budget.limits();
    let mut tally = Tally::default();
    let mut latency = Histogram::new();
    let started = Instant::now();
    let mut begun = 0;
    while begun < most && started.elapsed() < limit && !is_given_up() {
        begun += 1;
        let at = Instant::now();
        match one().await {
            Ok(body) => {
                black_box(body);
                latency.record(at.elapsed());
                tally.operations += 1;
            }
            Err(fault) => tally.fail(&fault),
        }
    }
    tally.latency = Some(latency);
    tally
}

impl Requests {
    async fn lengths(&self) -> Result<Vec<usize>, Fault> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Check(answer)).await?;
        answered.await.map_err(|_| ended())?
    }

    async fn ask(&self, job: Job) -> Result<(), Fault> {
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).await.map_err(|_| ended())
    }
}

impl Arm for Requests {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { self.lengths().await.map(drop) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.ask(Job::Run(budget, answer)).await?;
            answered.await.map_err(|_| ended())
        })
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async {
            let lengths = self.lengths().await?;
            Ok(BTreeMap::from([("bytes_out".to_owned(), mean(&lengths))]))
        })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It ends with its last request.
            drop(thread.join());
        }
    }
}

fn ended() -> Fault {
    Fault::Failed("the application's thread has ended".to_owned())
}
