//! A database per test.
//!
//! Its name begins with the id of this process's [lease](lease), so that others can tell whether
//! it is left over.

mod lease;
mod logins;
mod server;
mod sweep;
mod template;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio_postgres::{Client, error::SqlState};
use url::Url;
use uuid::Uuid;

use self::server::Server;
use crate::{
    address, background,
    error::{SetupError, or_panic},
};

const DROP_LIMIT: Duration = Duration::from_secs(20);
/// How often a template that another process drops or uses may be asked for again.
const CLONE_ATTEMPTS: u32 = 5;

/// A database of its own for one test. It is dropped with this value, with whoever is connected.
pub struct TestDatabase {
    name: String,
    url: Url,
    app_url: String,
    monitor_url: String,
}

#[derive(Clone, Copy)]
enum Content {
    Nothing,
    Schema,
}

impl TestDatabase {
    /// A database with nothing in it.
    ///
    /// # Panics
    ///
    /// When there is no server; the message says how to start one.
    pub async fn empty() -> TestDatabase {
        or_panic(background::run(create(Content::Nothing)).await)
    }

    /// A database to which all migrations are applied, without data.
    ///
    /// # Panics
    ///
    /// When there is no server, or a migration fails.
    pub async fn migrated() -> TestDatabase {
        or_panic(background::run(create(Content::Schema)).await)
    }

    /// Its name: small letters, digits and underscores.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, as a superuser, who owns it.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its address for a login that has the rights of `ruleiq_app` and no others.
    pub fn app_url(&self) -> &str {
        &self.app_url
    }

    /// Its address for a login that has the rights of `ruleiq_monitor` and no others.
    pub fn monitor_url(&self) -> &str {
        &self.monitor_url
    }

    /// Makes the database owned by a login that is no superuser and may make neither roles nor
    /// databases, and answers its address. Once per database.
    ///
    /// What is in the database already keeps its owner.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn owned_by_ordinary_role(&self) -> String {
        let (name, role) = (self.name.clone(), owner_of(&self.name));
        let password = random();
        let url = address::with_login(&self.url, &role, &password);
        let made = background::run(async move {
            let server = Server::connect().await?;
            let sql = format!(
                "CREATE ROLE {role} LOGIN PASSWORD '{password}'; \
                 ALTER DATABASE {name} OWNER TO {role}"
            );
            server.run("make an ordinary owner", &sql).await
        });
        or_panic(made.await);
        url.into()
    }

    /// A connection as the superuser. It ends with the client or the database.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn client(&self) -> Client {
        let url = self.url.clone();
        or_panic(background::run(async move { server::connect(&url, "ruleiq-test").await }).await)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // What could not be dropped is swept by a later run.
        drop(background::run_blocking(DROP_LIMIT, async move {
            Server::connect().await?.drop_database(&name).await
        }));
    }
}

impl fmt::Debug for TestDatabase {
    /// Leaves out the addresses, which hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

async fn create(content: Content) -> Result<TestDatabase, SetupError> {
    static COUNT: AtomicU64 = AtomicU64::new(1);

    let lease = lease::id().await?;
    let server = Server::connect().await?;
    let logins = logins::of(&server).await?;
    let name = format!("{}{lease}_{}", sweep::PREFIX, COUNT.fetch_add(1, Relaxed));
    clone(&server, content, &name).await?;
    let url = server.url_of(&name);
    Ok(TestDatabase {
        app_url: logins.app.url(&url),
        monitor_url: logins.monitor.url(&url),
        name,
        url,
    })
}

async fn clone(server: &Server, content: Content, name: &str) -> Result<(), SetupError> {
    let mut attempt = 1;
    loop {
        let template = match content {
            Content::Nothing => "template0".to_owned(),
            Content::Schema => template::ready(server).await?,
        };
        match server.clone_database(&template, name).await {
            // Somebody looked into the template, or dropped it as an old one.
            Err(SetupError::Refused { source, .. })
                if attempt < CLONE_ATTEMPTS
                    && matches!(
                        source.code(),
                        Some(&SqlState::OBJECT_IN_USE | &SqlState::INVALID_CATALOG_NAME)
                    ) =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The ordinary role that owns a database, where one does.
fn owner_of(database: &str) -> String {
    format!("{database}_owner")
}

/// A text that nobody guesses: 122 random bits as 32 hexadecimal digits.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}
