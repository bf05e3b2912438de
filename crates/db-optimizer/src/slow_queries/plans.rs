//! The plans of slow statements, and what is wrong with them.

use ruleiq_query::Queries;

use super::{Degradation, SlowQueries, SlowQuery};
use crate::{
    Case, Error, Plan, Runs,
    doctor::tables,
    generic_plan::{NotPlanned, Planner, planned_text},
};

/// Plans the statements and diagnoses them. None is executed.
///
/// The texts are those of the statements, in their order, where all of them was read.
pub(super) async fn add(
    slow: &mut SlowQueries,
    queries: &impl Queries,
    texts: &[Option<String>],
    max_plans: usize,
) -> Result<(), Error> {
    for statement in slow.statements.iter_mut().skip(max_plans) {
        statement.not_planned = Some(NotPlanned::NotTried);
    }
    if slow.statements.is_empty() || max_plans == 0 {
        return Ok(());
    }
    let mut planner = Planner::begin(queries).await?;
    let planned = plan_all(&mut planner, &texts[..texts.len().min(max_plans)]).await;
    // Whatever has happened, or the caller is left in a transaction.
    let ended = planner.end().await;
    let planned = planned?;
    ended?;

    let plans: Vec<&Plan> = planned.iter().filter_map(|it| it.as_ref().ok()).collect();
    let tables = tables::read(queries, &plans).await?;
    for ((statement, planned), text) in slow.statements.iter_mut().zip(planned).zip(texts) {
        let runs = Runs {
            calls: statement.calls,
            rows: statement.rows,
        };
        match (planned, text) {
            (Ok(plan), Some(text)) => {
                let case = Case::new(&plan).text(text).runs(runs).tables(&tables);
                statement.findings = case.diagnose();
                statement.estimated_cost = plan.root.total_cost;
                statement.plan = Some(plan.outline());
            }
            (Err(why), _) => statement.not_planned = Some(why),
            (Ok(_), None) => statement.not_planned = Some(NotPlanned::Text),
        }
    }
    say_what_is_lost(slow, texts);
    Ok(())
}

async fn plan_all<Q: Queries>(
    planner: &mut Planner<'_, Q>,
    texts: &[Option<String>],
) -> Result<Vec<Result<Plan, NotPlanned>>, Error> {
    let mut planned = Vec::with_capacity(texts.len());
    for text in texts {
        planned.push(match text {
            Some(text) => planner.plan(text).await?,
            None => Err(NotPlanned::Text),
        });
    }
    Ok(planned)
}

/// Counts the statements that have a plan which could not be made.
fn say_what_is_lost(slow: &mut SlowQueries, texts: &[Option<String>]) {
    let is_lost = |(statement, text): &(&SlowQuery, &Option<String>)| {
        let text = text.as_ref().or(statement.query.as_ref());
        statement
            .not_planned
            .as_ref()
            .is_some_and(|it| *it != NotPlanned::NotTried)
            && text.is_some_and(|it| planned_text(it).is_some())
    };
    let lost = slow.statements.iter().zip(texts).filter(is_lost).count();
    if lost > 0 {
        slow.degraded
            .push(Degradation::NotPlanned { statements: lost });
    }
}
