//! The plain server on actix-web.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, middleware::Compress, web};
use anyhow::Context as _;
use bytes::Bytes;

use super::{Around, NULL, Plain, SERVED, tell, when_closed};

/// Longer than any pause of an arm while others have their slices: nothing is reconnected.
const KEEP_ALIVE: Duration = Duration::from_secs(600);

pub(super) async fn serve(workers: usize, routes: Vec<Arc<Plain>>) -> anyhow::Result<()> {
    let server = HttpServer::new(move || {
        let routes = routes.clone();
        App::new()
            .route(NULL, web::to(HttpResponse::Ok))
            .route(SERVED, served(routes.clone()))
            .configure(|app| match in_common(&routes) {
                Some(around) => mount_all(app, &routes, around),
                None => routes.iter().for_each(|it| mount(app, it)),
            })
    })
    .workers(workers.max(1))
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .context("failed to listen")?;
    let address = *server
        .addrs()
        .first()
        .context("no address is listened on")?;
    let server = server.run();
    let handle = server.handle();
    let closed = when_closed();
    tell(address.port())?;
    tokio::select! {
        ended = server => ended.context("the server failed"),
        _ = closed => {
            handle.stop(false).await;
            Ok(())
        }
    }
}

/// Tells how many requests the routes have answered.
fn served(routes: Vec<Arc<Plain>>) -> actix_web::Route {
    web::get().to(move || {
        let counts = routes.iter().filter_map(|it| it.served.as_ref());
        let sum: u64 = counts.map(|it| it.load(Ordering::Relaxed)).sum();
        async move { sum.to_string() }
    })
}

/// What is around all of several routes.
fn in_common(routes: &[Arc<Plain>]) -> Option<&Around> {
    let (first, others) = routes.split_first()?;
    let is_same = |it: &Arc<Plain>| it.compressor == first.compressor;
    (!others.is_empty() && others.iter().all(is_same)).then_some(&first.around)
}

/// Finds answers by a table: actix-web asks one route after the other, which would be most of the work of many.
fn mount_all(app: &mut web::ServiceConfig, routes: &[Arc<Plain>], around: &Around) {
    let answers: HashMap<String, Arc<Plain>> = routes
        .iter()
        .map(|it| (it.path.clone(), Arc::clone(it)))
        .collect();
    let answers = Arc::new(answers);
    let handler = move |request: HttpRequest, _: Bytes| {
        let answer = match answers.get(request.path()) {
            Some(plain) => plain.answer(),
            None => HttpResponse::NotFound().finish(),
        };
        async move { answer }
    };
    let all = web::scope("").default_service(web::to(handler));
    match around {
        Around::Nothing => app.service(all),
        Around::Framework => app.service(all.wrap(Compress::default())),
        Around::Ruleiq(middleware) => app.service(all.wrap(middleware.clone())),
    };
}

fn mount(app: &mut web::ServiceConfig, plain: &Arc<Plain>) {
    let handler = {
        let plain = Arc::clone(plain);
        move || {
            let answer = plain.answer();
            async move { answer }
        }
    };
    let reading = {
        let handler = handler.clone();
        // A body that nobody reads costs the connection.
        move |_: Bytes| handler()
    };
    let resource = web::resource(plain.path.as_str())
        .route(web::post().to(reading))
        .default_service(web::to(handler));
    match &plain.around {
        Around::Nothing => app.service(resource),
        Around::Framework => app.service(resource.wrap(Compress::default())),
        Around::Ruleiq(middleware) => app.service(resource.wrap(middleware.clone())),
    };
}
