//! `business_profiles`.

use ruleiq_query::{Error, Queries, Read};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{Conditions, Cursor, Page};

/// A business that is assessed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct BusinessProfile {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) name: String,
    #[schema(example = "Financial services")]
    pub(crate) industry: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "GB")]
    pub(crate) country: String,
    pub(crate) employee_count: i32,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) updated_at: OffsetDateTime,
}

/// A business profile to be stored.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBusinessProfile {
    /// At most 200 characters.
    pub(crate) name: String,
    /// At most 100 characters.
    #[schema(example = "Financial services")]
    pub(crate) industry: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "GB")]
    pub(crate) country: String,
    /// At least 1.
    pub(crate) employee_count: i32,
}

/// The columns of a profile, of which a join takes them all.
pub(super) const COLUMNS: [&str; 8] = [
    "id",
    "user_id",
    "name",
    "industry",
    "country",
    "employee_count",
    "created_at",
    "updated_at",
];

/// Adds a profile.
pub(crate) async fn insert(
    db: &impl Queries,
    user_id: Uuid,
    profile: &NewBusinessProfile,
) -> Result<BusinessProfile, Error> {
    let row = db
        .query_one(
            "INSERT INTO business_profiles (id, user_id, name, industry, country, employee_count)
             VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING id, user_id, name, industry, country, employee_count, created_at, updated_at",
            &[
                &Uuid::now_v7(),
                &user_id,
                &profile.name,
                &profile.industry,
                &profile.country,
                &profile.employee_count,
            ],
        )
        .await?;
    Ok(BusinessProfile::from_row(&row, 0))
}

/// A page of a user's profiles.
pub(crate) async fn list(
    db: &impl Read,
    user_id: Uuid,
    after: Option<Cursor>,
    limit: u16,
) -> Result<Page<BusinessProfile>, Error> {
    let mut conditions = Conditions::default();
    conditions.when("user_id =", Some(&user_id));
    conditions.after(after.as_ref());
    let one_more = i64::from(limit) + 1;
    let (sql, params) = conditions.select(
        "SELECT id, user_id, name, industry, country, employee_count, created_at, updated_at
         FROM business_profiles",
        &one_more,
    );
    let rows = db.query(&sql, &params).await?;
    let items = rows
        .iter()
        .map(|row| BusinessProfile::from_row(row, 0))
        .collect();
    Ok(Page::new(items, limit, |it: &BusinessProfile| Cursor {
        created_at: it.created_at,
        id: it.id,
    }))
}

/// Whether the user has this profile. Inside a transaction it stays until the end.
pub(crate) async fn lock(db: &impl Queries, id: Uuid, user_id: Uuid) -> Result<bool, Error> {
    let row = db
        .query_opt(
            "SELECT 1 FROM business_profiles WHERE id = $1 AND user_id = $2 FOR KEY SHARE",
            &[&id, &user_id],
        )
        .await?;
    Ok(row.is_some())
}

impl BusinessProfile {
    /// Reads the columns of [`COLUMNS`], which begin at `first`.
    pub(super) fn from_row(row: &Row, first: usize) -> BusinessProfile {
        BusinessProfile {
            id: row.get(first),
            user_id: row.get(first + 1),
            name: row.get(first + 2),
            industry: row.get(first + 3),
            country: row.get(first + 4),
            employee_count: row.get(first + 5),
            created_at: row.get(first + 6),
            updated_at: row.get(first + 7),
        }
    }
}
