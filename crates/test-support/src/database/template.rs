//! The migrated template: one per state of the migrations, made once by whoever needs it first.
//!
//! It is built under a name that a sweep knows, and renamed when it is whole: a template with its
//! final name is complete, whatever crashed. Nobody may connect to it, since a database in use
//! cannot be copied.

use ruleiq_migrator::Migrator;

use super::{
    lease,
    server::{Lock, Server},
    sweep,
};
use crate::error::SetupError;

const PREFIX: &str = "ruleiq_template_";
/// Templates to keep, so that going to another branch and back rebuilds nothing.
const KEPT: i64 = 4;

/// The template's name, once it is there.
pub(crate) async fn ready(server: &Server) -> Result<String, SetupError> {
    let migrator = Migrator::embedded();
    let name = format!("{PREFIX}{}", migrator.checksum());
    if is_there(server, &name).await? {
        return Ok(name);
    }
    server.lock(Lock::Template).await?;
    if !is_there(server, &name).await? {
        make(server, &migrator, &name).await?;
        drop_old(server).await?;
    }
    server.unlock(Lock::Template).await?;
    Ok(name)
}

async fn is_there(server: &Server, name: &str) -> Result<bool, SetupError> {
    let sql = "SELECT FROM pg_database WHERE datname = $1";
    let row = server.client.query_opt(sql, &[&name]).await;
    Ok(row.map_err(refused)?.is_some())
}

async fn make(server: &Server, migrator: &Migrator, name: &str) -> Result<(), SetupError> {
    // The lock is held, so that one process makes one at a time; its tests' databases count from 1.
    let building = format!("{}{}_0", sweep::PREFIX, lease::id().await?);
    server.drop_database(&building).await?;
    server.clone_database("template0", &building).await?;
    let applied = migrator.up(server.url_of(&building).as_str()).await;
    applied.map_err(SetupError::Migrate)?;
    for sql in [
        format!("ALTER DATABASE {building} ALLOW_CONNECTIONS false"),
        format!("ALTER DATABASE {building} RENAME TO {name}"),
        // A database that is a template cannot be dropped, so this comes last: before, the sweep
        // must be able to.
        format!("ALTER DATABASE {name} IS_TEMPLATE true"),
    ] {
        server.run("make a template", &sql).await?;
    }
    Ok(())
}

/// Drops all but the newest templates. A process that needs one of them makes it again.
async fn drop_old(server: &Server) -> Result<(), SetupError> {
    // The whole name, for whoever has called a database of theirs nearly the same.
    let ours = format!("^{PREFIX}[0-9a-f]{{16}}$");
    let sql = "SELECT datname::text FROM pg_database WHERE datname ~ $1
               ORDER BY oid DESC OFFSET $2";
    let old = server.client.query(sql, &[&ours, &KEPT]).await;
    for row in old.map_err(refused)? {
        let name: String = row.get(0);
        let sql = format!("ALTER DATABASE {name} IS_TEMPLATE false");
        server.run("drop an old template", &sql).await?;
        server.drop_database(&name).await?;
    }
    Ok(())
}

fn refused(source: tokio_postgres::Error) -> SetupError {
    let task = "tell its templates";
    SetupError::Refused { task, source }
}
