//! What candidates save that the planner cannot try out: of access methods that HypoPG does not know, or
//! all of them where it is not installed.
//!
//! Of each table of a statement the best index counts, and that alone: what it saves is the cost of
//! the nodes that read the table now, less the cost of looking through the index.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering::Relaxed,
};

use ruleiq_query::Queries;
use tokio::{task::yield_now, time::Instant};

use super::{AdviseOptions, Read, relevance::answers_alone, shares::Shares};
use crate::{
    Error, IndexDefinition, Key, KeyOn, Method,
    catalogue::Table,
    estimate::{Look, Prices},
    plan::{Node, Plan},
    search::{Found, Task},
    usage::{Operand, TableUse},
};

/// What must be saved of the workload, or of one statement.
const LEAST_GAIN: f64 = 0.05;
const LEAST_GAIN_OF_ONE: f64 = 0.2;
/// What the planner takes where it knows nothing (`selfuncs.h`): a range, a content or pattern.
const UNKNOWN_RANGE: f64 = 0.333;
const UNKNOWN_CONTENTS: f64 = 0.01;
/// Values in a list of which nothing is known.
const LIST: f64 = 10.0;

/// What one candidate saves of one table of one statement.
#[derive(Clone, Copy, Debug)]
struct Saving {
    candidate: usize,
    /// The statement, and its table by its place among the uses.
    place: (usize, usize),
    saved: f64,
}

/// Chooses among the candidates that are not tested, in the room that is left by those of `found`.
pub(super) async fn choose<Q: Queries>(
    queries: &Q,
    shares: &mut Shares,
    read: &Read<'_>,
    task: &Task,
    found: &Found,
    options: &AdviseOptions,
    until: Instant,
) -> Result<Found, Error> {
    let untested: Vec<usize> = (0..task.candidates.len())
        .filter(|it| !task.candidates[*it].is_tested)
        .collect();
    if untested.is_empty() {
        return Ok(Choice::new(task, found, Vec::new()).found(Vec::new(), true));
    }
    let prices = Prices::read(queries).await?;
    let mut savings = Vec::new();
    for (statement, (planned, uses)) in read.planned.iter().zip(read.uses).enumerate() {
        for (place, table_use) in uses.iter().enumerate() {
            let table = read.catalogue.table(table_use.table);
            let of_table = untested.iter().map(|it| (*it, &task.candidates[*it]));
            let of_table: Vec<_> = of_table
                .filter(|it| it.1.candidate.definition.table == table.name)
                .collect();
            if of_table.is_empty() {
                continue;
            }
            let known = known_shares(queries, shares, table_use, table).await?;
            let reading = Reading::new(&planned.plan, table_use, table, &known, &prices);
            // A limit may end the statement long before all is read.
            let part = (planned.cost / reading.cost).min(1.0);
            for (candidate, proposed) in of_table {
                let index = &proposed.candidate.definition;
                if let Some(cost) = reading.cost_with(index, proposed.bytes, proposed.share)
                    && cost < reading.cost
                {
                    savings.push(Saving {
                        candidate,
                        place: (statement, place),
                        saved: (reading.cost - cost) * part,
                    });
                }
            }
        }
    }
    let choice = Choice::new(task, found, savings);
    Ok(choice.greedy(options, until).await)
}

/// The part of the rows that each condition on a single column leaves, by the column or expression.
async fn known_shares<Q: Queries>(
    queries: &Q,
    shares: &mut Shares,
    table_use: &TableUse,
    table: &Table,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut known: BTreeMap<String, f64> = BTreeMap::new();
    for filter in &table_use.filters {
        if let [column] = filter.columns.as_slice() {
            let share = shares.of(queries, table, Some(&filter.sql)).await?;
            *known.entry(column.clone()).or_insert(1.0) *= share;
        }
    }
    Ok(known)
}

/// How a plan reads a table now.
struct Reading<'a> {
    table_use: &'a TableUse,
    table: &'a Table,
    known: &'a BTreeMap<String, f64>,
    prices: &'a Prices,
    /// What all nodes cost that read it.
    cost: f64,
    /// The rows of each other table that a lookup could be made for.
    others: BTreeMap<&'a str, f64>,
    /// The rows that are wanted, of all that there are, where the rest is sorted only to be cut off.
    wanted: f64,
    /// What sorting costs, if only few of the rows are wanted.
    sorting: f64,
}

impl<'a> Reading<'a> {
    fn new(
        plan: &'a Plan,
        table_use: &'a TableUse,
        table: &'a Table,
        known: &'a BTreeMap<String, f64>,
        prices: &'a Prices,
    ) -> Reading<'a> {
        let mut reading = Reading {
            table_use,
            table,
            known,
            prices,
            cost: 0.0,
            others: BTreeMap::new(),
            wanted: 1.0,
            sorting: 0.0,
        };
        reading.visit(&plan.root, 1.0);
        reading.limit(plan);
        reading
    }

    /// Adds up the nodes that read the table, each as often as its parent asks for it.
    fn visit(&mut self, node: &'a Node, times: f64) {
        let (Some(_), Some(alias)) = (&node.relation, &node.alias) else {
            return self.visit_children(node, times);
        };
        let rows = node.plan_rows.unwrap_or(0.0);
        match node.node_type.as_str() {
            "ModifyTable" => {}
            _ if *alias == self.table_use.alias => {
                self.cost += times * node.total_cost.unwrap_or(0.0);
            }
            _ => {
                self.others.insert(alias, times * rows);
            }
        }
        self.visit_children(node, times);
    }

    fn visit_children(&mut self, node: &'a Node, times: f64) {
        let outer = node.children.iter().find(|it| !it.is_subplan());
        let outer = outer.and_then(|it| it.plan_rows);
        for child in &node.children {
            let is_kept = matches!(child.node_type.as_str(), "Materialize" | "Memoize");
            let is_repeated = node.node_type == "Nested Loop"
                && child.parent_relationship.as_deref() == Some("Inner")
                && !is_kept;
            let times = if is_repeated {
                times * outer.unwrap_or(1.0).max(1.0)
            } else {
                times
            };
            self.visit(child, times);
        }
    }

    /// Of one table alone, an index in the wanted order reads no more rows than are wanted.
    fn limit(&mut self, plan: &'a Plan) {
        let is_limit = |it: &&Node| it.node_type == "Limit";
        let sorted = plan.nodes().find(is_limit).and_then(|limit| {
            let sort = limit.children.first()?;
            let is_sort = sort.node_type == "Sort" && self.others.is_empty();
            is_sort.then_some((limit.plan_rows?, sort))
        });
        if let Some((wanted, sort)) = sorted
            && let (Some(rows), Some(cost)) = (sort.plan_rows, sort.total_cost)
            && wanted < rows
        {
            let below = sort.children.first().and_then(|it| it.total_cost);
            self.wanted = wanted / rows;
            self.sorting = cost - below.unwrap_or(cost);
        }
    }

    /// What reading costs through an index, if it finds anything.
    fn cost_with(&self, index: &IndexDefinition, bytes: f64, share: f64) -> Option<f64> {
        if !index.predicate.as_deref().is_none_or(|it| self.says(it)) {
            return None;
        }
        let found = self.found(index)?;
        // What the predicate says is no longer looked for.
        let rows = self.table.rows * share * found.part * found.wanted;
        let answers = index.method == Method::Btree && answers_alone(index, self.table_use);
        let look = Look {
            rows,
            part: found.part * found.wanted,
            index_pages: bytes / 8192.0,
            table_pages: self.table.pages,
            order: self.order(index),
            unanswered: if answers {
                1.0 - self.table.visible_share()
            } else {
                1.0
            },
        };
        let saved_sorting = if found.wanted < 1.0 {
            self.sorting
        } else {
            0.0
        };
        Some(found.times * self.prices.of(look) - saved_sorting)
    }

    /// Whether the statement says all that the predicate does, word by word.
    fn says(&self, predicate: &str) -> bool {
        let filters = &self.table_use.filters;
        let mut rest = predicate.to_owned();
        for filter in filters {
            rest = rest.replace(&format!("({})", filter.sql), "");
        }
        filters.iter().any(|it| it.sql == predicate) || rest.replace("AND", "").trim().is_empty()
    }

    /// How well the rows lie in the order of the index: that of its first column, as the planner has it, and
    /// less of it where there are more.
    fn order(&self, index: &IndexDefinition) -> f64 {
        let first = index.keys.first().and_then(|it| it.as_column());
        let order = first.and_then(|it| self.table.column(it.name()));
        let order = order.map_or(0.0, |it| it.correlation());
        match (index.method, index.keys.len()) {
            (Method::Btree, 1) => order,
            (Method::Btree, _) => order * 0.75,
            _ => 0.0,
        }
    }

    /// What part of the index is read, and how often.
    fn found(&self, index: &IndexDefinition) -> Option<Part> {
        let mut found = Part {
            part: 1.0,
            times: 1.0,
            wanted: 1.0,
        };
        let mut keys = index.keys.iter().peekable();
        let mut has_found = false;
        while let Some(key) = keys.peek() {
            let Some((part, is_exact)) = self.part_of(index.method, key, &mut found.times) else {
                break;
            };
            found.part *= part;
            has_found = true;
            keys.next();
            if !is_exact {
                return Some(found);
            }
        }
        let rest: Vec<&Key> = keys.collect();
        let is_wanted = self.wanted < 1.0
            && self.table_use.orders.iter().any(|order| {
                rest.len() >= order.keys.len()
                    && order
                        .keys
                        .iter()
                        .zip(&rest)
                        .all(|(it, key)| it.operand.is_in(key))
            });
        if is_wanted {
            found.wanted = self.wanted;
        }
        (has_found || is_wanted).then_some(found)
    }

    /// The part of the rows that a key finds, and whether more keys find less.
    fn part_of(&self, method: Method, key: &Key, times: &mut f64) -> Option<(f64, bool)> {
        let is_among = |list: &[Operand]| list.iter().any(|it| it.is_in(key));
        let distinct = match &key.on {
            KeyOn::Column(name) => {
                let column = self.table.column(name.name())?;
                column.distinct(self.table.rows)
            }
            KeyOn::Expression(_) => self.table.rows.clamp(1.0, 200.0),
        };
        let known = key.as_column().and_then(|it| self.known.get(it.name()));
        let or = |unknown: f64| known.copied().unwrap_or(unknown).clamp(0.0, 1.0);
        let uses = self.table_use;
        if method != Method::Btree {
            let contents = uses.contents.iter().any(|it| it.of.is_in(key));
            return (contents || is_among(&uses.patterns)).then(|| (or(UNKNOWN_CONTENTS), false));
        }
        if is_among(&uses.equalities) {
            return Some((or(1.0 / distinct), true));
        }
        if is_among(&uses.lists) {
            return Some((or((LIST / distinct).min(1.0)), true));
        }
        let join = uses.joins.iter().find(|it| it.0.is_in(key));
        if let Some(rows) = join.and_then(|it| self.others.get(it.1.as_str())) {
            *times = times.max(rows.max(1.0));
            return Some((1.0 / distinct, true));
        }
        (is_among(&uses.ranges) || is_among(&uses.prefixes)).then(|| (or(UNKNOWN_RANGE), false))
    }
}

/// What a look reads.
struct Part {
    part: f64,
    times: f64,
    wanted: f64,
}

/// A choice among candidates of which each saves by itself.
struct Choice<'a> {
    task: &'a Task,
    /// What is chosen already.
    found: &'a Found,
    /// What each candidate saves.
    savings: BTreeMap<usize, Vec<Saving>>,
}

/// What is saved of each table of each statement by the best index.
type Saved = BTreeMap<(usize, usize), f64>;

impl<'a> Choice<'a> {
    fn new(task: &'a Task, found: &'a Found, all: Vec<Saving>) -> Choice<'a> {
        let mut savings: BTreeMap<usize, Vec<Saving>> = BTreeMap::new();
        for it in all {
            savings.entry(it.candidate).or_default().push(it);
        }
        Choice {
            task,
            found,
            savings,
        }
    }

    /// What a statement costs: at most what it does now.
    fn cost(&self, saved: &Saved, statement: usize) -> f64 {
        let of_statement = saved.range((statement, 0)..(statement + 1, 0));
        let saved: f64 = of_statement.map(|it| it.1).sum();
        let (base, now) = (
            self.task.statements[statement].cost,
            self.found.costs[statement],
        );
        (base - saved).clamp(0.0, now)
    }

    fn costs(&self, saved: &Saved) -> Vec<f64> {
        let statements = 0..self.task.statements.len();
        statements.map(|it| self.cost(saved, it)).collect()
    }

    fn add(&self, saved: &mut Saved, candidate: usize) {
        for it in self.savings.get(&candidate).into_iter().flatten() {
            let best = saved.entry(it.place).or_default();
            *best = best.max(it.saved);
        }
    }

    fn saved_by(&self, chosen: impl IntoIterator<Item = usize>) -> Saved {
        let mut saved = Saved::new();
        chosen.into_iter().for_each(|it| self.add(&mut saved, it));
        saved
    }

    /// What a candidate saves on top of others, if that is worth an index.
    fn gain(&self, saved: &Saved, candidate: usize, whole: f64) -> Option<f64> {
        let of_candidate = self.savings.get(&candidate)?;
        let mut with = Saved::new();
        for it in of_candidate {
            let statement = it.place.0;
            let others = saved.range((statement, 0)..(statement + 1, 0));
            with.extend(others.map(|it| (*it.0, *it.1)));
        }
        self.add(&mut with, candidate);
        let statements: BTreeSet<usize> = of_candidate.iter().map(|it| it.place.0).collect();
        let (mut gain, mut betters_one) = (-self.task.candidates[candidate].upkeep, false);
        for it in statements {
            let (before, after) = (self.cost(saved, it), self.cost(&with, it));
            gain += self.task.statements[it].weight * (before - after);
            betters_one |= before - after > LEAST_GAIN_OF_ONE * before;
        }
        (gain > 0.0 && (gain > LEAST_GAIN * whole || betters_one)).then_some(gain)
    }

    /// Adds what saves most by the byte, while it fits and is worth it, and there is time.
    async fn greedy(self, options: &AdviseOptions, until: Instant) -> Found {
        let candidates = &self.task.candidates;
        let stop = options.stop.as_ref();
        let taken: f64 = (self.found.chosen.iter())
            .map(|it| candidates[*it].bytes)
            .sum();
        let mut room = self.task.budget_bytes - taken;
        let whole: f64 = (self.task.statements.iter().zip(&self.found.costs))
            .map(|(it, cost)| it.weight * cost)
            .sum();
        let (mut chosen, mut saved) = (Vec::new(), Saved::new());
        // What one saves only shrinks while others are added.
        let mut left: Vec<usize> = self.savings.keys().copied().collect();
        let is_complete = loop {
            let is_stopped = stop.is_some_and(|it| it.load(Relaxed));
            if is_stopped || Instant::now() >= until {
                break false;
            }
            let mut best: Option<(f64, usize)> = None;
            left.retain(|&it| {
                let fits = candidates[it].bytes <= room;
                let Some(gain) = self.gain(&saved, it, whole).filter(|_| fits) else {
                    return false;
                };
                let score = gain / candidates[it].bytes.max(1.0);
                if best.is_none_or(|best| score > best.0) {
                    best = Some((score, it));
                }
                true
            });
            let Some((_, it)) = best else {
                break true;
            };
            left.retain(|other| *other != it);
            room -= candidates[it].bytes;
            chosen.push(it);
            self.add(&mut saved, it);
            yield_now().await;
        };
        // What a later one has made superfluous.
        for it in chosen.clone() {
            let others: Vec<usize> = chosen
                .iter()
                .copied()
                .filter(|other| *other != it)
                .collect();
            if self
                .gain(&self.saved_by(others.clone()), it, whole)
                .is_none()
            {
                chosen = others;
            }
        }
        self.found(chosen, is_complete)
    }

    fn found(&self, chosen: Vec<usize>, is_complete: bool) -> Found {
        let without = |it: &usize| {
            let others = chosen.iter().copied().filter(|other| other != it);
            self.costs(&self.saved_by(others))
        };
        Found {
            costs_without: chosen.iter().map(without).collect(),
            costs: self.costs(&self.saved_by(chosen.iter().copied())),
            is_complete,
            chosen,
        }
    }
}
