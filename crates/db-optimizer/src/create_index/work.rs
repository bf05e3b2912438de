//! Carrying a draft out, in a session that has its turn.

use std::time::Duration;

use ruleiq_query::Queries;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    Obstacle, blockers, cleaning,
    draft::{Draft, Leaf},
    existing,
    options::CreateIndexOptions,
    progress::Watch,
    report::{Analyzed, CreatedIndex, IndexCreation, Observation},
    session::{Facts, GRACE, Session},
    settings::Settings,
};
use crate::{ChangeError, Failure, IndexDefinition, count};

const POLL: Duration = Duration::from_millis(200);
/// How long a statement that takes a moment may wait for its lock, since others queue up behind it.
const SHORT_LOCK: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the tree of partitions may change under us.
const ROUNDS: u32 = 5;

/// The making of one index.
pub(crate) struct Work<'a, Q, O> {
    pub(crate) session: &'a Session<'a, Q>,
    pub(crate) observer: Option<&'a Session<'a, O>>,
    pub(crate) facts: &'a Facts,
    pub(crate) observer_pid: Option<i32>,
    pub(crate) settings: &'a Settings,
    pub(crate) options: &'a CreateIndexOptions,
    pub(crate) deadline: Instant,
    pub(crate) started: Instant,
    pub(crate) statements: Vec<String>,
    pub(crate) observation: Observation,
    /// Whether the connection still answers.
    pub(crate) is_usable: bool,
}

impl<Q: Queries, O: Queries> Work<'_, Q, O> {
    /// Makes the index, or finds that there is one.
    pub(crate) async fn make(
        &mut self,
        definition: &IndexDefinition,
    ) -> Result<IndexCreation, ChangeError> {
        let mut rounds = 0;
        loop {
            let draft = Draft::read(self.session, definition).await?;
            self.remove_leftovers(&draft).await?;
            if let Some(existing) = draft.existing {
                return Ok(IndexCreation::Exists(existing));
            }
            rounds += 1;
            match self.carry_out(&draft).await {
                Ok(()) => return self.finish(&draft).await.map(IndexCreation::Created),
                Err(ChangeError::Statement { failure, .. })
                    if rounds < ROUNDS && has_moved(&failure) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn carry_out(&mut self, draft: &Draft) -> Result<(), ChangeError> {
        let tables = draft.target.oids();
        for leaf in &draft.leaves {
            if let Some(sql) = &leaf.build {
                self.wait_for_old(&tables).await?;
                self.build(leaf, sql).await?;
            }
            self.shortly("give the index its name", &leaf.rename)
                .await?;
        }
        if let Some(attaching) = &draft.attaching {
            let step = "put the partitioned index together";
            // All of it is sent as one text, which the server takes whatever it holds.
            let parsed = self.session.parse(&attaching.create).await;
            parsed.map_err(|failure| ChangeError::Statement {
                step,
                leftover: None,
                failure,
            })?;
            self.shortly(step, &attaching.sql).await?;
        }
        Ok(())
    }

    /// Removes what earlier builds have left, for which transactions are waited for as well.
    async fn remove_leftovers(&mut self, draft: &Draft) -> Result<(), ChangeError> {
        for leftover in &draft.leftovers {
            self.wait_for_old(&[leftover.table]).await?;
            self.clean(leftover.table).await?;
        }
        Ok(())
    }

    /// Waits until no old transaction is in the way.
    async fn wait_for_old(&self, tables: &[u32]) -> Result<(), ChangeError> {
        let start = Instant::now();
        loop {
            let age = self.options.old_transaction;
            let blockers = self.blockers(tables, age).await?;
            if blockers.is_empty() {
                return Ok(());
            }
            let after = start.elapsed();
            if after >= self.options.wait_limit {
                let obstacle = Obstacle::OldTransactions { blockers };
                return Err(ChangeError::StillInTheWay { obstacle, after });
            }
            sleep(POLL).await;
        }
    }

    async fn clean(&mut self, table: u32) -> Result<(), ChangeError> {
        let limit = self.options.wait_limit;
        let done = cleaning::clean(self.session, self.settings, table, limit).await?;
        self.statements.extend(done);
        Ok(())
    }

    /// Builds one index. What a failure leaves is removed.
    async fn build(&mut self, leaf: &Leaf, sql: &str) -> Result<(), ChangeError> {
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let locks = self.options.wait_limit;
        self.settings.bound(self.session, limit, locks).await?;
        self.statements.push(sql.to_owned());
        let failure = match self.watched(sql, leaf, limit).await {
            Ok(()) if self.is_whole(leaf).await? => return Ok(()),
            Ok(()) => Failure::NotValid,
            Err(failure) => failure,
        };
        let failure = self.explained(leaf, failure).await;
        let cleaned = self.clean_after(leaf, &failure).await;
        Err(ChangeError::Statement {
            step: "build the index",
            leftover: cleaned.err().map(|_| leaf.passing_name.clone()),
            failure,
        })
    }

    async fn watched(&mut self, sql: &str, leaf: &Leaf, limit: Duration) -> Result<(), Failure> {
        let build = self.session.run(sql, limit);
        let Some(observer) = self.observer else {
            return build.await;
        };
        let watch = Watch {
            observer,
            builder: self.facts,
            options: self.options,
            index: &leaf.passing_name,
            // The server's own limit comes first.
            deadline: self.deadline + GRACE / 2,
        };
        let (end, ended) = oneshot::channel();
        let build = async {
            let outcome = build.await;
            drop(end);
            outcome
        };
        let (outcome, observation) = tokio::join!(build, watch.until(ended));
        if self.observation != Observation::Lost {
            self.observation = observation;
        }
        outcome
    }

    async fn is_whole(&self, leaf: &Leaf) -> Result<bool, ChangeError> {
        let indexes = existing::read(self.session, leaf.table).await?;
        let mut whole = indexes.iter().filter(|it| it.is_valid);
        Ok(whole.any(|it| it.sql == leaf.passing_name))
    }

    /// Names who was waited for, as long as they are there.
    async fn explained(&self, leaf: &Leaf, failure: Failure) -> Failure {
        match failure {
            Failure::Blocked { .. } => {
                let age = self.options.wait_limit;
                let blockers = self.blockers(&[leaf.table], age).await;
                let blockers = blockers.unwrap_or_default();
                Failure::Blocked { blockers }
            }
            other => other,
        }
    }

    async fn clean_after(&mut self, leaf: &Leaf, failure: &Failure) -> Result<(), ChangeError> {
        self.is_usable = !failure.is_of_the_connection();
        if self.is_usable {
            return self.clean(leaf.table).await;
        }
        let Some(observer) = self.observer else {
            let what = "what was left";
            let after = Duration::ZERO;
            return Err(ChangeError::NoAnswer { what, after });
        };
        let limit = self.options.wait_limit;
        cleaning::clean_from_outside(observer, self.facts, leaf.table, limit).await
    }

    /// Runs what takes a moment once it has its locks: it waits for them a short time, again and again.
    async fn shortly(&mut self, step: &'static str, sql: &str) -> Result<(), ChangeError> {
        let limit = self.options.wait_limit.max(SHORT_LOCK);
        let until = Instant::now() + limit;
        let lock = SHORT_LOCK.min(self.options.wait_limit);
        self.settings.bound(self.session, limit, lock).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(failure) = self.session.run_as_one(sql, limit).await else {
                self.statements.push(sql.to_owned());
                return Ok(());
            };
            if !failure.is_for_now() || Instant::now() + pause >= until {
                let leftover = None;
                self.is_usable = !failure.is_of_the_connection();
                return Err(ChangeError::Statement {
                    step,
                    leftover,
                    failure,
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn finish(&mut self, draft: &Draft) -> Result<CreatedIndex, ChangeError> {
        let size_bytes = self.size(&draft.index).await?;
        let analyzed = match draft.analyze() {
            None => Analyzed::NotNeeded,
            Some(sql) => self.analyze(sql).await?,
        };
        let options = self.options;
        Ok(CreatedIndex {
            index: draft.index.clone(),
            table: draft.target.top().name.to_string(),
            statements: std::mem::take(&mut self.statements),
            size_bytes,
            estimated_bytes: options.estimated_bytes.or(draft.target.estimated_bytes()),
            elapsed: self.started.elapsed(),
            observation: self.observation,
            analyzed,
            settings_restored: false,
            rollback_sql: draft.rollback(),
        })
    }

    /// The bytes of the index and its partitions, which must be valid.
    async fn size(&self, index: &str) -> Result<u64, ChangeError> {
        const SIZE: &str = "
            SELECT idx.indisvalid AND idx.indisready,
                   CASE WHEN rel.relkind = 'I'
                        THEN (SELECT coalesce(sum(pg_relation_size(relid)), 0)
                              FROM pg_partition_tree(rel.oid) WHERE isleaf)
                        ELSE pg_relation_size(rel.oid) END::bigint
            FROM pg_index idx JOIN pg_class rel ON rel.oid = idx.indexrelid
            WHERE rel.oid = to_regclass($1)";
        let rows = self.session.query("the index", SIZE, &[&index]).await?;
        match rows.first() {
            Some(row) if row.get(0) => Ok(count::of(row.get::<_, Option<i64>>(1).unwrap_or(0))),
            _ => Err(ChangeError::Statement {
                step: "verify the index",
                leftover: None,
                failure: Failure::NotValid,
            }),
        }
    }

    async fn analyze(&mut self, sql: &str) -> Result<Analyzed, ChangeError> {
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let lock = self.options.wait_limit;
        self.settings.bound(self.session, limit, lock).await?;
        match self.session.run(sql, limit).await {
            Ok(()) => {
                self.statements.push(sql.to_owned());
                Ok(Analyzed::Yes)
            }
            Err(failure) => {
                self.is_usable = !failure.is_of_the_connection();
                Ok(Analyzed::Failed)
            }
        }
    }

    async fn blockers(
        &self,
        tables: &[u32],
        age: Duration,
    ) -> Result<Vec<super::Blocker>, ChangeError> {
        let us: Vec<i32> = self
            .observer_pid
            .into_iter()
            .chain([self.facts.pid])
            .collect();
        blockers::find(self.session, tables, &us, age).await
    }
}

/// Whether the draft is no longer true: a partition was added, a name was taken, or one of both went.
fn has_moved(failure: &Failure) -> bool {
    // Division by zero: the partitioned index would not have been valid.
    const CODES: [&str; 4] = ["22012", "42P07", "42P01", "42704"];
    matches!(failure, Failure::Refused { code, .. } if CODES.contains(&code.as_str()))
}
