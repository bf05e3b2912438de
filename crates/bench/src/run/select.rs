//! Which cases run: components by name, cases by pattern.

use std::collections::BTreeSet;

use crate::{CaseName, worker::CaseInfo};

/// A pattern over `component/case`, or over `case` where it has no `/`: `*` stands for any text,
/// `?` for any one character.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

/// Why nothing can be selected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No component is called so.
    #[error("no component `{asked}`; there are: {}", known.join(", "))]
    Component {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No case matches.
    #[error("no case matches `{asked}`; there are: {}", known.join(", "))]
    Case {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nothing satisfies all that was asked for.
    #[error("no case satisfies all that was asked for")]
    Nothing,
}

impl Pattern {
    /// The pattern that `text` is.
    pub fn new(text: &str) -> Pattern {
        Pattern(text.to_owned())
    }

    /// Whether it matches a case.
    pub fn matches(&self, name: &CaseName) -> bool {
        if self.0.contains('/') {
            let full = format!("{}/{}", name.component, name.case);
            return glob(self.0.as_bytes(), full.as_bytes());
        }
        glob(self.0.as_bytes(), name.case.as_bytes())
    }
}

/// The classic two-pointer match: on a mismatch, the last `*` takes one character more.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(it) if *it == b'?' || *it == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                None => return false,
                Some((at, taken)) => {
                    *taken += 1;
                    p = *at + 1;
                    t = *taken;
                }
            },
        }
    }
    pattern[p..].iter().all(|it| *it == b'*')
}

/// The cases that are in one of the components, match one of the patterns, and, if `quick`, are
/// marked for quick runs. No component and no pattern: all of them.
///
/// # Errors
///
/// When a component or a pattern names nothing.
pub fn select(
    cases: &[CaseInfo],
    components: &[String],
    patterns: &[String],
    quick: bool,
) -> Result<Vec<CaseInfo>, SelectError> {
    for asked in components {
        if !cases.iter().any(|it| it.name.component == *asked) {
            let known: BTreeSet<_> = cases.iter().map(|it| it.name.component.clone()).collect();
            return Err(SelectError::Component {
                asked: asked.clone(),
                known: known.into_iter().collect(),
            });
        }
    }
    let is_in = |it: &&CaseInfo| components.is_empty() || components.contains(&it.name.component);
    let of_components: Vec<_> = cases.iter().filter(is_in).collect();
    for asked in patterns {
        let pattern = Pattern::new(asked);
        if !of_components.iter().any(|it| pattern.matches(&it.name)) {
            let name = |it: &&CaseInfo| format!("{}/{}", it.name.component, it.name.case);
            let known: BTreeSet<_> = of_components.iter().map(name).collect();
            return Err(SelectError::Case {
                asked: asked.clone(),
                known: known.into_iter().collect(),
            });
        }
    }
    let patterns: Vec<_> = patterns.iter().map(|it| Pattern::new(it)).collect();
    // A case that is named outright also runs in a quick run.
    let is_asked = |it: &CaseInfo| match patterns.is_empty() {
        true => !quick || it.is_quick,
        false => patterns.iter().any(|pattern| pattern.matches(&it.name)),
    };
    let selected: Vec<_> = of_components
        .into_iter()
        .filter(|it| is_asked(it))
        .cloned()
        .collect();
    if selected.is_empty() {
        return Err(SelectError::Nothing);
    }
    Ok(selected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn case(component: &str, case: &str, is_quick: bool) -> CaseInfo {
        CaseInfo {
            name: CaseName {
                component: component.into(),
                case: case.into(),
                variant: BTreeMap::new(),
            },
            about: String::new(),
            settings: serde_json::Value::Null,
            processes: Vec::new(),
            slice_s: None,
            is_whole: false,
            is_quick,
            targets: Vec::new(),
            sides: Vec::new(),
        }
    }

    #[test]
    fn stars_and_question_marks_match() {
        let check = |pattern: &str, expect: bool| {
            let case = case("cache", "l2_hit_64", false);
            assert_eq!(
                Pattern::new(pattern).matches(&case.name),
                expect,
                "{pattern}"
            );
        };
        check("l2_hit_64", true);
        check("l2_*", true);
        check("*64", true);
        check("l?_hit_*", true);
        check("cache/*", true);
        check("*/l2*6?", true);
        check("*", true);
        check("l2_hit", false);
        check("pools/*", false);
        check("?", false);
        check("", false);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let cases = [case("cache", "set", true), case("pools", "checkout", false)];
        let asked = |components: &[&str], patterns: &[&str], quick| {
            let owned = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            select(&cases, &owned(components), &owned(patterns), quick)
        };
        let error = asked(&["caches"], &[], false).unwrap_err().to_string();
        assert_eq!(error, "no component `caches`; there are: cache, pools");
        let error = asked(&["cache"], &["checkout"], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no case matches `checkout`; there are: cache/set"
        );
        assert_eq!(asked(&[], &[], true).unwrap().len(), 1);
        assert_eq!(asked(&[], &["checkout"], true).unwrap().len(), 1);
        assert!(asked(&["pools"], &[], true).is_err());
        assert_eq!(asked(&[], &[], false).unwrap().len(), 2);
    }
}
