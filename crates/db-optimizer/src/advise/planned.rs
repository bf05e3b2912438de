//! The statements of a workload with their plans.

use std::collections::BTreeSet;

use ruleiq_query::{Queries, TokenKind, tokens};

use super::draws::Samples;
use crate::{
    AdviseError, Error, Unplanned, Workload, WorkloadStatement,
    catalogue::Catalogue,
    generic_plan::{Planner, Plans, planned_text},
    plan::Plan,
    statement_text,
    whatif::Explain,
};

/// Rows that differ by this factor between plans call for plans with constants.
const SENSITIVE: f64 = 1.25;

/// A statement that the server can plan.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) sql: String,
    pub(crate) calls: f64,
    pub(crate) explain: Explain,
    pub(crate) plan: Plan,
    pub(crate) cost: f64,
    /// The names of the indexes in it, and in the plans for constants that were drawn.
    pub(crate) indexes: BTreeSet<String>,
    /// What it costs with constants that were drawn, where they matter.
    pub(crate) sampled: Option<Sampled>,
}

/// What a statement costs with constants that were drawn from statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    pub(crate) draws: usize,
    pub(crate) generic_cost: f64,
    pub(crate) custom_cost: f64,
}

impl Planned {
    /// Whether it was planned for any constants.
    pub(crate) fn is_generic(&self) -> bool {
        matches!(self.explain, Explain::Generic { .. })
    }
}

/// Plans all statements as things are; what cannot be planned is told.
pub(crate) async fn plan<Q: Queries>(
    queries: &Q,
    workload: &Workload,
) -> Result<(Vec<Planned>, Vec<Unplanned>), AdviseError> {
    if workload.statements().is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut planner = Planner::begin(queries).await?;
    let planned = plan_in(&mut planner, workload).await;
    planner.end().await?;
    let (plans, unplanned) = planned?;
    let mut planned = Vec::new();
    for (statement, plan) in plans {
        let sql = planned_text(&statement.sql).unwrap_or(&statement.sql);
        planned.push(Planned {
            name: statement.name.clone(),
            sql: sql.to_owned(),
            calls: statement.calls,
            explain: explain(queries, sql).await?,
            cost: plan.total_cost(),
            indexes: plan.index_names().collect(),
            plan,
            sampled: None,
        });
    }
    Ok((planned, unplanned))
}

/// Plans the statements with parameters again, with constants from statistics, and keeps these where they
/// make a difference.
pub(crate) async fn sample<Q: Queries>(
    queries: &Q,
    planned: &mut [Planned],
    catalogue: &Catalogue,
) -> Result<(), Error> {
    if !planned.iter().any(Planned::is_generic) {
        return Ok(());
    }
    let generic = planned.iter().filter(|it| it.is_generic());
    let plans = generic.map(|it| (it.sql.as_str(), &it.plan));
    let samples = Samples::read(queries, catalogue, plans).await?;
    let mut planner = Planner::begin(queries).await?;
    let sampled = sample_in(&mut planner, planned, catalogue, &samples).await;
    planner.end().await?;
    sampled
}

async fn sample_in<Q: Queries>(
    planner: &mut Planner<'_, Q>,
    planned: &mut [Planned],
    catalogue: &Catalogue,
    samples: &Samples,
) -> Result<(), Error> {
    for statement in planned.iter_mut().filter(|it| it.is_generic()) {
        let Some(draws) = samples.draws(&statement.sql, &statement.plan, catalogue) else {
            continue;
        };
        // A value that the parameter's type does not take leaves things as they are.
        let Ok(plans) = planner.plans(&statement.sql, &draws).await? else {
            continue;
        };
        if let Some(custom_cost) = plans.custom_cost()
            && is_sensitive(&plans)
        {
            statement.sampled = Some(Sampled {
                draws: draws.len(),
                generic_cost: plans.generic.total_cost(),
                custom_cost,
            });
            statement.cost = plans.cost();
            statement.indexes = plans.all().flat_map(Plan::index_names).collect();
            statement.explain = Explain::Generic {
                sql: statement.sql.clone(),
                draws,
            };
        }
    }
    Ok(())
}

/// Whether any plan for constants expects other rows somewhere than the plan for all of them.
fn is_sensitive(plans: &Plans) -> bool {
    let rows = |plan: &Plan| -> Vec<f64> {
        let scans = plan.nodes().filter(|it| it.relation.is_some());
        scans
            .map(|it| it.plan_rows.unwrap_or(1.0).max(1.0))
            .collect()
    };
    let generic = rows(&plans.generic);
    plans.custom.iter().map(rows).any(|custom| {
        let differs =
            |(one, other): (&f64, &f64)| one / other > SENSITIVE || other / one > SENSITIVE;
        custom.len() != generic.len() || custom.iter().zip(&generic).any(differs)
    })
}

/// Statements with their plans, and those without.
type PlansOfAll<'a> = (Vec<(&'a WorkloadStatement, Plan)>, Vec<Unplanned>);

async fn plan_in<'a, Q: Queries>(
    planner: &mut Planner<'_, Q>,
    workload: &'a Workload,
) -> Result<PlansOfAll<'a>, AdviseError> {
    let (mut plans, mut unplanned) = (Vec::new(), Vec::new());
    for statement in workload.statements() {
        match planner.plan(&statement.sql).await? {
            Ok(plan) => plans.push((statement, plan)),
            Err(reason) => unplanned.push(Unplanned {
                name: statement.name.clone(),
                calls: statement.calls,
                reason,
                statement: statement_text::shown(&statement.sql),
            }),
        }
    }
    Ok((plans, unplanned))
}

async fn explain(queries: &impl Queries, sql: &str) -> Result<Explain, AdviseError> {
    if tokens(sql).any(|it| it.kind == TokenKind::Parameter) {
        return Ok(Explain::Generic {
            sql: sql.to_owned(),
            draws: Vec::new(),
        });
    }
    let ready = Explain::ready(queries, sql).await;
    Ok(ready.map_err(Error::reading("the plan of a statement"))?)
}
