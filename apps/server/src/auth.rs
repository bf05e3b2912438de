//! Who is calling.
//!
//! A handler that takes an [`Identity`] is closed to callers without a valid access token.

mod hmac;
mod login_limit;
mod passwords;
mod tokens;

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
    web,
};
use uuid::Uuid;

pub(crate) use self::{
    login_limit::LoginLimit,
    passwords::Passwords,
    tokens::{Tokens, sha256},
};
use crate::{app::App, error::ApiError};

/// The caller, as the access token says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user_id: Uuid,
    pub(crate) is_admin: bool,
}

impl Identity {
    /// The user whose rows the caller may see, or `None` for an administrator, who may see all.
    pub(crate) fn restricted_to(self) -> Option<Uuid> {
        (!self.is_admin).then_some(self.user_id)
    }

    /// Whether the caller may see what belongs to this user.
    pub(crate) fn may_see(self, owner: Uuid) -> bool {
        self.is_admin || self.user_id == owner
    }

    /// Reads the access token of a request.
    ///
    /// # Errors
    ///
    /// 401 for a token that is missing, malformed, not ours or expired.
    pub(crate) fn of(request: &HttpRequest) -> Result<Identity, ApiError> {
        let app = request
            .app_data::<web::Data<App>>()
            .expect("every route is mounted on an App");
        let value = request
            .headers()
            .get(header::AUTHORIZATION)
            .ok_or_else(|| ApiError::unauthorized("token_missing", "log in and send the token"))?;
        let token = value
            .to_str()
            .ok()
            .and_then(|it| it.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        token
            .and_then(|token| app.tokens.verify(token))
            .ok_or_else(|| {
                ApiError::unauthorized("token_invalid", "the token is not valid, or not any more")
            })
    }

    /// Lets administrators through.
    ///
    /// # Errors
    ///
    /// 401 without a valid token, 403 for other users.
    pub(crate) fn admin_of(request: &HttpRequest) -> Result<Identity, ApiError> {
        let identity = Identity::of(request)?;
        if !identity.is_admin {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "admin_only",
                "this is for administrators",
            ));
        }
        Ok(identity)
    }
}

impl FromRequest for Identity {
    type Error = ApiError;
    type Future = Ready<Result<Identity, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Identity::of(request))
    }
}
