//! The user of Redis that the program logs in as.

use std::{thread, time::Duration};

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{ClusterHash, CustomCommand, Value},
};
use ruleiq_bench::Fault;
use tokio::{runtime, time::timeout};
use uuid::Uuid;

use super::{Load, PROGRAM};
use crate::cases::cache::{redis::connect, settings::Connection};

const USER_LIMIT: Duration = Duration::from_secs(5);

/// A user of Redis that may run one command on the keys of one prefix. Removed when it is dropped.
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) url: String,
}

impl User {
    pub(super) async fn create(url: &str, load: &Load) -> Result<User, Fault> {
        let command = load.command.first().map(String::as_str).unwrap_or_default();
        let user = User {
            name: format!("ruleiq-bench-{}", Uuid::new_v4().simple()),
            password: Uuid::new_v4().simple().to_string(),
            url: url.to_owned(),
        };
        let client = connect(url, &patient()).await?;
        let rules = vec![
            "SETUSER".to_owned(),
            user.name.clone(),
            "on".to_owned(),
            format!(">{}", user.password),
            format!("~{}:*", load.prefix),
            format!("+{}", command.to_lowercase()),
            "+select".to_owned(),
        ];
        let created = acl(&client, rules).await;
        drop(timeout(USER_LIMIT, client.quit()).await);
        created.map(|()| user)
    }
}

/// For what is done once, and not measured.
fn patient() -> Connection {
    Connection {
        connect_timeout_ms: 10_000,
        command_timeout_ms: 10_000,
        ..Connection::new(1)
    }
}

impl Drop for User {
    /// On a thread of its own, since there may be no runtime here any more.
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let removing = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Fault::failed)?.block_on(async {
                let client = connect(&url, &patient()).await?;
                let removed = acl(&client, vec!["DELUSER".to_owned(), name]).await;
                drop(timeout(USER_LIMIT, client.quit()).await);
                removed
            })
        });
        // A user that stays has a random password, and can do one thing to keys that are gone.
        drop(removing.join());
    }
}

async fn acl(client: &Client, arguments: Vec<String>) -> Result<(), Fault> {
    let command = CustomCommand::new_static("ACL", ClusterHash::FirstKey, false);
    let done = timeout(USER_LIMIT, client.custom::<Value, _>(command, arguments)).await;
    let done = done.map_err(Fault::failed)?;
    done.map(drop).map_err(|it| {
        Fault::Failed(format!(
            "`{PROGRAM}` needs a user of its own in Redis: {it}"
        ))
    })
}
