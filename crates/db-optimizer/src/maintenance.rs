//! Vacuuming and analyzing a table, within limits.

use std::time::Duration;

use ruleiq_query::Queries;
use tokio_postgres::types::ToSql;

use crate::{
    ChangeError, DatabaseOptimizer, Failure, Obstacle, create_index,
    create_index::{session::Session, settings::Settings, target},
};

/// How long each may take.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
/// How long the table's lock may be waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

// A table that the role may not maintain is skipped by the server with a warning alone. From 17 on
// there is a right of its own, whose name earlier servers do not know.
const RIGHTS: &str = "
SELECT rel.relkind IN ('r', 'p', 'm'),
       pg_has_role(rel.relowner, 'USAGE')
           OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
           OR CASE WHEN current_setting('server_version_num')::int >= 170000
              THEN has_table_privilege(rel.oid, 'MAINTAIN') ELSE false END,
       quote_ident(pg_get_userbyid(rel.relowner))
FROM pg_class rel JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
WHERE nsp.nspname = $1::text AND rel.relname = $2::text";

impl<Q: Queries, O: Queries> DatabaseOptimizer<'_, Q, O> {
    /// Removes the dead rows of a table: `VACUUM`, which others do not wait for. The name is read as
    /// in SQL. Answers the statement that ran.
    ///
    /// # Errors
    ///
    /// When the name names no table, the connection is in a transaction or may not do this, when the
    /// table's lock is not to be had within a minute, or the statement takes more than an hour.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing on the server, and the session keeps this call's limits.
    pub async fn vacuum(&self, table: &str) -> Result<String, ChangeError> {
        self.maintain("vacuum the table", "VACUUM", table).await
    }

    /// Counts anew what is in a table, for the planner: `ANALYZE`. Otherwise as
    /// [`vacuum`](DatabaseOptimizer::vacuum).
    ///
    /// # Errors
    ///
    /// Those of [`vacuum`](DatabaseOptimizer::vacuum).
    ///
    /// # Cancel safety
    ///
    /// That of [`vacuum`](DatabaseOptimizer::vacuum).
    pub async fn analyze(&self, table: &str) -> Result<String, ChangeError> {
        self.maintain("analyze the table", "ANALYZE", table).await
    }

    /// The statement that [`vacuum`](DatabaseOptimizer::vacuum) would run. It only reads.
    ///
    /// # Errors
    ///
    /// When the name names no table, or the catalogue cannot be read.
    pub async fn plan_vacuum(&self, table: &str) -> Result<String, ChangeError> {
        let (name, _) = target::named(&Session::over(self.queries), table).await?;
        Ok(format!("VACUUM {name}"))
    }

    /// The statement that [`analyze`](DatabaseOptimizer::analyze) would run. It only reads.
    ///
    /// # Errors
    ///
    /// When the name names no table, or the catalogue cannot be read.
    pub async fn plan_analyze(&self, table: &str) -> Result<String, ChangeError> {
        let (name, _) = target::named(&Session::over(self.queries), table).await?;
        Ok(format!("ANALYZE {name}"))
    }

    async fn maintain(
        &self,
        step: &'static str,
        verb: &str,
        table: &str,
    ) -> Result<String, ChangeError> {
        let session = Session::over(self.queries);
        let observer = self.observer.map(Session::over);
        let seen = create_index::look(&session, observer.as_ref()).await?;
        if let Some(obstacle) = seen.obstacles.into_iter().next() {
            return Err(ChangeError::InTheWay(obstacle));
        }
        let table = permitted(&session, table).await?;
        let sql = format!("{verb} {table}");
        let settings = Settings::read(&session).await?;
        settings.bound(&session, TIME_LIMIT, LOCK_LIMIT).await?;
        let outcome = session.run(&sql, TIME_LIMIT).await;
        if !matches!(&outcome, Err(failure) if failure.is_of_the_connection()) {
            settings.restore(&session).await?;
        }
        outcome
            .map(|()| sql)
            .map_err(|failure| failed(step, failure))
    }
}

/// The table as it is written in SQL, if it is one and the role may maintain it.
async fn permitted<Q: Queries>(
    session: &Session<'_, Q>,
    text: &str,
) -> Result<String, ChangeError> {
    let (name, _) = target::named(session, text).await?;
    let table = name.to_string();
    let params: &[&(dyn ToSql + Sync)] = &[&name.schema.name(), &name.table.name()];
    let mut rows = session
        .query("the rights on the table", RIGHTS, params)
        .await?;
    let Some(row) = rows.pop() else {
        return Err(ChangeError::UnknownTable { table });
    };
    match (row.get(0), row.get(1)) {
        (true, true) => Ok(table),
        (true, false) => Err(ChangeError::InTheWay(Obstacle::MissingRight {
            table,
            owner: row.get(2),
        })),
        (false, _) => Err(ChangeError::InTheWay(Obstacle::NotIndexable {
            table,
            what: "is neither a table nor a materialized view",
        })),
    }
}

fn failed(step: &'static str, failure: Failure) -> ChangeError {
    ChangeError::Statement {
        step,
        leftover: None,
        failure,
    }
}
