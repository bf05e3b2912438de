//! The statements of a workload with their plans.

use ruleiq_query::{Queries, TokenKind, tokens};

use crate::{
    AdviseError, Unplanned, Workload, WorkloadStatement, generic_plan::Planner, plan::Plan,
    whatif::Explain,
};

/// A statement that the server can plan.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) sql: String,
    pub(crate) calls: f64,
    pub(crate) explain: Explain,
    pub(crate) plan: Plan,
    pub(crate) cost: f64,
}

impl Planned {
    /// Whether it was planned for any constants.
    pub(crate) fn is_generic(&self) -> bool {
        matches!(self.explain, Explain::Generic(_))
    }
}

/// Plans all statements as things are; what cannot be planned is told.
pub(crate) async fn plan<Q: Queries>(
    queries: &Q,
    workload: &Workload,
) -> Result<(Vec<Planned>, Vec<Unplanned>), AdviseError> {
    let mut planner = Planner::begin(queries).await?;
    let planned = plan_in(&mut planner, workload).await;
    planner.end().await?;
    let (plans, unplanned) = planned?;
    if plans.is_empty() {
        return Err(AdviseError::NothingPlanned { unplanned });
    }
    let mut planned = Vec::new();
    for (statement, plan) in plans {
        planned.push(Planned {
            name: statement.name.clone(),
            sql: statement.sql.clone(),
            calls: statement.calls,
            explain: explain(queries, &statement.sql).await?,
            cost: plan.total_cost(),
            plan,
        });
    }
    Ok((planned, unplanned))
}

/// Statements with their plans, and those without.
type Plans<'a> = (Vec<(&'a WorkloadStatement, Plan)>, Vec<Unplanned>);

async fn plan_in<'a, Q: Queries>(
    planner: &mut Planner<'_, Q>,
    workload: &'a Workload,
) -> Result<Plans<'a>, AdviseError> {
    let (mut plans, mut unplanned) = (Vec::new(), Vec::new());
    for statement in workload.statements() {
        match planner.plan(&statement.sql).await? {
            Ok(plan) => plans.push((statement, plan)),
            Err(reason) => unplanned.push(Unplanned {
                name: statement.name.clone(),
                calls: statement.calls,
                reason,
            }),
        }
    }
    Ok((plans, unplanned))
}

async fn explain(queries: &impl Queries, sql: &str) -> Result<Explain, AdviseError> {
    if tokens(sql).any(|it| it.kind == TokenKind::Parameter) {
        return Ok(Explain::Generic(sql.to_owned()));
    }
    let ready = Explain::ready(queries, sql).await;
    Ok(ready.map_err(crate::Error::reading("the plan of a statement"))?)
}
