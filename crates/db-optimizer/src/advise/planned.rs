//! The statements of a workload with their plans.

use ruleiq_query::{Queries, TokenKind, tokens};

use crate::{
    AdviseError, Unplanned, Workload, WorkloadStatement,
    plan::{Plan, PlanText},
    whatif::{Explain, generic_plan},
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

/// Plans all statements as things are; what cannot be planned is told.
pub(crate) async fn plan(
    queries: &impl Queries,
    workload: &Workload,
) -> Result<(Vec<Planned>, Vec<Unplanned>), AdviseError> {
    let (mut planned, mut unplanned) = (Vec::new(), Vec::new());
    for statement in workload.statements() {
        match plan_one(queries, statement).await {
            Ok(it) => planned.push(it),
            Err(error) if error.as_db_error().is_none() => {
                return Err(crate::Error::reading("the plan of a statement")(error).into());
            }
            Err(error) => unplanned.push(Unplanned {
                name: statement.name.clone(),
                calls: statement.calls,
                reason: reason(&error),
            }),
        }
    }
    match planned.is_empty() {
        true => Err(AdviseError::NothingPlanned { unplanned }),
        false => Ok((planned, unplanned)),
    }
}

async fn plan_one(
    queries: &impl Queries,
    statement: &WorkloadStatement,
) -> Result<Planned, ruleiq_query::Error> {
    let sql = statement.sql.clone();
    let parameters = parameters(&sql);
    let (explain, text) = if parameters == 0 {
        let verbose = format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}");
        let row = queries.query_one(&verbose, &[]).await?;
        let explain = Explain::ready(queries, &sql).await?;
        (explain, row.get::<_, PlanText>(0).0)
    } else {
        let text = generic_plan(queries, &sql, parameters, ", VERBOSE").await?;
        (
            Explain::Generic {
                sql: sql.clone(),
                parameters,
            },
            text,
        )
    };
    let plan = Plan::parse(&text).unwrap_or_default();
    Ok(Planned {
        name: statement.name.clone(),
        sql,
        calls: statement.calls,
        explain,
        cost: plan.total_cost(),
        plan,
    })
}

/// The highest number of a parameter.
fn parameters(sql: &str) -> usize {
    let numbers = tokens(sql).filter(|it| it.kind == TokenKind::Parameter);
    let numbers = numbers.filter_map(|it| it.text[1..].parse().ok());
    numbers.max().unwrap_or(0)
}

/// What the server says, by its code: its own words quote names and values.
fn reason(error: &ruleiq_query::Error) -> String {
    error.as_db_error().map_or_else(String::new, |it| {
        let message = it.message();
        let shown: String = message.chars().take(200).collect();
        format!("{shown} (SQLSTATE {})", it.code().code())
    })
}
