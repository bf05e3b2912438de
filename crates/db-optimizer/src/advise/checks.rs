//! What foreign keys ask when a row goes that others may refer to.
//!
//! For each row that is deleted, or gets another key, the server looks for rows that refer to it
//! (`ri_triggers.c`). No plan shows that, and without an index it reads the whole table each time. Here
//! the same question is a statement of the workload, so the planner itself says what an index saves.

use std::collections::{BTreeMap, BTreeSet};

use ruleiq_query::Queries;

use super::{planned::Planned, set_list::changed_columns};
use crate::{Error, Workload, WorkloadStatement};

/// The keys that refer to tables: name, referring table, its columns, the columns that they refer to.
const KEYS: &str = "
SELECT ref_nsp.nspname::text, ref.relname::text, con.conname::text,
       format('%s%I.%I', CASE rel.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, nsp.nspname, rel.relname),
       ARRAY(SELECT quote_ident(att.attname)
             FROM unnest(con.conkey) WITH ORDINALITY part (attnum, place)
             JOIN pg_attribute att ON att.attrelid = con.conrelid AND att.attnum = part.attnum
             ORDER BY place),
       ARRAY(SELECT att.attname::text
             FROM unnest(con.confkey) WITH ORDINALITY part (attnum, place)
             JOIN pg_attribute att ON att.attrelid = con.confrelid AND att.attnum = part.attnum
             ORDER BY place)
FROM unnest($1::text[], $2::text[]) asked (schema, name)
JOIN pg_namespace ref_nsp ON ref_nsp.nspname = asked.schema
JOIN pg_class ref ON ref.relnamespace = ref_nsp.oid AND ref.relname = asked.name
JOIN pg_constraint con
  ON con.confrelid = coalesce(pg_partition_root(ref.oid), ref.oid) AND con.contype = 'f'
 AND con.conparentid = 0
 -- Since 18: keys that nobody enforces, and those of periods, which are asked in another way.
 AND coalesce((to_jsonb(con) ->> 'conenforced')::bool, true)
 AND NOT coalesce((to_jsonb(con) ->> 'conperiod')::bool, false)
JOIN pg_class rel ON rel.oid = con.conrelid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
ORDER BY con.conrelid, con.conname";

/// How a statement takes rows away.
struct Loss<'a> {
    schema: &'a str,
    table: &'a str,
    rows: f64,
    /// The columns that get other values; `None` where the rows go.
    changed: Option<BTreeSet<String>>,
}

/// The questions that the statements of a workload make the server ask, each with how often.
pub(super) async fn of<Q: Queries>(queries: &Q, planned: &[Planned]) -> Result<Workload, Error> {
    let losses: Vec<Loss<'_>> = planned.iter().flat_map(losses).collect();
    let tables: BTreeSet<(&str, &str)> = losses.iter().map(|it| (it.schema, it.table)).collect();
    if tables.is_empty() {
        return Ok(Workload::default());
    }
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables.into_iter().unzip();
    let rows = queries.query(KEYS, &[&schemas, &names]).await;
    let rows = rows.map_err(Error::reading(
        "the foreign keys that refer to what is deleted",
    ))?;
    let mut checks: BTreeMap<String, WorkloadStatement> = BTreeMap::new();
    for row in rows {
        let (schema, table): (&str, &str) = (row.get(0), row.get(1));
        let referred: Vec<String> = row.get(5);
        let touches = |it: &&Loss<'_>| {
            let is_changed = |it: &BTreeSet<String>| referred.iter().any(|name| it.contains(name));
            (it.schema, it.table) == (schema, table) && it.changed.as_ref().is_none_or(is_changed)
        };
        let times: f64 = losses.iter().filter(touches).map(|it| it.rows).sum();
        if times <= 0.0 {
            continue;
        }
        let columns: Vec<String> = row.get(4);
        let conditions = columns.iter().enumerate();
        let conditions = conditions.map(|(at, name)| format!("{name} = ${}", at + 1));
        let from: &str = row.get(3);
        let sql = format!(
            "SELECT FROM {from} WHERE {}",
            conditions.collect::<Vec<_>>().join(" AND ")
        );
        let name = format!("foreign key {}", row.get::<_, &str>(2));
        let check = checks.entry(sql.clone());
        check
            .or_insert_with(|| WorkloadStatement::new(name, sql, 0.0))
            .calls += times;
    }
    Ok(Workload::new(checks.into_values()))
}

fn losses(statement: &Planned) -> impl Iterator<Item = Loss<'_>> {
    let changes = statement
        .plan
        .nodes()
        .filter(|it| it.node_type == "ModifyTable");
    changes.filter_map(|node| {
        let changed = match node.operation.as_deref()? {
            "Delete" => None,
            "Update" => Some(changed_columns(&statement.sql)),
            _ => return None,
        };
        let children = node.children.iter().filter(|it| !it.is_subplan());
        let rows: f64 = children.filter_map(|it| it.plan_rows).sum();
        Some(Loss {
            schema: node.schema.as_deref()?,
            table: node.relation.as_deref()?,
            rows: statement.calls * rows,
            changed,
        })
    })
}
