//! Which route a request will take.

use std::rc::Rc;

use actix_web::{HttpMessage as _, dev::ServiceRequest};

/// Kept with the request, for the next middleware that asks.
struct Route(Option<Rc<str>>);

/// The template of the route, such as `/users/{id}`; `None` where there is no such route.
///
/// It can be asked before the request is routed. What changes the path on the way, as
/// `NormalizePath` does, must have done so.
pub(crate) fn template(request: &ServiceRequest) -> Option<Rc<str>> {
    if let Some(Route(template)) = request.extensions().get() {
        return template.clone();
    }
    // The path as the router will see it, with the percent-encoding that it undoes.
    let path = request.match_info().as_str();
    let template: Option<Rc<str>> = request.resource_map().match_pattern(path).map(Rc::from);
    request.extensions_mut().insert(Route(template.clone()));
    template
}
