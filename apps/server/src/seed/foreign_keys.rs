//! The foreign keys of the tables that get most rows.
//!
//! Checked row by row, they take twice as long as all the rest of seeding. So they are taken away,
//! and checked as a whole when they come back, in the same transaction: nobody sees the tables
//! without them.

use ruleiq_query::{Error, Queries};

/// Foreign keys that are away.
#[derive(Debug)]
#[must_use = "they are away until they are restored"]
pub(super) struct ForeignKeys(Vec<ForeignKey>);

#[derive(Debug)]
struct ForeignKey {
    /// Quoted, as the name is.
    table: String,
    name: String,
    definition: String,
}

impl ForeignKeys {
    /// Takes the foreign keys of some tables away.
    pub(super) async fn take(db: &impl Queries, tables: &[&str]) -> Result<ForeignKeys, Error> {
        let rows = db
            .query(
                "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
                 FROM pg_constraint
                 WHERE contype = 'f' AND conrelid = ANY ($1::text[]::regclass[])
                 ORDER BY 1, 2",
                &[&tables],
            )
            .await?;
        let keys: Vec<ForeignKey> = rows
            .iter()
            .map(|row| ForeignKey {
                table: row.get(0),
                name: row.get(1),
                definition: row.get(2),
            })
            .collect();
        for ForeignKey { table, name, .. } in &keys {
            db.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}"))
                .await?;
        }
        Ok(ForeignKeys(keys))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Puts them back, which checks all rows. `restored` hears of each.
    pub(super) async fn restore(self, db: &impl Queries, restored: impl Fn()) -> Result<(), Error> {
        for key in self.0 {
            let ForeignKey {
                table,
                name,
                definition,
            } = key;
            let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}");
            db.batch_execute(&sql).await?;
            restored();
        }
        Ok(())
    }
}
