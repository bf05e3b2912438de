//! The logins of the application and of its monitoring: one each per server.
//!
//! Roles belong to the whole server, and so do these; what they may do in a database comes from
//! the group that each is in. A password is random, made with the role and kept in its comment,
//! where every later test finds it.

use url::Url;

use super::{
    random,
    server::{Lock, Server},
};
use crate::{address, error::SetupError};

/// A login's name and the group whose rights it has.
const APP: (&str, &str) = ("ruleiq_test_app", "ruleiq_app");
const MONITOR: (&str, &str) = ("ruleiq_test_monitor", "ruleiq_monitor");

pub(crate) struct Logins {
    pub(crate) app: Login,
    pub(crate) monitor: Login,
}

pub(crate) struct Login {
    name: &'static str,
    password: String,
}

impl Login {
    pub(crate) fn url(&self, database: &Url) -> String {
        address::with_login(database, self.name, &self.password).into()
    }
}

pub(crate) async fn of(server: &Server) -> Result<Logins, SetupError> {
    if let Some(logins) = find(server).await? {
        return Ok(logins);
    }
    server.lock(Lock::Logins).await?;
    let logins = match find(server).await? {
        Some(logins) => logins,
        None => Logins {
            app: make(server, APP).await?,
            monitor: make(server, MONITOR).await?,
        },
    };
    server.unlock(Lock::Logins).await?;
    Ok(logins)
}

async fn find(server: &Server) -> Result<Option<Logins>, SetupError> {
    let login = |name: &'static str, password: Option<String>| {
        password.map(|password| Login { name, password })
    };
    let app = login(APP.0, password_of(server, APP.0).await?);
    let monitor = login(MONITOR.0, password_of(server, MONITOR.0).await?);
    Ok(app
        .zip(monitor)
        .map(|(app, monitor)| Logins { app, monitor }))
}

async fn password_of(server: &Server, role: &str) -> Result<Option<String>, SetupError> {
    let sql = "SELECT shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = $1";
    let row = server.client.query_opt(sql, &[&role]).await;
    let row = row.map_err(|source| SetupError::Refused {
        task: "tell the logins of tests",
        source,
    })?;
    Ok(row.and_then(|row| row.get(0)))
}

/// Makes the login anew. Its group may be made at this moment by a migration of another database.
async fn make(
    server: &Server,
    (name, group): (&'static str, &'static str),
) -> Result<Login, SetupError> {
    let password = random();
    let sql = format!(
        "DO $$ BEGIN CREATE ROLE {group} NOLOGIN;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         DROP ROLE IF EXISTS {name};
         CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {group};
         COMMENT ON ROLE {name} IS '{password}'"
    );
    server.run("make the logins of tests", &sql).await?;
    Ok(Login { name, password })
}
