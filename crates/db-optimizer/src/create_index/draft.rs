//! What has to be done for an index, as SQL, read from the catalogue: the dry run and the run share it,
//! so that a dry run tells just what would happen, and a run that was cut off goes on where it ended.
//!
//! An index is built under a name that nobody else has and gets its own name once it is whole. So an
//! invalid index of that name is known to be ours, whoever ended the build and however.
//!
//! Of a partitioned table, each partition's index is built by itself; then, as a whole or not at all,
//! the partitioned indexes are made over them. No partitioned index is ever left invalid.

use std::collections::HashSet;

use ruleiq_query::Queries;

use super::{
    existing::{self, Existing},
    report::ExistingIndex,
    session::Session,
    target::{self, Table, Target},
};
use crate::{
    ChangeError, IndexDefinition, Key,
    index_name::{self, Taken},
    literal::literal,
};

/// What has to be done.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) target: Target,
    /// An index that does what is wanted.
    pub(crate) existing: Option<ExistingIndex>,
    /// What builds of ours have left on these tables.
    pub(crate) leftovers: Vec<Leftover>,
    /// The indexes to be built, or to be named.
    pub(crate) leaves: Vec<Leaf>,
    /// The statements that make the partitioned indexes, to be run as one; none for other tables.
    pub(crate) attaching: Option<Attaching>,
    /// The index with its schema, as it is written in SQL.
    pub(crate) index: String,
    /// Invalid indexes that are not ours.
    pub(crate) invalid_others: Vec<String>,
    analyze: Option<String>,
}

/// An invalid index of ours.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) table: u32,
    /// With its schema, as it is written in SQL.
    index: String,
}

/// The index of one table with rows of its own.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) table: u32,
    /// The name while it is being built.
    pub(crate) passing_name: String,
    /// The statement that builds it, unless that has been done.
    pub(crate) build: Option<String>,
    /// The statement that gives it its name.
    pub(crate) rename: String,
}

/// How the partitioned indexes are made.
#[derive(Debug)]
pub(crate) struct Attaching {
    /// The statement that makes the outermost.
    pub(crate) create: String,
    /// All statements.
    pub(crate) sql: String,
}

/// An index of a table in the tree: what the partitioned ones are put together from.
struct Node<'a> {
    table: &'a Table,
    /// With its schema, as it is written in SQL.
    index: String,
    /// The statement that makes the partitioned index; none where the index is, or will be, there.
    create: Option<String>,
}

/// Collects while the tables are gone through.
struct Drafting<'a> {
    definition: &'a IndexDefinition,
    taken: Taken,
    served: HashSet<u32>,
    nodes: Vec<Node<'a>>,
    leftovers: Vec<Leftover>,
    leaves: Vec<Leaf>,
    invalid_others: Vec<String>,
}

impl Draft {
    pub(crate) async fn read<Q: Queries>(
        session: &Session<'_, Q>,
        definition: &IndexDefinition,
    ) -> Result<Draft, ChangeError> {
        let target = target::read(session, definition).await?;
        let schemas: Vec<&str> = target
            .tables
            .iter()
            .map(|it| it.name.schema.name())
            .collect();
        let mut drafting = Drafting {
            definition,
            taken: Taken::read(session.queries(), &schemas).await?,
            served: HashSet::new(),
            nodes: Vec::new(),
            leftovers: Vec::new(),
            leaves: Vec::new(),
            invalid_others: Vec::new(),
        };
        let mut found = None;
        for table in &target.tables {
            let indexes = existing::read(session, table.oid).await?;
            if table.parent.is_none() {
                found = serving(&indexes, definition);
            }
            drafting.add(table, &indexes);
        }
        let (index, attaching) = (drafting.nodes[0].index.clone(), drafting.attaching());
        let (leftovers, leaves) = (drafting.leftovers, drafting.leaves);
        let invalid_others = drafting.invalid_others;
        Ok(Draft {
            existing: found,
            leftovers,
            leaves,
            attaching,
            index,
            invalid_others,
            analyze: analyze(definition),
            target,
        })
    }

    /// All statements, in order. Where there is such an index, those that remove what is left.
    pub(crate) fn statements(&self) -> Vec<String> {
        let drops = self.leftovers.iter().map(|it| drop_statement(&it.index));
        if self.existing.is_some() {
            return drops.collect();
        }
        let leaves = self.leaves.iter();
        let leaves = leaves.flat_map(|it| it.build.clone().into_iter().chain([it.rename.clone()]));
        drops
            .chain(leaves)
            .chain(self.attaching.as_ref().map(|it| it.sql.clone()))
            .chain(self.analyze.clone())
            .collect()
    }

    /// The statement that analyzes the table, where the index is on expressions.
    pub(crate) fn analyze(&self) -> Option<&str> {
        self.analyze.as_deref()
    }

    /// The statement that undoes it all.
    pub(crate) fn rollback(&self) -> String {
        match self.target.top().is_partitioned() {
            true => format!("DROP INDEX {}", self.index),
            false => drop_statement(&self.index),
        }
    }
}

/// The statement that drops an index while others work.
pub(crate) fn drop_statement(index: &str) -> String {
    format!("DROP INDEX CONCURRENTLY {index}")
}

/// An index that is whole, named, and does what is wanted: the equal one before others.
fn serving(indexes: &[Existing], wanted: &IndexDefinition) -> Option<ExistingIndex> {
    let whole = || {
        indexes
            .iter()
            .filter(|it| it.is_valid && !it.is_ours_in_the_making)
    };
    let equal = whole().find(|it| it.is_equal_to(wanted));
    let found = equal.or_else(|| whole().find(|it| it.covers(wanted)));
    found.map(|it| it.report(wanted))
}

fn analyze(definition: &IndexDefinition) -> Option<String> {
    let mut keys = definition.keys.iter();
    keys.any(|it| it.as_column().is_none())
        .then(|| format!("ANALYZE {}", definition.table))
}

impl<'a> Drafting<'a> {
    fn add(&mut self, table: &'a Table, indexes: &[Existing]) {
        let invalid = indexes
            .iter()
            .filter(|it| !it.is_valid && !it.is_ours_in_the_making);
        self.invalid_others.extend(invalid.map(|it| it.sql.clone()));
        let left = leftovers(indexes).into_iter();
        self.leftovers.extend(left.map(|index| Leftover {
            table: table.oid,
            index,
        }));
        if table.parent.is_some_and(|it| self.served.contains(&it)) {
            self.served.insert(table.oid);
            return;
        }
        // Only of partitions: an index of the table itself, if it serves, ends it all.
        let usable = indexes.iter().find(|it| {
            table.parent.is_some()
                && it.is_valid
                && !it.is_attached
                && !it.is_ours_in_the_making
                && it.is_equal_to(self.definition)
        });
        let node = match usable {
            Some(there) => {
                self.served.insert(table.oid);
                Node {
                    table,
                    index: there.sql.clone(),
                    create: None,
                }
            }
            None => self.missing(table, indexes),
        };
        self.nodes.push(node);
    }

    fn missing(&mut self, table: &'a Table, indexes: &[Existing]) -> Node<'a> {
        let (schema, name) = (&table.name.schema, self.choose(table));
        let on = IndexDefinition {
            table: table.name.clone(),
            ..self.definition.clone()
        }
        .on_clause();
        let index = format!("{schema}.{name}");
        let create = table.is_partitioned().then(|| {
            let only = on.replacen("ON ", "ON ONLY ", 1);
            format!("CREATE INDEX {name} {only}")
        });
        if create.is_none() {
            let passing = index_name::while_building(&on);
            let passing_name = format!("{schema}.{passing}");
            let is_built = |it: &&Existing| it.is_valid && it.is_called(&passing);
            let build = format!("CREATE INDEX CONCURRENTLY {passing} {on}");
            self.leaves.push(Leaf {
                table: table.oid,
                build: indexes.iter().find(is_built).is_none().then_some(build),
                rename: format!("ALTER INDEX {passing_name} RENAME TO {name}"),
                passing_name,
            });
        }
        Node {
            table,
            index,
            create,
        }
    }

    /// A free name, quoted.
    fn choose(&mut self, table: &Table) -> String {
        let words: Vec<String> = self.definition.keys.iter().map(Key::word).collect();
        let (schema, table) = (table.name.schema.name(), table.name.table.name());
        let name = index_name::choose(&mut self.taken, schema, table, &words);
        index_name::quote(&name)
    }

    /// The partitioned indexes, the innermost first, and in the end a statement that fails unless the
    /// whole is valid: where a partition has been added meanwhile, nothing remains.
    fn attaching(&self) -> Option<Attaching> {
        let top = &self.nodes[0];
        let create = top.create.clone()?;
        let mut statements: Vec<String> = self
            .nodes
            .iter()
            .rev()
            .flat_map(|it| self.joined(it))
            .collect();
        statements.push(format!(
            "SELECT 1 / indisvalid::int FROM pg_index WHERE indexrelid = {}::regclass",
            literal(&top.index)
        ));
        let sql = statements.join(";\n");
        Some(Attaching { create, sql })
    }

    /// The statements that make the partitioned index of one table over those of its partitions.
    fn joined(&self, node: &Node<'_>) -> Vec<String> {
        let Some(create) = &node.create else {
            return Vec::new();
        };
        let is_part = |it: &&Node<'_>| it.table.parent == Some(node.table.oid);
        let parts = self.nodes.iter().filter(is_part);
        let attach = |part: &Node<'_>| {
            let (whole, part) = (&node.index, &part.index);
            format!("ALTER INDEX {whole} ATTACH PARTITION {part}")
        };
        [create.clone()]
            .into_iter()
            .chain(parts.map(attach))
            .collect()
    }
}

/// What builds of ours have left on a table, as it is written in SQL.
pub(crate) fn leftovers(indexes: &[Existing]) -> Vec<String> {
    let ours = indexes
        .iter()
        .filter(|it| !it.is_valid && it.is_ours_in_the_making);
    ours.map(|it| it.sql.clone()).collect()
}
