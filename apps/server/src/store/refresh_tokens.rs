//! `refresh_tokens`: each is good for one refresh, and those of one login are a family.

use std::time::Duration;

use ruleiq_query::{Error, Queries};
use uuid::Uuid;

/// Who spent a token, and whose family the next one joins.
pub(crate) struct Spent {
    pub(crate) user_id: Uuid,
    pub(crate) family: Uuid,
    pub(crate) is_admin: bool,
}

/// Stores a token by its digest.
pub(crate) async fn insert(
    db: &impl Queries,
    token_hash: &[u8],
    user_id: Uuid,
    family: Uuid,
    ttl: Duration,
) -> Result<(), Error> {
    db.execute(
        "INSERT INTO refresh_tokens (token_hash, user_id, family, expires_at)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4))",
        &[&token_hash, &user_id, &family, &ttl.as_secs_f64()],
    )
    .await?;
    Ok(())
}

/// Waits until nobody else spends or revokes tokens of this token's family, and keeps others from it
/// until the end of the transaction. A statement that began before another one's commit does not see
/// the token which that one issued, and would leave it alive.
pub(crate) async fn lock_family(db: &impl Queries, token_hash: &[u8]) -> Result<(), Error> {
    db.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(family::text, 0))
         FROM refresh_tokens WHERE token_hash = $1",
        &[&token_hash],
    )
    .await?;
    Ok(())
}

/// Spends a token, if it is valid. Of two that spend it at once, one succeeds. Belongs into a
/// transaction that holds the family.
pub(crate) async fn spend(db: &impl Queries, token_hash: &[u8]) -> Result<Option<Spent>, Error> {
    let row = db
        .query_opt(
            "UPDATE refresh_tokens AS token SET revoked_at = now()
             FROM users
             WHERE token.token_hash = $1 AND token.revoked_at IS NULL
               AND token.expires_at > now() AND users.id = token.user_id
             RETURNING token.user_id, token.family, users.is_admin",
            &[&token_hash],
        )
        .await?;
    Ok(row.map(|row| Spent {
        user_id: row.get(0),
        family: row.get(1),
        is_admin: row.get(2),
    }))
}

/// Revokes the family of a token, whatever state the token is in. Belongs into a transaction that
/// holds the family.
pub(crate) async fn revoke_family(db: &impl Queries, token_hash: &[u8]) -> Result<u64, Error> {
    db.execute(
        "UPDATE refresh_tokens SET revoked_at = now()
         WHERE revoked_at IS NULL
           AND family = (SELECT family FROM refresh_tokens WHERE token_hash = $1)",
        &[&token_hash],
    )
    .await
}

/// Removes what has expired of a user's tokens, so that the table does not grow for ever.
pub(crate) async fn remove_expired(db: &impl Queries, user_id: Uuid) -> Result<u64, Error> {
    db.execute(
        "DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at <= now()",
        &[&user_id],
    )
    .await
}
