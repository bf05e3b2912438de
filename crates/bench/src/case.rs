//! A case: what is measured, against what, and how good it has to be.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Arm, Fault};

/// What a side's set-up returns.
pub type Prepared = Pin<Box<dyn Future<Output = Result<Box<dyn Arm>, Fault>> + Send>>;

/// `component/case`, and what tells its variants apart.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct CaseName {
    /// The part of the system: `pools`.
    pub component: String,
    /// The case: `point_select`.
    pub case: String,
    /// What differs between cases of one name: `{"coding": "br", "size": "10k"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant: BTreeMap<String, String>,
}

/// A process whose CPU time counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// The one that runs the operation: for a library, its user; for HTTP, the load client.
    Client,
    /// The HTTP server, where there is one.
    Server,
    /// PostgreSQL, all its processes.
    Postgres,
    /// Redis.
    Redis,
}

/// What a side is there for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ours.
    Subject,
    /// The limit that ours is held against, in the same blocks.
    Control,
    /// An outside program doing the same, in the same blocks, for information.
    Peer,
    /// Ours as it was at an earlier revision.
    Baseline,
}

/// What a target is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetOf {
    /// The subject's value over the control's.
    Ratio,
    /// The subject's own value, in the metric's unit.
    Value,
}

/// How good a case has to be.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Target {
    /// The metric that is judged: `cpu_per_op`, `latency_p95`, `bytes_out`, or a figure of the
    /// arm's.
    pub metric: String,
    /// Of the ratio or of the value.
    pub of: TargetOf,
    /// Whether larger is better: then the bound is the least, otherwise the most.
    pub at_least: bool,
    /// The bound. Ratios have no unit; times are microseconds.
    pub bound: f64,
    /// A looser bound, whose miss is critical; without one a miss of `bound` is critical if
    /// `is_critical`.
    #[serde(default)]
    pub critical_bound: Option<f64>,
    /// Whether a miss fails the command.
    pub is_critical: bool,
}

/// One side of a case, before it is set up in `E`, the surroundings that cases need.
pub struct Side<E> {
    name: String,
    version: String,
    role: Role,
    set_up: Arc<dyn Fn(Arc<E>) -> Prepared + Send + Sync>,
}

/// A case over the surroundings `E`. Made by [`Case::builder`].
pub struct Case<E> {
    name: CaseName,
    about: &'static str,
    settings: serde_json::Value,
    processes: Vec<Process>,
    slice: Option<Duration>,
    is_whole: bool,
    is_quick: bool,
    is_on_one_thread: bool,
    sides: Vec<Side<E>>,
    targets: Vec<Target>,
}

/// A case being put together. All sides are set up from one value of settings `S`, so that they
/// cannot differ in it.
#[must_use]
pub struct CaseBuilder<E, S> {
    case: Case<E>,
    settings: Arc<S>,
}

impl<E: 'static> Case<E> {
    /// A case called `component/name`, whose sides are set up from `settings`.
    pub fn builder<S: Serialize + Send + Sync + 'static>(
        component: &str,
        name: &str,
        settings: S,
    ) -> CaseBuilder<E, S> {
        let shown = serde_json::to_value(&settings).unwrap_or_default();
        CaseBuilder {
            case: Case {
                name: CaseName {
                    component: component.to_owned(),
                    case: name.to_owned(),
                    variant: BTreeMap::new(),
                },
                about: "",
                settings: shown,
                processes: vec![Process::Client],
                slice: None,
                is_whole: false,
                is_quick: false,
                is_on_one_thread: false,
                sides: Vec::new(),
                targets: Vec::new(),
            },
            settings: Arc::new(settings),
        }
    }

    /// Its name.
    pub fn name(&self) -> &CaseName {
        &self.name
    }

    /// What it measures, in one sentence.
    pub fn about(&self) -> &str {
        self.about
    }

    /// The settings of all sides, for the report.
    pub fn settings(&self) -> &serde_json::Value {
        &self.settings
    }

    /// The processes whose CPU time makes `cpu_per_op`.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// How long its slices have to be, if longer or shorter than others.
    pub fn slice(&self) -> Option<Duration> {
        self.slice
    }

    /// Whether its slices are left whole.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether its sides compute on one thread.
    pub fn is_on_one_thread(&self) -> bool {
        self.is_on_one_thread
    }

    /// Whether a quick run has it.
    pub fn is_quick(&self) -> bool {
        self.is_quick
    }

    /// The subject, the controls and the peers, the subject first.
    pub fn sides(&self) -> &[Side<E>] {
        &self.sides
    }

    /// How good it has to be.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

impl<E: Send + Sync + 'static, S: Send + Sync + 'static> CaseBuilder<E, S> {
    /// What it measures, in one sentence.
    pub fn about(mut self, about: &'static str) -> Self {
        self.case.about = about;
        self
    }

    /// Sets it apart from others of its name.
    pub fn variant(mut self, key: &str, value: impl fmt::Display) -> Self {
        let variant = &mut self.case.name.variant;
        variant.insert(key.to_owned(), value.to_string());
        self
    }

    /// The processes whose CPU time counts. Default: [`Process::Client`] alone.
    pub fn cpu_of(mut self, processes: impl Into<Vec<Process>>) -> Self {
        self.case.processes = processes.into();
        self
    }

    /// How long a slice has to be. Default: the run's.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.case.slice = Some(slice);
        self
    }

    /// Says that a slice is not to be cut into turns: what it shows builds up while it lasts.
    pub fn whole(mut self) -> Self {
        self.case.is_whole = true;
        self
    }

    /// Says that each of its sides computes on one thread: all have the same processor then, and
    /// the next one in the next turn. Processors of a shared host are not equally fast.
    pub fn on_one_thread(mut self) -> Self {
        self.case.is_on_one_thread = true;
        self
    }

    /// Makes it one of the cases of a quick run.
    pub fn quick(mut self) -> Self {
        self.case.is_quick = true;
        self
    }

    /// How good it has to be.
    pub fn target(mut self, target: Target) -> Self {
        self.case.targets.push(target);
        self
    }

    /// What is measured. `name` and `version` say what it is.
    pub fn subject<F>(
        self,
        name: &str,
        version: &str,
        set_up: impl Fn(Arc<E>, Arc<S>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Box<dyn Arm>, Fault>> + Send + 'static,
    {
        self.side(Role::Subject, name, version, set_up)
    }

    /// What it is measured against, in the same blocks. The first control judges `cpu_per_op`;
    /// each has a row of its own.
    pub fn control<F>(
        self,
        name: &str,
        version: &str,
        set_up: impl Fn(Arc<E>, Arc<S>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Box<dyn Arm>, Fault>> + Send + 'static,
    {
        self.side(Role::Control, name, version, set_up)
    }

    /// An outside program beside it, for information. One that is not installed says so with
    /// [`Fault::Failed`], and is left out with that as the reason.
    pub fn peer<F>(
        self,
        name: &str,
        version: &str,
        set_up: impl Fn(Arc<E>, Arc<S>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Box<dyn Arm>, Fault>> + Send + 'static,
    {
        self.side(Role::Peer, name, version, set_up)
    }

    fn side<F>(
        mut self,
        role: Role,
        name: &str,
        version: &str,
        set_up: impl Fn(Arc<E>, Arc<S>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Box<dyn Arm>, Fault>> + Send + 'static,
    {
        let settings = Arc::clone(&self.settings);
        self.case.sides.push(Side {
            name: name.to_owned(),
            version: version.to_owned(),
            role,
            set_up: Arc::new(move |env| Box::pin(set_up(env, Arc::clone(&settings)))),
        });
        self
    }

    /// The case.
    ///
    /// # Panics
    ///
    /// When its first side is not its only subject: a mistake of whoever wrote the case.
    pub fn build(self) -> Case<E> {
        let roles: Vec<Role> = self.case.sides.iter().map(|it| it.role).collect();
        let subjects = roles.iter().filter(|it| **it == Role::Subject).count();
        assert!(
            subjects == 1 && roles.first() == Some(&Role::Subject),
            "`{}` needs its subject first, and no second one",
            self.case.name
        );
        self.case
    }
}

impl<E> Side<E> {
    /// What it is: `deadpool-postgres`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it is there for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Connects, fills and warms what it needs.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from that.
    pub async fn set_up(&self, env: Arc<E>) -> Result<Box<dyn Arm>, Fault> {
        (self.set_up)(env).await
    }
}

impl Target {
    /// The ratio of the subject's `cpu_per_op` to the control's is at most `bound`.
    pub fn ratio_at_most(bound: f64) -> Target {
        Target::at_most("cpu_per_op", TargetOf::Ratio, bound)
    }

    /// The ratio of `metric` to the control's is at most `bound`.
    pub fn ratio_of_at_most(metric: &str, bound: f64) -> Target {
        Target::at_most(metric, TargetOf::Ratio, bound)
    }

    /// The ratio of `metric` to the control's is at least `bound`.
    pub fn ratio_of_at_least(metric: &str, bound: f64) -> Target {
        Target {
            at_least: true,
            ..Target::at_most(metric, TargetOf::Ratio, bound)
        }
    }

    /// The subject's own `metric` is at most `bound`.
    pub fn value_at_most(metric: &str, bound: f64) -> Target {
        Target::at_most(metric, TargetOf::Value, bound)
    }

    /// The subject's own `metric` is at least `bound`.
    pub fn value_at_least(metric: &str, bound: f64) -> Target {
        Target {
            at_least: true,
            ..Target::at_most(metric, TargetOf::Value, bound)
        }
    }

    fn at_most(metric: &str, of: TargetOf, bound: f64) -> Target {
        Target {
            metric: metric.to_owned(),
            of,
            at_least: false,
            bound,
            critical_bound: None,
            is_critical: false,
        }
    }

    /// Beyond this looser bound, a miss is critical.
    #[must_use]
    pub fn critical_beyond(mut self, bound: f64) -> Target {
        self.critical_bound = Some(bound);
        self.is_critical = true;
        self
    }

    /// A miss fails the command.
    #[must_use]
    pub fn critical(mut self) -> Target {
        self.is_critical = true;
        self
    }
}

impl Process {
    /// Its name in slices and reports.
    pub fn word(self) -> &'static str {
        match self {
            Process::Client => "client",
            Process::Server => "server",
            Process::Postgres => "postgres",
            Process::Redis => "redis",
        }
    }
}

/// `pools/point_select`, or `compression/br_100k{control=nginx}` with its variant.
impl fmt::Display for CaseName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.component, self.case)?;
        if !self.variant.is_empty() {
            let pairs: Vec<String> = self
                .variant
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            write!(out, "{{{}}}", pairs.join(","))?;
        }
        Ok(())
    }
}

impl<E> fmt::Debug for Side<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Side")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Case<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Case")
            .field("name", &self.name)
            .field("sides", &self.sides)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl<E, S> fmt::Debug for CaseBuilder<E, S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.case.fmt(out)
    }
}
