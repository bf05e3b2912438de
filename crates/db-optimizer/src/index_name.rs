//! Names for indexes that are yet to be made.

use std::collections::HashSet;

use ruleiq_query::Queries;

use crate::Error;

/// The longest name that PostgreSQL keeps (`NAMEDATALEN` of an ordinary build, less one).
const MAX_BYTES: usize = 63;

/// What every name begins with.
const PREFIX: &str = "idx_";

/// What the name of an index begins with while it is being built. Nobody else has such names: an
/// invalid index with one is what a build of ours has left, whatever ended it.
const BUILDING: &str = "ruleiq_building_";

/// The shape of such a name, as a regular expression of PostgreSQL's.
pub(crate) const BUILDING_PATTERN: &str = "^ruleiq_building_[0-9a-f]{16}$";

/// The names of the relations in each schema that begin with [`PREFIX`].
#[derive(Debug, Default)]
pub(crate) struct Taken(HashSet<(String, String)>);

impl Taken {
    /// The names in these schemas that an index of ours could clash with.
    pub(crate) async fn read(queries: &impl Queries, schemas: &[&str]) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        if schemas.is_empty() {
            return Ok(taken);
        }
        let rows = queries
            .query(
                "SELECT nsp.nspname::text, rel.relname::text
                 FROM pg_class rel JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
                 WHERE nsp.nspname::text = ANY($1) AND starts_with(rel.relname::text, $2)",
                &[&schemas, &PREFIX],
            )
            .await
            .map_err(Error::reading("the names in use from the catalogue"))?;
        for row in rows {
            taken.insert(row.get(0), row.get(1));
        }
        Ok(taken)
    }

    pub(crate) fn insert(&mut self, schema: &str, name: String) -> bool {
        self.0.insert((schema.to_owned(), name))
    }
}

/// A name that nothing in the schema has, which is thereby taken: `idx_<table>_<columns>`, cut and
/// told apart by a hash where that is too long, and by a number where it is taken.
pub(crate) fn choose(taken: &mut Taken, schema: &str, table: &str, columns: &[String]) -> String {
    let whole = format!("{PREFIX}{table}_{}", columns.join("_"));
    let mut name = match whole.len() <= MAX_BYTES {
        true => whole.clone(),
        false => cut(&whole, &format!("_{:08x}", hash(&whole))),
    };
    let mut number = 1_u32;
    while !taken.insert(schema, name.clone()) {
        name = cut(&whole, &format!("_{number}"));
        number += 1;
    }
    name
}

/// The name of an index until it is whole: the same for the same definition.
pub(crate) fn while_building(definition: &str) -> String {
    let hash = definition
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{BUILDING}{hash:016x}")
}

/// The name as an identifier in SQL. It begins with [`PREFIX`], so it is no keyword.
pub(crate) fn quote(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// Whether a name as a plan has it is that of an index with its schema, as it is written in SQL.
pub(crate) fn is_of(name: &str, index: &str) -> bool {
    let ends_with = |name: &str| {
        let schema = index.strip_suffix(name);
        schema.is_some_and(|it| it.ends_with('.'))
    };
    ends_with(name) || ends_with(&format!("\"{}\"", name.replace('"', "\"\"")))
}

/// As much of a text as leaves room for the suffix, and the suffix.
fn cut(text: &str, suffix: &str) -> String {
    let mut end = text.len().min(MAX_BYTES - suffix.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &text[..end])
}

/// FNV-1a: the same name for the same index, whatever release wrote it.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose_new(table: &str, columns: &[&str]) -> String {
        let columns: Vec<String> = columns.iter().map(|&it| it.into()).collect();
        choose(&mut Taken::default(), "public", table, &columns)
    }

    #[test]
    fn a_name_says_what_the_index_is_for() {
        assert_eq!(choose_new("orders", &["user_id"]), "idx_orders_user_id");
        assert_eq!(choose_new("t", &["a", "b"]), "idx_t_a_b");
        assert_eq!(quote("idx_orders_user_id"), "idx_orders_user_id");
        assert_eq!(quote("idx_Größe_\"x\""), "\"idx_Größe_\"\"x\"\"\"");
    }

    #[test]
    fn long_names_that_begin_alike_stay_apart() {
        let (one, two) = ("é".repeat(40) + "1", "é".repeat(40) + "2");
        assert_ne!(choose_new("t", &[&one]), choose_new("t", &[&two]));
    }

    #[test]
    fn an_index_that_is_being_built_is_told_by_its_definition() {
        let name = while_building("ON public.t (a)");
        assert_eq!(name, while_building("ON public.t (a)"));
        assert_ne!(name, while_building("ON public.t (b)"));
        assert_eq!((name.len(), quote(&name)), (BUILDING.len() + 16, name));
    }

    #[test]
    fn a_name_is_taken_once_per_schema() {
        let mut taken = Taken::default();
        let columns = ["a".to_owned()];
        let mut choose = |schema| choose(&mut taken, schema, "t", &columns);
        assert_eq!(choose("public"), "idx_t_a");
        assert_eq!(choose("public"), "idx_t_a_1");
        assert_eq!(choose("other"), "idx_t_a");
        assert_eq!(choose("public"), "idx_t_a_2");
    }

    proptest! {
        #[test]
        fn a_name_fits_and_is_not_taken(
            table in "\\PC{1,63}",
            columns in prop::collection::vec("\\PC{1,63}", 1..4),
        ) {
            let mut taken = Taken::default();
            let names: Vec<_> = (0..12).map(|_| choose(&mut taken, "s", &table, &columns)).collect();
            prop_assert!(names.iter().all(|it| it.len() <= MAX_BYTES));
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), 12);
        }
    }
}
