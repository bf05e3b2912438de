//! Logs to standard error: JSON in production, readable lines in development.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::settings::{Environment, Faults};

/// Where the span around each request is made.
const REQUEST_SPAN: &str = "ruleiq_web::request_id=error";

/// Installs the process's log. Panics are told in it, too.
///
/// # Errors
///
/// A filter that cannot be read.
pub(crate) fn install(environment: Environment, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|_| {
        let fault = format!("LOG is `{filter}`, expected a level or `target=level,…`");
        Faults::of(&fault)
    })?;
    // The span with a request's id is in every line about it, whatever else is turned off.
    let filter = filter.add_directive(REQUEST_SPAN.parse().expect("a target and a level"));
    let registry = tracing_subscriber::registry().with(filter);
    match environment {
        Environment::Production => {
            let layer = fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(std::io::stderr);
            registry.with(layer).try_init()?;
        }
        Environment::Development => {
            let layer = fmt::layer()
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                .with_target(false)
                .with_writer(std::io::stderr);
            registry.with(layer).try_init()?;
        }
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    Ok(())
}
