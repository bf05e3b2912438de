//! The operations that requests are counted under.

use std::{cell::RefCell, collections::HashMap};

use actix_web::http::Method;
use ruleiq_metrics::{Metrics, Operation};

/// What requests that match no route are counted under, whatever their path.
const UNMATCHED: &str = "unmatched";

/// The handles that one worker has resolved, so that it asks for each only once.
///
/// A worker is one thread, and there are no more of them than routes times methods: no lock, and
/// bounded.
#[derive(Debug)]
pub(super) struct Operations {
    metrics: Metrics,
    unmatched: Operation,
    by_template: RefCell<HashMap<Box<str>, ByMethod>>,
}

type ByMethod = Vec<(&'static str, Operation)>;

impl Operations {
    pub(super) fn new(metrics: Metrics) -> Operations {
        Operations {
            unmatched: metrics.operation(UNMATCHED),
            metrics,
            by_template: RefCell::default(),
        }
    }

    pub(super) fn of(&self, method: &Method, template: Option<&str>) -> Operation {
        let Some(template) = template else {
            return self.unmatched.clone();
        };
        let method = name_of(method);
        let mut by_template = self.by_template.borrow_mut();
        let by_method = match by_template.get_mut(template) {
            Some(known) => known,
            None => by_template.entry(template.into()).or_default(),
        };
        if let Some((_, known)) = by_method.iter().find(|(name, _)| *name == method) {
            return known.clone();
        }
        let operation = self.metrics.operation(&format!("{method} {template}"));
        by_method.push((method, operation.clone()));
        operation
    }
}

/// A client can make up methods: those that HTTP does not define share the name that
/// OpenTelemetry's conventions give them.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}
