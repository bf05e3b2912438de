//! The session in which statements are planned.
//!
//! Work is what counts: a plan with parallel workers is cheaper by the time that it takes, and
//! dearer by what it does. So there are none, nor is compiling to machine code weighed.

use ruleiq_query::Queries;

use crate::Error;

/// The settings, and how long planning may take.
const SETTINGS: [(&str, &str); 3] = [
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("statement_timeout", "1s"),
];

/// The settings as they were.
#[derive(Debug)]
pub(super) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub(super) async fn set(queries: &impl Queries) -> Result<Settings, Error> {
        let mut before = Vec::new();
        for (name, value) in SETTINGS {
            let sql = "SELECT current_setting($1), set_config($1, $2, false)";
            let row = queries.query_one(sql, &[&name, &value]).await;
            let row = row.map_err(Error::reading("the settings of the session"))?;
            before.push((name, row.get(0)));
        }
        Ok(Settings(before))
    }

    pub(super) async fn restore(self, queries: &impl Queries) -> Result<(), Error> {
        for (name, value) in self.0 {
            let set = "SELECT set_config($1, $2, false)";
            let set = queries.query(set, &[&name, &value]).await;
            set.map_err(Error::reading("the settings of the session"))?;
        }
        Ok(())
    }
}
