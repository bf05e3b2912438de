//! A database that stays on the server for later cases and runs, because it takes long to fill.
//!
//! Its comment says what it holds and whether it is whole. One that holds something else by its
//! comment is made anew; one without such a comment is somebody else's, and left alone.

use std::{future::Future, time::Duration};

use ruleiq_bench::Fault;
use tokio_postgres::Client;

use super::owner::{connect, with_database, within};

/// What the comment begins with.
const MARK: &str = "ruleiq-bench: ";
const UNFINISHED: &str = ", unfinished";
const POLL: Duration = Duration::from_millis(100);

/// A database, and what it is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// Its name, which needs no quotes.
    pub(crate) name: &'a str,
    /// What it holds, in words that change with it.
    pub(crate) holds: &'a str,
}

/// What there is of it.
#[derive(Debug, Eq, PartialEq)]
enum State {
    Missing,
    Unfinished,
    Whole,
    Outdated,
}

impl Kept<'_> {
    /// Its address, as the owner. `fill` is given the address of a database that is empty, or that
    /// an earlier call has begun to fill.
    ///
    /// # Errors
    ///
    /// Those of filling it; what was filled until then stays. When it takes more than two minutes.
    pub(crate) async fn open<F>(
        &self,
        owner_url: &str,
        fill: impl Fn(String) -> F,
    ) -> Result<String, Fault>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let what = format!("filling the database `{}`", self.name);
        within(&what, self.open_at_last(owner_url, fill)).await
    }

    async fn open_at_last<F>(
        &self,
        owner_url: &str,
        fill: impl Fn(String) -> F,
    ) -> Result<String, Fault>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let url = with_database(owner_url, self.name)?;
        let owner = connect(owner_url).await?;
        // Given back with the connection, however this ends.
        self.lock(&owner).await?;
        let mut state = self.state(&owner).await?;
        if state == State::Outdated {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            run(&owner, &drop).await?;
            state = State::Missing;
        }
        if state == State::Missing {
            let create = format!("CREATE DATABASE {} TEMPLATE template0", self.name);
            run(&owner, &create).await?;
            self.say(&owner, UNFINISHED).await?;
            state = State::Unfinished;
        }
        if state == State::Unfinished {
            fill(url.clone()).await?;
            self.say(&owner, "").await?;
        }
        Ok(url)
    }

    /// Waits until nobody else fills it. By polling, since a statement that waits would hold up
    /// whoever builds an index beside it.
    async fn lock(&self, owner: &Client) -> Result<(), Fault> {
        let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        loop {
            let row = owner.query_one(lock, &[&self.name]).await;
            if row.map_err(Fault::failed)?.get(0) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn state(&self, owner: &Client) -> Result<State, Fault> {
        let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database
            WHERE datname = $1";
        let row = owner.query_opt(comment, &[&self.name]).await;
        let Some(row) = row.map_err(Fault::failed)? else {
            return Ok(State::Missing);
        };
        let comment: Option<String> = row.get(0);
        let said = comment.as_deref().and_then(|it| it.strip_prefix(MARK));
        let said = said.ok_or_else(|| {
            let why = "exists and is none of the benchmark's: drop or rename it";
            Fault::Failed(format!("the database `{}` {why}", self.name))
        })?;
        Ok(match said.strip_suffix(UNFINISHED) {
            Some(holds) if holds == self.holds => State::Unfinished,
            None if said == self.holds => State::Whole,
            _ => State::Outdated,
        })
    }

    async fn say(&self, owner: &Client, end: &str) -> Result<(), Fault> {
        let comment = format!("{MARK}{}{end}", self.holds);
        let say = "SELECT format('COMMENT ON DATABASE %I IS %L', $1::text, $2::text)";
        let row = owner.query_one(say, &[&self.name, &comment]).await;
        run(owner, row.map_err(Fault::failed)?.get(0)).await
    }
}

async fn run(owner: &Client, statement: &str) -> Result<(), Fault> {
    owner.batch_execute(statement).await.map_err(Fault::failed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use ruleiq_test_support::TestDatabase;

    use super::*;

    struct Filling(AtomicUsize);

    impl Filling {
        async fn open(&self, kept: Kept<'_>, owner: &str, fails: bool) -> Result<String, Fault> {
            kept.open(owner, |url| async move {
                let client = connect(&url).await?;
                run(&client, "CREATE TABLE IF NOT EXISTS t (n integer)").await?;
                run(&client, "INSERT INTO t VALUES (1)").await?;
                self.0.fetch_add(1, Relaxed);
                match fails {
                    true => Err(Fault::Failed("half".to_owned())),
                    false => Ok(()),
                }
            })
            .await
        }
    }

    async fn rows(url: &str) -> i64 {
        let client = connect(url).await.unwrap();
        let count = client.query_one("SELECT count(*) FROM t", &[]).await;
        count.unwrap().get(0)
    }

    #[tokio::test]
    async fn it_is_filled_once_goes_on_after_a_failure_and_is_made_anew_for_something_else() {
        let database = TestDatabase::migrated().await;
        let owner = database.url();
        let name = format!("ruleiq_bench_test_{}", uuid::Uuid::new_v4().simple());
        let kept = |holds| Kept { name: &name, holds };
        let filling = Filling(AtomicUsize::new(0));
        filling.open(kept("one"), owner, true).await.unwrap_err();
        let (url, same) = tokio::join!(
            filling.open(kept("one"), owner, false),
            filling.open(kept("one"), owner, false),
        );
        let url = url.unwrap();
        assert_eq!(same.unwrap(), url);
        assert_eq!((filling.0.load(Relaxed), rows(&url).await), (2, 2));

        filling.open(kept("two"), owner, false).await.unwrap();
        let anew = rows(&url).await;

        let client = database.client().await;
        let uncomment = format!("COMMENT ON DATABASE {name} IS NULL");
        client.batch_execute(&uncomment).await.unwrap();
        let refused = filling.open(kept("three"), owner, false).await;
        let kept_rows = rows(&url).await;
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        client.batch_execute(&drop).await.unwrap();
        assert_eq!((anew, kept_rows), (1, 1));
        assert!(refused.unwrap_err().to_string().contains("none of the"));
    }
}
