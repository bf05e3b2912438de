//! The server: its parts, put together, and its life from the first request to the last.

mod http;
mod parts;
mod signals;

use std::{pin::pin, time::Duration};

use actix_web::dev::Server;
use anyhow::{Context as _, bail};
use tokio::time;

pub(crate) use self::parts::{admin_pool, monitor_pool, pools};
use self::{parts::Parts, signals::Signals};
use crate::settings::{Http, Settings};

/// How long the pools get to say goodbye.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves until it is told to stop.
///
/// # Errors
///
/// Parts that cannot be made of these settings, an address that cannot be had, and a second signal
/// while it was stopping.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    // Before anything can be in flight that a signal would cut off.
    let signals = Signals::listen().context("failed to listen for signals")?;
    let parts = Parts::new(&settings)?;
    let metrics = match settings.monitoring.metrics_bind_address {
        Some(address) if settings.monitoring.enabled => Some(http::metrics(address, &parts)?),
        _ => None,
    };
    let api = http::api(&settings, &parts)?;
    until_stopped(&settings.http, &parts, api, signals).await?;
    if let Some(metrics) = metrics {
        metrics.stop(false).await;
    }
    parts.close(CLOSING).await;
    tracing::info!("stopped");
    Ok(())
}

/// Serves; at the first signal it drains and stops, at the second it does so at once.
async fn until_stopped(
    settings: &Http,
    parts: &Parts,
    api: Server,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let handle = api.handle();
    let mut api = pin!(api);
    let signal = tokio::select! {
        ended = &mut api => {
            ended.context("the server failed")?;
            bail!("the server ended without being told to");
        }
        signal = signals.next() => signal,
    };
    let drain_delay = settings.drain_delay.as_secs_f64();
    tracing::info!(signal, drain_delay, "stopping");
    parts.app.drain();
    let goodbye = async {
        // Whoever sends requests here needs a moment to see that the server is not ready any more.
        time::sleep(settings.drain_delay).await;
        handle.stop(true).await;
    };
    tokio::select! {
        // The server runs on meanwhile, and ends once it has stopped.
        (served, ()) = async { tokio::join!(api, goodbye) } => {
            served.context("the server failed while it was stopping")
        }
        signal = signals.next() => bail!("a second signal ({signal}) cut the stopping short"),
    }
}
