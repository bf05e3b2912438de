//! The settings of a session that bound a change, and giving back those that were there.

use std::time::Duration;

use ruleiq_query::Queries;

use super::session::Session;
use crate::ChangeError;

/// What is set, where the server knows it.
const NAMES: [&str; 4] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];

/// The settings as they were.
#[derive(Debug)]
pub(crate) struct Settings {
    names: Vec<String>,
    values: Vec<String>,
}

impl Settings {
    pub(crate) async fn read<Q: Queries>(
        session: &Session<'_, Q>,
    ) -> Result<Settings, ChangeError> {
        let sql = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)";
        let what = "the settings of the session";
        let rows = session.query(what, sql, &[&NAMES.as_slice()]).await?;
        let (names, values) = rows
            .iter()
            .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)))
            .unzip();
        Ok(Settings { names, values })
    }

    /// Lets a statement take so long, and wait for a single lock or transaction so long.
    pub(crate) async fn bound<Q: Queries>(
        &self,
        session: &Session<'_, Q>,
        statement: Duration,
        lock: Duration,
    ) -> Result<(), ChangeError> {
        let value = |name: &String| match name.as_str() {
            "statement_timeout" => milliseconds(statement),
            "lock_timeout" => milliseconds(lock),
            _ => "0".to_owned(),
        };
        let values: Vec<String> = self.names.iter().map(value).collect();
        set(session, &self.names, &values).await
    }

    /// Puts everything back as it was.
    pub(crate) async fn restore<Q: Queries>(
        &self,
        session: &Session<'_, Q>,
    ) -> Result<(), ChangeError> {
        set(session, &self.names, &self.values).await
    }
}

async fn set<Q: Queries>(
    session: &Session<'_, Q>,
    names: &[String],
    values: &[String],
) -> Result<(), ChangeError> {
    let sql = "SELECT set_config(name, value, false)
               FROM unnest($1::text[], $2::text[]) AS it (name, value)";
    let what = "the limits of the session";
    session.query(what, sql, &[&names, &values]).await.map(drop)
}

/// Never zero, which would mean no limit, nor more than the server takes.
fn milliseconds(limit: Duration) -> String {
    let most = u128::from(i32::MAX.unsigned_abs());
    limit.as_millis().clamp(1, most).to_string()
}
