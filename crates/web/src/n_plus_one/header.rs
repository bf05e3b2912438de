//! `X-N-Plus-One`: a list of structured fields, RFC 9651.

use std::fmt::Write as _;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use ruleiq_db_optimizer::n_plus_one::{Finding, Report};

const X_N_PLUS_ONE: HeaderName = HeaderName::from_static("x-n-plus-one");

/// So many findings are told.
const FINDINGS: usize = 4;
/// So much of the end of a call site is told, in characters.
const CALL_SITE_CHARS: usize = 120;

pub(super) fn tell(headers: &mut HeaderMap, report: &Report) {
    let mut list = String::new();
    for finding in report.findings.iter().take(FINDINGS) {
        write_finding(&mut list, finding);
    }
    let value = HeaderValue::from_str(&list).expect("tokens, digits and printable ASCII");
    headers.insert(X_N_PLUS_ONE, value);
}

fn write_finding(list: &mut String, finding: &Finding) {
    let separator = if list.is_empty() { "" } else { ", " };
    let (kind, count) = (finding.kind.as_str(), finding.count);
    let (statement, at) = (finding.fingerprint, shown(&finding.call_site.to_string()));
    write!(
        list,
        "{separator}{kind};count={count};statement=\"{statement}\";at=\"{at}\""
    )
    .expect("a string takes what it is given");
}

/// The end of a call site, where the line stands, in the characters that a header can hold.
fn shown(call_site: &str) -> String {
    let chars = call_site.chars().count();
    let end = call_site
        .chars()
        .skip(chars.saturating_sub(CALL_SITE_CHARS));
    end.map(|c| match c {
        '"' | '\\' => '?',
        ' '..='~' => c,
        _ => '?',
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_is_cut_at_its_beginning_and_printable() {
        assert_eq!(shown("src/a.rs:1:2"), "src/a.rs:1:2");
        assert_eq!(shown("größe\"\\\n.rs:1:2"), "gr??e???.rs:1:2");
        let long = format!("{}/a.rs:1:2", "x".repeat(500));
        let shown = shown(&long);
        assert_eq!(shown.len(), CALL_SITE_CHARS);
        assert!(shown.ends_with("x/a.rs:1:2"), "{shown}");
    }
}
