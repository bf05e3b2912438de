//! A workload with the database that it is for.

use ruleiq_bench::Fault;
use serde::Serialize;

use super::{queries::QuerySet, ruleiq, tpch::Tpch};
use crate::{
    Env,
    postgres::{Kept, OwnedDatabase, connect, within},
};

/// Which workload.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Site {
    /// Analytics over rows that are spread evenly.
    Tpch(Tpch),
    /// RuleIQ's own.
    Ruleiq,
}

/// A database that is filled and has no index but those of its constraints.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) url: String,
    pub(super) queries: QuerySet,
    /// What goes with this value, where it does.
    _own: Option<OwnedDatabase>,
}

impl Site {
    /// The name of a variant.
    pub(super) fn word(self) -> &'static str {
        match self {
            Site::Tpch(_) => "tpch",
            Site::Ruleiq => "ruleiq",
        }
    }

    /// The database that stays for all cases and later runs. Nothing may be changed in it but its
    /// statistics.
    pub(super) async fn open(self, env: &Env) -> Result<Opened, Fault> {
        let owner = env.owner_url()?;
        let (name, holds) = match self {
            Site::Tpch(tpch) => tpch.name(),
            Site::Ruleiq => ruleiq::name(env).await?,
        };
        let kept = Kept {
            name: &name,
            holds: &holds,
        };
        let fill = |url: String| async move { self.fill(env, &url).await };
        Ok(Opened {
            url: kept.open(owner, fill).await?,
            queries: self.queries()?,
            _own: None,
        })
    }

    /// A database of the caller's own.
    pub(super) async fn open_own(self, env: &Env) -> Result<Opened, Fault> {
        let own = OwnedDatabase::create(env.owner_url()?).await?;
        within("filling a database", self.fill(env, own.url())).await?;
        Ok(Opened {
            url: own.url().to_owned(),
            queries: self.queries()?,
            _own: Some(own),
        })
    }

    /// Whether the rows are those that the statements were written for.
    pub(super) async fn is_as_written(self, opened: &Opened) -> Result<bool, Fault> {
        match self {
            Site::Tpch(_) => Ok(true),
            Site::Ruleiq => ruleiq::is_demo(&opened.url).await,
        }
    }

    fn queries(self) -> Result<QuerySet, Fault> {
        match self {
            Site::Tpch(_) => Tpch::queries(),
            Site::Ruleiq => ruleiq::queries(),
        }
    }

    async fn fill(self, env: &Env, url: &str) -> Result<(), Fault> {
        match self {
            Site::Tpch(tpch) => tpch.fill(url).await,
            Site::Ruleiq => ruleiq::fill(env, url).await,
        }
    }
}

impl Opened {
    /// Draws another sample of the rows for the planner.
    pub(super) async fn analyze(&self) -> Result<(), Fault> {
        let client = connect(&self.url).await?;
        client.batch_execute("ANALYZE").await.map_err(Fault::failed)
    }

    /// How large indexes are when they are built, which they are in a transaction that is rolled
    /// back.
    pub(super) async fn built_bytes(&self, indexes: &[String]) -> Result<u64, Fault> {
        const SIZES: &str = "SELECT coalesce(sum(pg_relation_size(i.indexrelid)), 0)::bigint
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname !~ '^pg_'
              AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)";
        let mut client = connect(&self.url).await?;
        let transaction = client.transaction().await.map_err(Fault::failed)?;
        for index in indexes {
            let built = transaction.batch_execute(index).await;
            built.map_err(Fault::failed)?;
        }
        let row = transaction.query_one(SIZES, &[]).await;
        let bytes: i64 = row.map_err(Fault::failed)?.get(0);
        transaction.rollback().await.map_err(Fault::failed)?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}
