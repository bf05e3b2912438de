//! One connection of its own, which can only read, but in the transaction of a trial.

use std::num::NonZeroUsize;

use anyhow::{Context as _, ensure};
use ruleiq_pools::{PoolManager, PostgresConfig, Session};
use ruleiq_query::Read as _;
use secrecy::SecretString;

/// What keeps the session from writing, and planning from taking long.
const OURS: [&str; 5] = [
    "default_transaction_read_only",
    "transaction_read_only",
    "statement_timeout",
    "role",
    "session_authorization",
];

/// Connects, and sets what statements are planned with.
pub(super) async fn connect(url: &SecretString, settings: &[String]) -> anyhow::Result<Session> {
    let config = PostgresConfig {
        size: NonZeroUsize::MIN,
        max_overflow: 0,
        autosize: false,
        statement_timeout: None,
        application_name: Some("ruleiq-advise".to_owned()),
        ..PostgresConfig::new(url.clone())
    };
    let pools = PoolManager::builder().postgres(config).build()?;
    let session = pools.session().await;
    let session = session.context("failed to connect to the database")?;
    set(&session, "default_transaction_read_only", "on").await?;
    for setting in settings {
        let (name, value) = setting
            .split_once('=')
            .with_context(|| format!("`--set {setting}`: write `name=value`"))?;
        ensure!(
            !OURS.contains(&name.trim()),
            "`--set {setting}`: `{name}` is not for others to set"
        );
        set(&session, name.trim(), value.trim()).await?;
    }
    Ok(session)
}

async fn set(session: &Session, name: &str, value: &str) -> anyhow::Result<()> {
    let sql = "SELECT set_config($1, $2, false)";
    let set = session.query(sql, &[&name, &value]).await;
    set.with_context(|| format!("failed to set `{name}` to `{value}`"))?;
    Ok(())
}
