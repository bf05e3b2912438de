//! What to do, and why.

mod text;

use std::time::Duration;

use serde::Serialize;

use crate::{
    DropReason, DroppableIndex, IndexDefinition, Trial, Unplanned,
    advise::Searched,
    candidates::Rule,
    catalogue::Table,
    count,
    index_name::{self, Taken},
    search::Found,
    statement_text,
    whatif::PlanWith,
};

/// The indexes that serve a workload best.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// The indexes to make, those that save most first. None is an answer, too: no index helps.
    pub indexes: Vec<IndexAdvice>,
    /// Further indexes that the planner could not be asked about: they are estimated from statistics,
    /// and not tested by what-if. Without HypoPG, all are.
    pub untested: Vec<IndexAdvice>,
    /// Whether HypoPG was there to try indexes out.
    pub has_what_if: bool,
    /// Indexes that are there and that the workload no longer needs, once those above are.
    pub replaced: Vec<ReplacedIndex>,
    /// Indexes of the same tables that could be dropped whatever is made: never finished, unused for as
    /// long as the statistics tell, the same as another, or the beginning of one. No plan of the workload takes one
    /// that is called unused.
    pub droppable: Vec<DroppableIndex>,
    /// What the workload costs as things are, in the planner's units.
    pub cost_before: f64,
    /// What it would cost.
    pub cost_after: f64,
    /// What the writes of the workload add to that, for all indexes together.
    pub upkeep: f64,
    /// What all indexes together will take.
    pub size_bytes: u64,
    /// What they may take.
    pub budget_bytes: u64,
    /// Each statement, with what it costs.
    pub statements: Vec<StatementCost>,
    /// The statements that could not be planned, and are not served.
    pub unplanned: Vec<Unplanned>,
    /// How many recorded statements of other roles this role may not read, and so are not served.
    pub hidden: u64,
    /// How often the planner was asked.
    pub explains: u64,
    /// How many indexes were thought of.
    pub candidates: usize,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether nothing better was in sight at the end; otherwise a limit was reached.
    pub is_complete: bool,
    /// What running the statements has shown, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// An index to make.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct IndexAdvice {
    /// What it holds.
    pub definition: IndexDefinition,
    /// Why it was proposed.
    pub rule: Rule,
    /// Its name, which nothing in the schema has.
    pub name: String,
    /// The statement that makes it while the table is in use. It cannot run in a transaction.
    pub sql: String,
    /// The statement that takes it away again.
    pub rollback_sql: String,
    /// What it will take.
    pub size_bytes: u64,
    /// What keeping it adds to the workload's writes, in the planner's units.
    pub upkeep: f64,
    /// What the workload's reads cost without this index and with all the others, against with it.
    pub cost_ratio: f64,
    /// The statements that it helps, those that it saves most first.
    pub helps: Vec<HelpedStatement>,
    /// How sure it is.
    pub confidence: Confidence,
    /// What else to know.
    pub notes: Vec<&'static str>,
}

/// A statement that an index helps.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HelpedStatement {
    /// Its name in the workload.
    pub name: String,
    /// How often it runs.
    pub calls: f64,
    /// What one run costs without the index and with all the others.
    pub cost_without: f64,
    /// What one run costs with it.
    pub cost_with: f64,
}

/// What a statement costs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StatementCost {
    /// Its name in the workload.
    pub name: String,
    /// How often it runs.
    pub calls: f64,
    /// Its text without constants, of at most 4 KiB.
    pub statement: String,
    /// Its part of what the workload costs as things are.
    pub share_before: f64,
    /// What one run costs as things are.
    pub cost_before: f64,
    /// What one run would cost.
    pub cost_after: f64,
    /// What it costs with constants from statistics, where they make a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<SampledCost>,
    /// The plan as things are, without constants, where it would be another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_before: Option<String>,
    /// The plan with all indexes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_after: Option<String>,
}

/// What a statement with parameters costs as things are, with and without constants. The server
/// takes the cheaper way; [`StatementCost::cost_before`] is its cost.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SampledCost {
    /// How often constants were drawn from the columns' statistics.
    pub draws: usize,
    /// What the plan for any constants costs.
    pub generic_cost: f64,
    /// What the plans for the constants that were drawn cost on the whole.
    pub custom_cost: f64,
}

/// An index that is there and that the workload no longer needs, once the new ones are.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ReplacedIndex {
    /// Its name as it is written in SQL.
    pub index: String,
    /// The name of a new one that begins with the same keys, over the same rows, so that it serves
    /// whatever this one does. Without it, statements that are not in the workload may still need this one.
    pub by: Option<String>,
    /// Whether plans show that the workload does not miss it: none takes it any more, or it costs no more
    /// with the index hidden, which HypoPG can from 1.4 on.
    pub is_tested: bool,
    /// The statement that drops it, after the new one is there.
    pub sql: String,
    /// The statement that makes it again.
    pub rollback_sql: String,
    /// What it takes.
    pub size_bytes: u64,
}

/// How sure advice is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Confidence {
    /// The planner takes the index for a statement with its own constants.
    Confirmed,
    /// The planner takes it for any constants: it does not know how many rows they find.
    ConfirmedForAnyConstants,
    /// The planner could not be asked: an estimate from statistics.
    Unconfirmed,
}

/// With less of a table visible to all, an index that should answer alone must look at the table.
const ENOUGH_VISIBLE: f64 = 0.5;
const AFTER_VACUUM: &str =
    "answers without the table only after VACUUM: few of its pages are known to be visible to all";
const LEAF_BY_LEAF: &str = "blocks writes to all partitions while it is built; to build it without: `CREATE INDEX … ON ONLY` the \
     table, `CREATE INDEX CONCURRENTLY` on each partition, `ALTER INDEX … ATTACH PARTITION` for each";
const UNBOUNDED: &str = "holds values whose type sets them no limit: a row in which they take more than 2,704 bytes can no longer be \
     written";
const TRIGRAM: &str = "its operator class is of the extension `pg_trgm`, which must be there: `CREATE EXTENSION pg_trgm`";
const FOREIGN_KEY: &str =
    "without it, each row that goes from the other table has all of this one read";
const EXPRESSION: &str =
    "its size is a guess, and ANALYZE has to follow: nothing is known of the expression's values";

impl Advice {
    pub(crate) fn new(searched: Searched, mut taken: Taken, elapsed: Duration) -> Advice {
        let found = &searched.found;
        let before: f64 = searched.planned.iter().map(|it| it.calls * it.cost).sum();
        let mut advised = |found: &Found| -> Vec<IndexAdvice> {
            let mut indexes: Vec<IndexAdvice> = (0..found.chosen.len())
                .map(|place| IndexAdvice::new(&searched, found, place, &mut taken))
                .collect();
            indexes.sort_by(|a, b| b.saving().total_cmp(&a.saving()));
            indexes
        };
        let indexes = advised(found);
        let untested = advised(&searched.estimated);
        let statements: Vec<StatementCost> = (searched.planned.iter().zip(&found.costs))
            .enumerate()
            .map(|(at, (it, cost))| {
                let after = searched.plans_after.get(at).and_then(Option::as_ref);
                StatementCost {
                    name: it.name.clone(),
                    calls: it.calls,
                    statement: statement_text::shown(&it.sql),
                    share_before: ratio(it.calls * it.cost, before),
                    cost_before: it.cost,
                    cost_after: *cost,
                    sampled: it.sampled.map(|it| SampledCost {
                        draws: it.draws,
                        generic_cost: it.generic_cost,
                        custom_cost: it.custom_cost,
                    }),
                    plan_before: after.map(|_| it.plan.outline()),
                    plan_after: after.map(|it| outline(it, &searched, &indexes)),
                }
            })
            .collect();
        let replaced = replaced(&searched, &indexes);
        let mut droppable = searched.droppable.clone();
        droppable.retain(|it| !replaced.iter().any(|other| other.index == it.index));
        Advice {
            droppable,
            replaced,
            untested,
            has_what_if: searched.has_what_if,
            cost_before: before,
            cost_after: statements.iter().map(|it| it.calls * it.cost_after).sum(),
            upkeep: indexes.iter().map(|it| it.upkeep).sum(),
            size_bytes: indexes.iter().map(|it| it.size_bytes).sum(),
            budget_bytes: count::of_estimate(searched.task.budget_bytes),
            explains: searched.explains,
            candidates: searched.task.candidates.len(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            is_complete: found.is_complete && searched.estimated.is_complete,
            indexes,
            statements,
            unplanned: searched.unplanned,
            hidden: searched.hidden,
            trial: None,
        }
    }

    /// The advice after a trial: without the indexes that it has discarded. A statement that one of these helped
    /// costs as much as before, at most; what each index that is left saves is still as it was found with all.
    #[must_use]
    pub fn tried(mut self, trial: Trial) -> Advice {
        let is_left = |name: &str| !trial.discarded.iter().any(|it| it.name == name);
        let (left, gone): (Vec<_>, Vec<_>) =
            (self.indexes.into_iter()).partition(|it| is_left(&it.name));
        self.indexes = left;
        self.untested.retain(|it| is_left(&it.name));
        if !trial.discarded.is_empty() {
            // What no plan missed may be missed now.
            let serves = |by: &Option<String>| by.as_deref().is_some_and(is_left);
            self.replaced.retain(|it| serves(&it.by));
            self.droppable.retain(|it| it.reason != DropReason::Unused);
        }
        for statement in &mut self.statements {
            let plan = statement.plan_after.as_ref();
            let concerns = |it: &IndexAdvice| {
                let helps = it.helps.iter().any(|it| it.name == statement.name);
                helps || plan.is_some_and(|plan| plan.contains(&it.name))
            };
            if gone.iter().any(concerns) {
                statement.cost_after = statement.cost_before;
                statement.plan_before = None;
                statement.plan_after = None;
            }
        }
        let costs = self.statements.iter().map(|it| it.calls * it.cost_after);
        self.cost_after = costs.sum();
        self.upkeep = self.indexes.iter().map(|it| it.upkeep).sum();
        self.size_bytes = self.indexes.iter().map(|it| it.size_bytes).sum();
        self.trial = Some(trial);
        self
    }

    /// The statements that make the indexes, without names, one a line: those that were tried out by what-if,
    /// those that plans have taken in a trial, and only where neither could be, those that are estimated.
    pub fn create_statements(&self) -> String {
        let taken = self.trial.iter().flat_map(|it| &it.taken);
        let taken: Vec<&String> = taken.collect();
        let is_told = |it: &&IndexAdvice| !self.has_what_if || taken.contains(&&it.name);
        let estimated = self.untested.iter().filter(is_told);
        (self.indexes.iter().chain(estimated))
            .map(|it| format!("CREATE INDEX {};\n", it.definition.on_clause()))
            .collect()
    }
}

impl IndexAdvice {
    fn new(searched: &Searched, found: &Found, place: usize, taken: &mut Taken) -> IndexAdvice {
        let proposed = &searched.task.candidates[found.chosen[place]];
        let definition = proposed.candidate.definition.clone();
        let words: Vec<String> = definition.keys.iter().map(|it| it.word()).collect();
        let table = &definition.table;
        let name = index_name::choose(taken, table.schema.name(), table.table.name(), &words);
        let quoted = index_name::quote(&name);
        let is_partitioned = table_of(searched, &definition).is_some_and(|it| it.is_partitioned);
        let concurrently = if is_partitioned { "" } else { " CONCURRENTLY" };
        let (helps, cost_ratio) = helped(searched, found, place);
        let is_generic = |it: &HelpedStatement| {
            (searched.planned.iter()).any(|planned| planned.name == it.name && planned.is_generic())
        };
        IndexAdvice {
            sql: format!(
                "CREATE INDEX{concurrently} {quoted} {}",
                definition.on_clause()
            ),
            rollback_sql: format!("DROP INDEX{concurrently} {}.{quoted}", table.schema),
            size_bytes: count::of_estimate(proposed.bytes),
            upkeep: proposed.upkeep,
            cost_ratio,
            confidence: match (proposed.is_tested, helps.iter().all(is_generic)) {
                (true, false) => Confidence::Confirmed,
                (true, true) => Confidence::ConfirmedForAnyConstants,
                (false, _) => Confidence::Unconfirmed,
            },
            notes: notes(searched, &definition, proposed.candidate.rule),
            rule: proposed.candidate.rule,
            name,
            definition,
            helps,
        }
    }

    /// What it saves of the workload.
    fn saving(&self) -> f64 {
        let saved = self.helps.iter();
        saved
            .map(|it| it.calls * (it.cost_without - it.cost_with))
            .sum()
    }
}

fn table_of<'a>(searched: &'a Searched, index: &IndexDefinition) -> Option<&'a Table> {
    searched
        .catalogue
        .tables()
        .find(|it| it.name == index.table)
}

/// The statements that an index helps, and what it leaves of the workload's cost.
fn helped(searched: &Searched, found: &Found, place: usize) -> (Vec<HelpedStatement>, f64) {
    let (mut without, mut with) = (0.0, 0.0);
    let mut helped = Vec::new();
    for (at, statement) in searched.planned.iter().enumerate() {
        let (cost_with, cost_without) = (found.costs[at], found.costs_without[place][at]);
        without += statement.calls * cost_without;
        with += statement.calls * cost_with;
        if cost_with < cost_without * 0.999 {
            helped.push(HelpedStatement {
                name: statement.name.clone(),
                calls: statement.calls,
                cost_without,
                cost_with,
            });
        }
    }
    let saving = |it: &HelpedStatement| it.calls * (it.cost_without - it.cost_with);
    helped.sort_by(|a, b| saving(b).total_cmp(&saving(a)));
    (helped, ratio(with, without))
}

/// A part of a whole; all of nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

/// A plan with the indexes by the names that they are to have.
fn outline(with: &PlanWith, searched: &Searched, indexes: &[IndexAdvice]) -> String {
    let mut text = with.plan.outline();
    for (number, name) in &with.indexes {
        let definition = searched.task.definition(*number);
        if let Some(advice) = indexes.iter().find(|it| it.definition == *definition) {
            text = text.replace(name, &advice.name);
        }
    }
    text
}

fn notes(searched: &Searched, index: &IndexDefinition, rule: Rule) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if rule == Rule::Trigram {
        notes.push(TRIGRAM);
    }
    if rule == Rule::ForeignKey {
        notes.push(FOREIGN_KEY);
    }
    let is_hidden = |it: &Table| it.visible_share() < ENOUGH_VISIBLE;
    if !index.include.is_empty() && table_of(searched, index).is_some_and(is_hidden) {
        notes.push(AFTER_VACUUM);
    }
    let is_unbounded = |table: &Table| {
        let stored = index.include.iter();
        let mut columns = stored.filter_map(|it| table.column(it.name()));
        columns.any(|it| !it.is_bounded)
    };
    if table_of(searched, index).is_some_and(is_unbounded) {
        notes.push(UNBOUNDED);
    }
    if table_of(searched, index).is_some_and(|it| it.is_partitioned) {
        notes.push(LEAF_BY_LEAF);
    }
    if index.keys.iter().any(|it| it.as_column().is_none()) {
        notes.push(EXPRESSION);
    }
    notes
}

/// The indexes that are no longer needed, once the new ones are there.
fn replaced(searched: &Searched, indexes: &[IndexAdvice]) -> Vec<ReplacedIndex> {
    let name_of = |number: usize| {
        let definition = searched.task.definition(number);
        let advice = indexes.iter().find(|it| it.definition == *definition);
        advice.map(|it| it.name.clone())
    };
    let unneeded = searched.unneeded.iter();
    unneeded
        .map(|it| ReplacedIndex {
            index: it.index.name.clone(),
            by: it.by.and_then(name_of),
            is_tested: it.is_tested,
            sql: format!("DROP INDEX CONCURRENTLY {}", it.index.name),
            rollback_sql: it.index.definition.clone(),
            size_bytes: count::of_estimate(it.index.bytes),
        })
        .collect()
}
