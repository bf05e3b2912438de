//! Registering, logging in and out.
//!
//! A login gives a short-lived access token and a refresh token that is good for one refresh. A
//! refresh token that comes back a second time was stolen, from one side or the other, so the whole
//! family of its login ends.

use actix_web::{HttpRequest, HttpResponse, http::Method, http::StatusCode, web};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use ruleiq_query::Queries;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{input, resource};
use crate::{
    app::App,
    auth::{Identity, sha256},
    error::{ApiError, Problem},
    store::{refresh_tokens, users, users::User},
};

/// Longer passwords are no safer, and cost a hash of their length.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 12..=128;
const REFRESH_TOKEN_BYTES: usize = 32;

/// A user to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    #[schema(example = "ada@example.com")]
    email: String,
    /// 12 to 128 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    full_name: String,
}

/// What a user logs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// A refresh token to be spent or revoked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    refresh_token: String,
}

/// The tokens of a login.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenPair {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// Good for one refresh.
    refresh_token: String,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const POST: &[Method] = &[Method::POST];
    config
        .service(resource("/api/v1/auth/register", POST).route(web::post().to(register)))
        .service(resource("/api/v1/auth/login", POST).route(web::post().to(login)))
        .service(resource("/api/v1/auth/refresh", POST).route(web::post().to(refresh)))
        .service(resource("/api/v1/auth/logout", POST).route(web::post().to(logout)));
}

/// Registers a user.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = Registration,
    responses((status = 201, body = User), (status = 409, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem)))]
pub(crate) async fn register(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<Registration>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let email = checked_email(&body.email)?;
    let full_name = input::text("full_name", &body.full_name, 1, 200)?;
    check_password(&body.password)?;
    check_limit(&app, &request, &email)?;
    let hash = app.passwords.hash(body.password).await?;
    let session = app.session().await?;
    let user = users::insert(&session, &email, &full_name, &hash, false)
        .await?
        .ok_or_else(|| ApiError::conflict("email_taken", "a user with this address exists"))?;
    Ok(HttpResponse::Created()
        .insert_header(("Location", format!("/api/v1/users/{}", user.id)))
        .json(user))
}

/// Gives tokens for an address and a password.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, body = TokenPair), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn login(
    request: HttpRequest,
    app: web::Data<App>,
    body: web::Json<Login>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let email = body.email.trim().to_lowercase();
    check_limit(&app, &request, &email)?;
    // The connection goes back before the hash: it would be held for all of its time.
    let credentials = match is_storable(&email) {
        true => users::credentials(&app.reader(), &email).await?,
        false => None,
    };
    let hash = credentials.as_ref().map(|it| it.password_hash.clone());
    let verified = app.passwords.verify(body.password, hash).await?;
    let (true, Some(user)) = (verified, credentials) else {
        return Err(ApiError::unauthorized(
            "login_failed",
            "the address or the password is wrong",
        ));
    };
    let identity = Identity {
        user_id: user.user_id,
        is_admin: user.is_admin,
    };
    let session = app.session().await?;
    refresh_tokens::remove_expired(&session, user.user_id).await?;
    let pair = issue(&app, &session, identity, Uuid::new_v4()).await?;
    Ok(uncached(pair))
}

/// Gives tokens for a refresh token, which is spent.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh,
    responses((status = 200, body = TokenPair), (status = 401, body = Problem)))]
pub(crate) async fn refresh(
    app: web::Data<App>,
    body: web::Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let digest = sha256(body.refresh_token.as_bytes());
    let mut session = app.session().await?;
    let transaction = session.transaction().await?;
    refresh_tokens::lock_family(&transaction, &digest).await?;
    let Some(spent) = refresh_tokens::spend(&transaction, &digest).await? else {
        let revoked = refresh_tokens::revoke_family(&transaction, &digest).await?;
        transaction.commit().await?;
        if revoked > 0 {
            tracing::warn!(
                revoked,
                "a spent refresh token came back; its family is revoked"
            );
        }
        return Err(ApiError::unauthorized(
            "refresh_failed",
            "the refresh token is not valid, or not any more: log in again",
        ));
    };
    let identity = Identity {
        user_id: spent.user_id,
        is_admin: spent.is_admin,
    };
    let pair = issue(&app, &transaction, identity, spent.family).await?;
    transaction.commit().await?;
    Ok(uncached(pair))
}

/// Ends a login: revokes the refresh token and all of its family.
///
/// An access token stays valid until it expires.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", request_body = Refresh,
    responses((status = 204)))]
pub(crate) async fn logout(
    app: web::Data<App>,
    body: web::Json<Refresh>,
) -> Result<HttpResponse, ApiError> {
    let digest = sha256(body.refresh_token.as_bytes());
    let mut session = app.session().await?;
    let transaction = session.transaction().await?;
    refresh_tokens::lock_family(&transaction, &digest).await?;
    refresh_tokens::revoke_family(&transaction, &digest).await?;
    transaction.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn issue(
    app: &App,
    db: &impl Queries,
    identity: Identity,
    family: Uuid,
) -> Result<TokenPair, ApiError> {
    let mut bytes = [0; REFRESH_TOKEN_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| ApiError::internal(anyhow::anyhow!("the system has no random numbers")))?;
    let refresh_token = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let digest = sha256(refresh_token.as_bytes());
    let ttl = app.refresh_token_ttl;
    refresh_tokens::insert(db, &digest, identity.user_id, family, ttl).await?;
    Ok(TokenPair {
        access_token: app.tokens.sign(identity).map_err(ApiError::internal)?,
        token_type: "Bearer",
        expires_in: app.tokens.ttl().as_secs(),
        refresh_token,
    })
}

/// Tokens are for the caller alone, RFC 6749 §5.1.
fn uncached(pair: TokenPair) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .json(pair)
}

fn check_limit(app: &App, request: &HttpRequest, email: &str) -> Result<(), ApiError> {
    let address = request.peer_addr().map(|it| it.ip());
    app.login_limit.check(address, email).map_err(|after| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many attempts; wait as long as Retry-After says",
        )
        .retry_after(after)
    })
}

/// The address in the form in which it is stored.
///
/// # Errors
///
/// 422 for what cannot be an address. Only a letter to it would show that it is one.
pub(crate) fn checked_email(email: &str) -> Result<String, ApiError> {
    let email = input::text("email", email, 3, 254)?.to_lowercase();
    let plausible = email
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && !email.contains(char::is_whitespace);
    if !plausible || !is_storable(&email) {
        return Err(input::invalid("email", "is not an address"));
    }
    Ok(email)
}

/// # Errors
///
/// 422 for a password that is too short or too long.
pub(crate) fn check_password(password: &SecretString) -> Result<(), ApiError> {
    use secrecy::ExposeSecret as _;

    let (min, max) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
    if !PASSWORD_CHARS.contains(&password.expose_secret().chars().count()) {
        let fault = format!("has to have {min} to {max} characters");
        return Err(input::invalid("password", fault));
    }
    Ok(())
}

/// Whether PostgreSQL can hold the address, so that it need not be asked for one that it cannot.
fn is_storable(email: &str) -> bool {
    email.len() <= 254 && !email.contains('\0')
}
