//! What belongs to a case alone: a schema or a database, made by the owner and dropped with the
//! value.

use std::{fmt, future::Future, time::Duration};

use ruleiq_bench::Fault;
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

/// How long setting something up, and anything asked besides, may take.
const SET_UP_LIMIT: Duration = Duration::from_secs(120);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const DROP_LIMIT: Duration = Duration::from_secs(10);
/// What a case that was killed leaves behind is dropped by a later one after so long.
const LEFT_OVER: &str = "interval '1 day'";
/// Names that [`random_name`] gives.
const NAMES: &str = "^ruleiq_bench_[0-9a-f]{32}$";

/// A schema with tables of a case's own, in the database of all.
pub(crate) struct OwnedSchema {
    name: String,
    owner_url: String,
}

/// A database of a case's own.
pub(crate) struct OwnedDatabase {
    name: String,
    owner_url: String,
    url: String,
}

/// A connection, by itself. Its statements may take as long as a set-up.
pub(crate) async fn connect(url: &str) -> Result<Client, Fault> {
    let mut config: Config = super::in_clear(url).parse().map_err(Fault::failed)?;
    config.application_name("ruleiq-bench owner");
    config.options(format!("-c statement_timeout={}", SET_UP_LIMIT.as_millis()));
    let connecting = tokio::time::timeout(CONNECT_LIMIT, config.connect(NoTls));
    let (client, connection) = connecting
        .await
        .map_err(|_| Fault::Failed(format!("no connection within {CONNECT_LIMIT:?}")))?
        .map_err(Fault::failed)?;
    // It ends with the client; what breaks it, the client's statements tell.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// `work`, for as long as a set-up may take.
pub(crate) async fn within<T>(
    what: &str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let done = tokio::time::timeout(SET_UP_LIMIT, work).await;
    done.unwrap_or_else(|_| {
        Err(Fault::Failed(format!(
            "{what} took more than {} s",
            SET_UP_LIMIT.as_secs()
        )))
    })
}

impl OwnedSchema {
    /// Makes a schema that the role of `user_url` may use, and runs `statements` in it.
    pub(crate) async fn create(
        owner_url: &str,
        user_url: &str,
        statements: &str,
    ) -> Result<OwnedSchema, Fault> {
        let user: String = connect(user_url)
            .await?
            .query_one("SELECT quote_ident(current_user)", &[])
            .await
            .map_err(Fault::failed)?
            .get(0);
        let owner = connect(owner_url).await?;
        sweep_schemas(&owner).await?;
        let schema = OwnedSchema {
            name: random_name(),
            owner_url: owner_url.to_owned(),
        };
        let name = &schema.name;
        let create = format!(
            "CREATE SCHEMA {name};
             {};
             SET search_path = {name};
             {statements};
             GRANT USAGE ON SCHEMA {name} TO {user};
             GRANT SELECT, INSERT, TRUNCATE ON ALL TABLES IN SCHEMA {name} TO {user};",
            made_now("SCHEMA", name)
        );
        owner.batch_execute(&create).await.map_err(Fault::failed)?;
        Ok(schema)
    }

    /// Its name, which needs no quotes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl OwnedDatabase {
    /// Makes an empty database beside that of `owner_url`.
    pub(crate) async fn create(owner_url: &str) -> Result<OwnedDatabase, Fault> {
        let name = random_name();
        let database = OwnedDatabase {
            url: with_database(owner_url, &name)?,
            owner_url: owner_url.to_owned(),
            name,
        };
        let (owner, name) = (connect(owner_url).await?, &database.name);
        sweep_databases(&owner).await?;
        // Neither may be in a transaction, which several statements at once would be.
        for statement in [
            format!("CREATE DATABASE {name} TEMPLATE template0"),
            made_now("DATABASE", name),
        ] {
            let done = owner.batch_execute(&statement).await;
            done.map_err(Fault::failed)?;
        }
        Ok(database)
    }

    /// Its address, as the role of `user_url`, which is one of the same server.
    pub(crate) fn url_for(&self, user_url: &str) -> Result<String, Fault> {
        with_database(user_url, &self.name)
    }

    /// Its address, as its owner.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Nobody else has it, and it needs no quotes.
fn random_name() -> String {
    format!("ruleiq_bench_{}", Uuid::new_v4().simple())
}

/// Notes when something was made.
fn made_now(kind: &str, name: &str) -> String {
    format!("DO $$ BEGIN EXECUTE 'COMMENT ON {kind} {name} IS ' || quote_literal(now()); END $$")
}

/// Drops the schemas of cases that were killed.
async fn sweep_schemas(owner: &Client) -> Result<(), Fault> {
    let left_over = format!(
        "SELECT 'DROP SCHEMA IF EXISTS ' || nspname || ' CASCADE' FROM pg_namespace
         WHERE nspname ~ '{NAMES}'
           AND obj_description(oid, 'pg_namespace')::timestamptz < now() - {LEFT_OVER}"
    );
    run_each(owner, &left_over).await
}

/// Drops the databases of cases that were killed.
async fn sweep_databases(owner: &Client) -> Result<(), Fault> {
    let left_over = format!(
        "SELECT 'DROP DATABASE IF EXISTS ' || datname || ' WITH (FORCE)' FROM pg_database
         WHERE datname ~ '{NAMES}'
           AND shobj_description(oid, 'pg_database')::timestamptz < now() - {LEFT_OVER}"
    );
    run_each(owner, &left_over).await
}

/// Runs the statements that a statement answers.
async fn run_each(owner: &Client, of: &str) -> Result<(), Fault> {
    for row in owner.query(of, &[]).await.map_err(Fault::failed)? {
        let done = owner.batch_execute(row.get(0)).await;
        done.map_err(Fault::failed)?;
    }
    Ok(())
}

/// The same server's other database.
pub(super) fn with_database(url: &str, name: &str) -> Result<String, Fault> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = address.find("://").map_or(0, |it| it + 3);
    let path = address[authority..]
        .find('/')
        .map(|it| authority + it)
        .ok_or_else(|| Fault::Failed("the owner's address names no database".to_owned()))?;
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("{}/{name}{mark}{query}", &address[..path]))
}

/// Runs a statement as the owner, on a thread and a runtime of its own: a value may be dropped
/// where nothing can be awaited. What fails is left to the sweep.
fn run_and_wait(owner_url: &str, statement: String) {
    let url = owner_url.to_owned();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let work = async {
            connect(&url)
                .await
                .ok()?
                .batch_execute(&statement)
                .await
                .ok()
        };
        runtime.block_on(async { tokio::time::timeout(DROP_LIMIT, work).await.ok()? })
    };
    drop(std::thread::spawn(run).join());
}

impl Drop for OwnedSchema {
    fn drop(&mut self) {
        let statement = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        run_and_wait(&self.owner_url, statement);
    }
}

impl Drop for OwnedDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        run_and_wait(&self.owner_url, statement);
    }
}

impl fmt::Debug for OwnedSchema {
    /// Without the address, which holds a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("OwnedSchema").field(&self.name).finish()
    }
}

impl fmt::Debug for OwnedDatabase {
    /// Without the addresses, which hold a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("OwnedDatabase").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_database_has_the_same_server_and_parameters() {
        let check = |url: &str, expect: &str| {
            assert_eq!(with_database(url, "b").unwrap(), expect);
        };
        check("postgres://u:p@h:1/a", "postgres://u:p@h:1/b");
        check("postgres://h/a?x=/y", "postgres://h/b?x=/y");
        assert!(with_database("postgres://h", "b").is_err());
    }
}
