//! Middleware that runs each request in a [`Scope`] with a deadline.
//!
//! The scope has the route's template and the deadline, which pools and caches below read. It is
//! also put into the request's extensions. A request that is not answered at its deadline is
//! dropped, with all that its future holds: sessions go back, statements are cancelled, transactions
//! rolled back. Its client gets 504, problem details with the code `deadline_exceeded`.
//!
//! The deadline is that of the handler and the middlewares further in, up to the response's head;
//! what a streamed body takes is neither limited nor run in the scope. It interrupts only what
//! waits: a thread that computes, as under `web::block`, goes on unseen. Wrapped around a part of
//! the routes as well, the inner one can only shorten the deadline, and its scope is the one that
//! counts. Whatever scope it is called in, as by a test, has what its requests record, too.
//!
//! It stands innermost, next to the routes, so that what the others add is not taken from the
//! handler's time.

use std::{
    cell::RefCell,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use actix_web::{
    Error, HttpMessage as _,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};
use ruleiq_scope::{CausalToken, Scope};
use tokio::time::{Instant, timeout_at};

use crate::{CausalTokens, problem::Problem, route};

/// Runs each request in a scope with a deadline.
///
/// See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct RequestScope {
    timeout: Duration,
    causal: Option<CausalTokens>,
}

/// The service that [`RequestScope`] wraps around another.
#[derive(Debug)]
pub struct RequestScopeMiddleware<S> {
    service: Rc<S>,
    timeout: Duration,
    causal: Option<CausalTokens>,
}

/// Where a middleware further out finds the scope, also when the request is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScopeSlot(Rc<RefCell<Option<Scope>>>);

impl ScopeSlot {
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.0.borrow().clone()
    }

    fn set(&self, scope: &Scope) {
        *self.0.borrow_mut() = Some(scope.clone());
    }
}

impl RequestScope {
    /// Gives a request so long.
    ///
    /// Too short: slow requests fail that somebody waits for. Too long: an overloaded server works
    /// for clients that have left.
    pub fn new(timeout: Duration) -> RequestScope {
        RequestScope {
            timeout,
            causal: None,
        }
    }

    /// Carries what a request has written to the client's next ones: its scope has the causal token that the
    /// request brings, and the response brings the one that the scope has by then, if something was written.
    /// Answers that are errors of the handler bring none.
    #[must_use]
    pub fn causal(mut self, tokens: CausalTokens) -> RequestScope {
        self.causal = Some(tokens);
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequestScope
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = RequestScopeMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RequestScopeMiddleware {
            service: Rc::new(service),
            timeout: self.timeout,
            causal: self.causal.clone(),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for RequestScopeMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let deadline = deadline_in(self.timeout);
        let brought = self.causal.as_ref().and_then(|it| it.of(&request));
        let scope = scope_of(&request, deadline, brought);
        if let Some(slot) = request.extensions().get::<ScopeSlot>() {
            slot.set(&scope);
        }
        request.extensions_mut().insert(scope.clone());

        let service = Rc::clone(&self.service);
        let (causal, written) = (self.causal.clone(), scope.clone());
        let answer = scope.run(async move {
            let mut response = service.call(request).await?;
            if let Some(causal) = causal
                && let Some(token) = written.written_token()
            {
                causal.give(&mut response, token);
            }
            Ok(response)
        });
        let Some(deadline) = deadline else {
            return Box::pin(answer);
        };
        Box::pin(async move {
            // The handler's future is dropped before this goes on, inside its scope.
            match timeout_at(deadline, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(deadline_exceeded().into()),
            }
        })
    }
}

/// `None` is never: the time-out ends after all clocks.
fn deadline_in(timeout: Duration) -> Option<Instant> {
    let own = Instant::now().checked_add(timeout);
    match (own, ruleiq_scope::deadline()) {
        (Some(own), Some(outer)) => Some(own.min(outer)),
        (own, outer) => own.or(outer),
    }
}

fn scope_of(
    request: &ServiceRequest,
    deadline: Option<Instant>,
    brought: Option<CausalToken>,
) -> Scope {
    let mut scope = Scope::builder();
    if let Some(outer) = Scope::current() {
        scope = scope.within(outer);
    }
    if let Some(template) = route::template(request) {
        scope = scope.route(template.to_string());
    }
    if let Some(deadline) = deadline {
        scope = scope.deadline(deadline);
    }
    if let Some(token) = brought {
        scope = scope.causal_token(token);
    }
    scope.build()
}

fn deadline_exceeded() -> Problem {
    tracing::warn!("request dropped at its deadline");
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline_exceeded",
        "the answer did not come in time",
    )
}
