//! The listeners: the API's, and that of the metrics alone.

use std::{net::SocketAddr, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use anyhow::Context as _;
use ruleiq_web::{CatchPanic, RequestId, RequestScope, Timing};

use super::parts::Parts;
use crate::{routes, settings::Settings};

/// How long an idle connection is kept: longer than load balancers keep theirs, which is a minute
/// as a rule, so that none sends a request into a connection that is closing.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send the head of a request.
const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// How long a client may take to see that its connection is closed.
const DISCONNECT: Duration = Duration::from_secs(5);

/// Begins to serve the API.
///
/// # Errors
///
/// An address that cannot be had.
pub(super) fn api(settings: &Settings, parts: &Parts) -> anyhow::Result<Server> {
    let (app, metrics) = (parts.app.clone(), web::Data::new(parts.metrics.clone()));
    let (performance, monitoring) = (parts.performance.clone(), settings.monitoring.enabled);
    let scope =
        RequestScope::new(settings.http.request_timeout).causal(parts.causal_tokens.clone());
    let (n_plus_one, compression) = (parts.n_plus_one.clone(), parts.compression.clone());
    let timing = Timing::new(parts.metrics.clone())
        .slow_threshold(settings.monitoring.slow_request_threshold);
    let max_body_bytes = settings.http.max_body_bytes;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(app.clone())
            .app_data(metrics.clone())
            .configure(|config| routes::configure(config, max_body_bytes))
            .configure(|config| match monitoring {
                true => performance.configure(config),
                false => performance.configure_health(config),
            })
            // From the innermost to the outermost.
            // Next to the routes, so that the deadline is theirs alone.
            .wrap(scope.clone())
            // Around the scope, whose statements it looks at.
            .wrap(n_plus_one.clone())
            // Outside of the scope: encoding an answer takes nothing from the handler's time.
            .wrap(compression.clone())
            // Around all that could panic: the caller gets an answer, and the connection stays.
            .wrap(CatchPanic::new())
            // Compression is part of what a request takes.
            .wrap(timing.clone())
            // Around all that logs.
            .wrap(RequestId::new())
    });
    let address = settings.http.bind_address;
    let server = server
        .workers(settings.http.workers.get())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_HEAD)
        .client_disconnect_timeout(DISCONNECT)
        // Who closes their side has left: the request is dropped, and its statement is cancelled.
        .h1_allow_half_closed(false)
        .shutdown_timeout(whole_seconds(settings.http.shutdown_grace))
        .disable_signals()
        .bind(address)
        .with_context(|| format!("failed to listen on {address} (BIND_ADDRESS)"))?;
    for address in server.addrs() {
        tracing::info!(%address, "listening");
    }
    Ok(server.run())
}

/// Begins to serve `/metrics` alone.
///
/// # Errors
///
/// An address that cannot be had.
pub(super) fn metrics(address: SocketAddr, parts: &Parts) -> anyhow::Result<ServerHandle> {
    let metrics = web::Data::new(parts.metrics.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(metrics.clone())
            .configure(routes::metrics_only)
    });
    let server = server
        .workers(1)
        .client_request_timeout(REQUEST_HEAD)
        .disable_signals()
        .bind(address)
        .with_context(|| format!("failed to listen on {address} (METRICS_BIND_ADDRESS)"))?;
    for address in server.addrs() {
        tracing::info!(%address, "serving metrics");
    }
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the metrics are not served any more");
        }
    });
    Ok(handle)
}

/// The server counts its grace in seconds, and none would cut everything off.
fn whole_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}
