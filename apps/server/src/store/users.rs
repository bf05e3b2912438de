//! `users`.

use ruleiq_query::{Error, Queries, Read};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

/// Somebody who can log in.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    #[schema(example = "ada@example.com")]
    pub(crate) email: String,
    pub(crate) full_name: String,
    pub(crate) is_admin: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

/// What a login is checked against.
pub(crate) struct Credentials {
    pub(crate) user_id: Uuid,
    pub(crate) password_hash: String,
    pub(crate) is_admin: bool,
}

/// Adds a user, or answers `None` if the address is taken.
pub(crate) async fn insert(
    db: &impl Queries,
    email: &str,
    full_name: &str,
    password_hash: &str,
    is_admin: bool,
) -> Result<Option<User>, Error> {
    let row = db
        .query_opt(
            "INSERT INTO users (id, email, full_name, password_hash, is_admin)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (email) DO NOTHING
             RETURNING id, email, full_name, is_admin, created_at",
            &[
                &Uuid::now_v7(),
                &email,
                &full_name,
                &password_hash,
                &is_admin,
            ],
        )
        .await?;
    Ok(row.as_ref().map(User::from_row))
}

/// The user with this key.
pub(crate) async fn get(db: &impl Read, id: Uuid) -> Result<Option<User>, Error> {
    let row = db
        .query_opt(
            "SELECT id, email, full_name, is_admin, created_at FROM users WHERE id = $1",
            &[&id],
        )
        .await?;
    Ok(row.as_ref().map(User::from_row))
}

/// What a login with this address is checked against.
pub(crate) async fn credentials(db: &impl Read, email: &str) -> Result<Option<Credentials>, Error> {
    let row = db
        .query_opt(
            "SELECT id, password_hash, is_admin FROM users WHERE email = $1",
            &[&email],
        )
        .await?;
    Ok(row.map(|row| Credentials {
        user_id: row.get(0),
        password_hash: row.get(1),
        is_admin: row.get(2),
    }))
}

impl User {
    fn from_row(row: &Row) -> User {
        User {
            id: row.get(0),
            email: row.get(1),
            full_name: row.get(2),
            is_admin: row.get(3),
            created_at: row.get(4),
        }
    }
}
