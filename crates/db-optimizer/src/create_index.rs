//! Making an index while others work.
//!
//! The session takes its turn by an advisory lock and bounds every statement by its own settings, so
//! that the limits hold when this process is gone. It builds concurrently, under a name that nobody
//! else has; see [`draft`].

mod blockers;
mod cleaning;
mod draft;
mod existing;
mod obstacle;
mod options;
mod progress;
mod report;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod target;
mod turn;
mod work;

use ruleiq_query::Queries;
use tokio::time::Instant;

pub use self::{
    blockers::Blocker,
    obstacle::Obstacle,
    options::CreateIndexOptions,
    progress::Progress,
    report::{Analyzed, CreateIndexPlan, CreatedIndex, ExistingIndex, IndexCreation, Observation},
};
use self::{
    draft::Draft,
    session::{Facts, Session},
    settings::Settings,
    work::Work,
};
use crate::{ChangeError, DatabaseOptimizer, IndexDefinition};

impl<Q: Queries, O: Queries> DatabaseOptimizer<'_, Q, O> {
    /// Makes an index on these columns of a table, unless there is one that does the same.
    ///
    /// Names are read as in SQL: `users`, `public.users`, `"Mixed Case"`. All else is as
    /// [`create`](DatabaseOptimizer::create) does it by default.
    ///
    /// # Errors
    ///
    /// Those of [`create`](DatabaseOptimizer::create), and names that name nothing.
    ///
    /// # Cancel safety
    ///
    /// That of [`create`](DatabaseOptimizer::create).
    pub async fn create_index(
        &self,
        table: &str,
        columns: &[&str],
    ) -> Result<IndexCreation, ChangeError> {
        let definition = self.index_on(table, columns).await?;
        self.create(&definition, &CreateIndexOptions::default())
            .await
    }

    /// What [`create_index`](DatabaseOptimizer::create_index) would do. It only reads.
    ///
    /// # Errors
    ///
    /// When a name names nothing or the catalogue cannot be read.
    pub async fn plan_create_index(
        &self,
        table: &str,
        columns: &[&str],
    ) -> Result<CreateIndexPlan, ChangeError> {
        let definition = self.index_on(table, columns).await?;
        self.plan_create(&definition, &CreateIndexOptions::default())
            .await
    }

    /// The definition of an index on these columns, named as in SQL. It only reads.
    ///
    /// # Errors
    ///
    /// When a name names nothing or the catalogue cannot be read.
    pub async fn index_on(
        &self,
        table: &str,
        columns: &[&str],
    ) -> Result<IndexDefinition, ChangeError> {
        target::definition(&Session::over(self.queries), table, columns).await
    }

    /// Makes an index, concurrently, unless there is one that does the same.
    ///
    /// The expressions and the predicate of the definition become part of a statement as they are:
    /// they must not come from users.
    ///
    /// # Errors
    ///
    /// When something is in the way, with nothing done; and when a statement fails. An invalid index
    /// that the failure has left is removed, with three attempts; [`ChangeError::Statement`] names the
    /// one that could not be. Partitions' indexes that are whole stay, and the next call goes on.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing on the server, which ends the build by itself, at its time limit
    /// at the latest. The next call for the table waits for that, uses an index that is whole and
    /// removes one that is not. Close the connection meanwhile: it may have this call's limits, and its
    /// turn, still. Sessions of `ruleiq-pools` cancel the build and are closed by themselves.
    pub async fn create(
        &self,
        definition: &IndexDefinition,
        options: &CreateIndexOptions,
    ) -> Result<IndexCreation, ChangeError> {
        let started = Instant::now();
        let session = Session::over(self.queries);
        let observer = self.observer.map(Session::over);
        let seen = look(&session, observer.as_ref()).await?;
        let draft = Draft::read(&session, definition).await?;
        let obstacles = seen.obstacles.into_iter().chain(draft.target.obstacles());
        let obstacle = obstacles.chain(disk(&draft, options)).next();
        // What is left is removed all the same, where that can be done: it may be being built.
        let has_nothing_to_do =
            draft.leftovers.is_empty() || obstacle.is_some() || turn::is_taken(&session).await?;
        match (draft.existing, obstacle) {
            (Some(existing), _) if has_nothing_to_do => {
                return Ok(IndexCreation::Exists(existing));
            }
            (_, Some(obstacle)) => return Err(ChangeError::InTheWay(obstacle)),
            _ => {}
        }
        let settings = Settings::read(&session).await?;
        turn::take(&session, options.wait_limit).await?;
        let mut work = Work {
            session: &session,
            observer: observer.as_ref(),
            facts: &seen.facts,
            observer_pid: seen.observer_pid,
            settings: &settings,
            options,
            deadline: started + options.time_limit,
            started,
            statements: Vec::new(),
            observation: match observer {
                Some(_) => Observation::Watched,
                None => Observation::Off,
            },
            is_usable: true,
        };
        let outcome = work.make(definition).await;
        let is_usable = work.is_usable;
        let is_restored = is_usable && leave(&session, &settings).await;
        Ok(match outcome? {
            IndexCreation::Created(created) => IndexCreation::Created(CreatedIndex {
                settings_restored: is_restored,
                ..created
            }),
            exists @ IndexCreation::Exists(_) => exists,
        })
    }

    /// What [`create`](DatabaseOptimizer::create) would do, and what stands against it. It only reads.
    ///
    /// # Errors
    ///
    /// When the table is not there or the catalogue cannot be read.
    pub async fn plan_create(
        &self,
        definition: &IndexDefinition,
        options: &CreateIndexOptions,
    ) -> Result<CreateIndexPlan, ChangeError> {
        let session = Session::over(self.queries);
        let observer = self.observer.map(Session::over);
        let seen = look(&session, observer.as_ref()).await?;
        let mut draft = Draft::read(&session, definition).await?;
        let mut obstacles = seen.obstacles;
        obstacles.extend(draft.target.obstacles());
        obstacles.extend(disk(&draft, options));
        let us: Vec<i32> = seen
            .observer_pid
            .into_iter()
            .chain([seen.facts.pid])
            .collect();
        let (tables, age) = (draft.target.oids(), options.old_transaction);
        let blockers = blockers::find(&session, &tables, &us, age).await?;
        if !blockers.is_empty() {
            obstacles.push(Obstacle::OldTransactions { blockers });
        }
        if turn::is_taken(&session).await? {
            // What is not valid may be being built.
            draft.leftovers.clear();
            obstacles.push(Obstacle::Busy);
        }
        Ok(CreateIndexPlan {
            statements: draft.statements(),
            rollback_sql: draft.rollback(),
            table: draft.target.top().name.to_string(),
            estimated_bytes: options.estimated_bytes.or(draft.target.estimated_bytes()),
            free_bytes: options.free_bytes,
            index: draft.index,
            existing: draft.existing,
            invalid_others: draft.invalid_others,
            obstacles,
            sees_all_transactions: seen.facts.sees_all,
        })
    }
}

/// What the sessions are.
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    pub(crate) observer_pid: Option<i32>,
    pub(crate) obstacles: Vec<Obstacle>,
}

/// Looks twice, with the observer between: a transaction shows then, and a pooler in transaction mode,
/// which gives the observer the process that the session has just used. So neither may be busy with what
/// was sent before.
pub(crate) async fn look<Q: Queries, O: Queries>(
    session: &Session<'_, Q>,
    observer: Option<&Session<'_, O>>,
) -> Result<Seen, ChangeError> {
    let facts = session.facts().await?;
    session.settle().await?;
    let other = match observer {
        Some(observer) => {
            let facts = observer.facts().await?;
            observer.settle().await?;
            Some(facts)
        }
        None => None,
    };
    let later = session.facts().await?;
    Ok(Seen {
        obstacles: facts.obstacles(&later, other.as_ref()),
        observer_pid: other.map(|it| it.pid),
        facts: later,
    })
}

/// Gives the turn back and puts the settings as they were.
async fn leave<Q: Queries>(session: &Session<'_, Q>, settings: &Settings) -> bool {
    let is_given_back = turn::give_back(session).await.is_ok();
    settings.restore(session).await.is_ok() && is_given_back
}

/// Twice the index: for what is sorted on disk and for what is written.
fn disk(draft: &Draft, options: &CreateIndexOptions) -> Option<Obstacle> {
    let estimate = options.estimated_bytes.or(draft.target.estimated_bytes())?;
    let (needed_bytes, free_bytes) = (estimate.saturating_mul(2), options.free_bytes?);
    (needed_bytes > free_bytes).then_some(Obstacle::DiskTooSmall {
        needed_bytes,
        free_bytes,
    })
}
