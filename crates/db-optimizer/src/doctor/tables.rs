//! What the catalogue and the statistics say of the tables in plans.

use std::collections::BTreeSet;

use ruleiq_query::Queries;
use tokio_postgres::Row;

use super::{Column, Table};
use crate::{Error, count, plan::Plan};

const SQL: &str = "
SELECT nsp.nspname::text AS schema, rel.relname::text AS name, rel.relpages::bigint AS pages,
       CASE WHEN rel.reltuples >= 0 THEN rel.reltuples
            ELSE coalesce(pg_stat_get_live_tuples(rel.oid), 0) END::float8 AS row_count,
       coalesce(pg_stat_get_mod_since_analyze(rel.oid), 0) AS changed,
       rel.reltuples >= 0 OR pg_stat_get_last_analyze_time(rel.oid) IS NOT NULL
       OR pg_stat_get_last_autoanalyze_time(rel.oid) IS NOT NULL AS is_analyzed,
       ARRAY(
           SELECT att.attname::text
           FROM pg_inherits inh
           JOIN pg_partitioned_table part ON part.partrelid = inh.inhparent
           JOIN pg_attribute att ON att.attrelid = part.partrelid AND att.attnum = ANY(part.partattrs)
           WHERE inh.inhrelid = rel.oid
           ORDER BY att.attnum
       ) AS partition_key,
       cols.names, cols.types, cols.leads
FROM unnest($1::text[], $2::text[]) wanted (schema, name)
JOIN pg_namespace nsp ON nsp.nspname = wanted.schema
JOIN pg_class rel ON rel.relnamespace = nsp.oid AND rel.relname = wanted.name
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(att.attname::text ORDER BY att.attnum), '{}') AS names,
           coalesce(array_agg(format_type(att.atttypid, NULL) ORDER BY att.attnum), '{}') AS types,
           coalesce(array_agg(EXISTS (
               SELECT FROM pg_index idx
               WHERE idx.indrelid = rel.oid AND idx.indisvalid AND idx.indkey[0] = att.attnum
           ) ORDER BY att.attnum), '{}') AS leads
    FROM pg_attribute att
    WHERE att.attrelid = rel.oid AND att.attnum > 0 AND NOT att.attisdropped
) cols";

/// The tables that these plans read. Plans name schemas only with `VERBOSE`.
pub(crate) async fn read(queries: &impl Queries, plans: &[&Plan]) -> Result<Vec<Table>, Error> {
    let nodes = plans.iter().flat_map(|it| it.nodes());
    let named = nodes.filter_map(|it| it.schema.as_deref().zip(it.relation.as_deref()));
    let wanted: BTreeSet<(&str, &str)> = named.collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (schemas, names): (Vec<&str>, Vec<&str>) = wanted.into_iter().unzip();
    let rows = queries.query(SQL, &[&schemas, &names]).await;
    let rows = rows.map_err(Error::reading("the tables of a plan"))?;
    Ok(rows.iter().map(Table::of).collect())
}

impl Table {
    fn of(row: &Row) -> Table {
        let names: Vec<String> = row.get("names");
        let types: Vec<String> = row.get("types");
        let leads: Vec<bool> = row.get("leads");
        let columns = names.into_iter().zip(types).zip(leads);
        Table {
            schema: row.get("schema"),
            name: row.get("name"),
            pages: count::of(row.get("pages")),
            rows: count::of_estimate(row.get("row_count")),
            changed_rows: count::of(row.get("changed")),
            is_analyzed: row.get("is_analyzed"),
            partition_key: row.get("partition_key"),
            columns: columns
                .map(|((name, type_name), leads_index)| Column {
                    name,
                    type_name,
                    leads_index,
                })
                .collect(),
        }
    }
}
