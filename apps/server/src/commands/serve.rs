//! `serve`: the server itself.

use std::process::ExitCode;

use crate::{
    logging, serve,
    settings::{Settings, Sources},
};

/// Serves until it is told to stop.
pub(crate) async fn serve(sources: &Sources) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(sources)?;
    logging::install(settings.environment, &settings.log_filter)?;
    serve::run(settings).await?;
    Ok(ExitCode::SUCCESS)
}
