//! A namespace per test in the shared Redis.
//!
//! Keys are told apart by their prefix. It carries the time of its making, so that what a crashed
//! run has left can be told by its age.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{Builder, config::Config},
};
use ruleiq_servers::REDIS_URL_VARIABLE;
use uuid::Uuid;

use crate::{
    address, background,
    error::{SetupError, or_panic},
};

const PREFIX: &str = "ruleiq-test-";
/// No run lasts so long: what is older belongs to nobody.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DROP_LIMIT: Duration = Duration::from_secs(10);
/// Keys per page of a scan.
const PAGE: u32 = 500;

/// A part of the shared Redis for one test. Its keys are deleted with this value.
pub struct TestRedis {
    url: String,
    prefix: String,
}

impl TestRedis {
    /// A namespace without keys.
    ///
    /// # Panics
    ///
    /// When there is no Redis; the message says how to start one.
    pub async fn namespace() -> TestRedis {
        or_panic(TestRedis::try_namespace().await)
    }

    async fn try_namespace() -> Result<TestRedis, SetupError> {
        let url = address::of_variable(REDIS_URL_VARIABLE)?;
        let redis = TestRedis {
            url: url.into(),
            prefix: prefix_at(SystemTime::now()),
        };
        let probe = redis.url.clone();
        background::run(async move {
            let client = connect(&probe).await?;
            client.ping::<()>(None).await?;
            client.quit().await
        })
        .await
        .map_err(SetupError::Redis)?;
        Ok(redis)
    }

    /// The address of the server, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every key of the test must begin with. It ends with no separator and has no character
    /// with a meaning in patterns.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A client of its own. It does not add the prefix.
    ///
    /// # Panics
    ///
    /// When Redis has gone.
    pub async fn client(&self) -> Client {
        or_panic(connect(&self.url).await.map_err(SetupError::Redis))
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        // What could not be deleted is deleted by a later run, when it is old enough.
        drop(background::run_blocking(DROP_LIMIT, async move {
            let client = connect(&url).await?;
            delete_keys(&client, &prefix).await?;
            client.quit().await
        }));
    }
}

impl fmt::Debug for TestRedis {
    /// Leaves out the address, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRedis")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

async fn connect(url: &str) -> Result<Client, fred::error::Error> {
    let client = Builder::from_config(Config::from_url(url)?)
        .with_connection_config(|it| it.connection_timeout = CONNECT_TIMEOUT)
        .build()?;
    client.init().await?;
    Ok(client)
}

/// Deletes the keys of a namespace, and those of namespaces that are left over.
async fn delete_keys(client: &Client, prefix: &str) -> Result<(), fred::error::Error> {
    let now = SystemTime::now();
    let mut cursor = "0".to_owned();
    loop {
        let page = client.scan_page(cursor, format!("{PREFIX}*"), Some(PAGE), None);
        let (next, keys): (String, Vec<String>) = page.await?;
        let doomed: Vec<String> = keys
            .into_iter()
            .filter(|key| key.starts_with(prefix) || is_left_over(key, now))
            .collect();
        if !doomed.is_empty() {
            client.unlink::<(), _>(doomed).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

fn prefix_at(now: SystemTime) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{PREFIX}{:010x}-{}", seconds(now), &random[..16])
}

fn is_left_over(key: &str, now: SystemTime) -> bool {
    let made = key
        .strip_prefix(PREFIX)
        .and_then(|rest| u64::from_str_radix(rest.split_once('-')?.0, 16).ok());
    made.is_some_and(|made| seconds(now).saturating_sub(made) > LEFT_OVER_AFTER.as_secs())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_keys_of_ours_are_left_over() {
        let made = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let key = format!("{}:user:1", prefix_at(made));
        for (key, later, expected) in [
            (key.as_str(), LEFT_OVER_AFTER, false),
            (key.as_str(), LEFT_OVER_AFTER + Duration::from_secs(1), true),
            ("ruleiq-test-", LEFT_OVER_AFTER * 9_999, false),
            ("ruleiq-test-xyz-1", LEFT_OVER_AFTER * 9_999, false),
            ("ruleiq:0-1", LEFT_OVER_AFTER * 9_999, false),
        ] {
            assert_eq!(is_left_over(key, made + later), expected, "{key} {later:?}");
        }
    }
}
