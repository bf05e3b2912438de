//! Two indexes of a table in one: the keys of the first, then what the second has besides.

use super::{Candidate, MAX_KEYS, Proposals, Rule};
use crate::{IndexDefinition, Method};

/// The longest list of columns that are only stored.
const MAX_INCLUDED: usize = 6;

pub(super) fn propose(candidates: &[Candidate], proposals: &mut Proposals) {
    for one in candidates {
        for two in candidates {
            let (one, two) = (&one.definition, &two.definition);
            if let Some(merged) = merged(one, two).filter(|it| it != one && it != two) {
                proposals.add(merged, Rule::Merged);
            }
        }
    }
}

fn merged(one: &IndexDefinition, two: &IndexDefinition) -> Option<IndexDefinition> {
    let fits = one.table == two.table
        && one.method == Method::Btree
        && two.method == Method::Btree
        && one.predicate == two.predicate
        && one != two;
    if !fits {
        return None;
    }
    let mut merged = one.clone();
    let begins_alike = one.keys.iter().zip(&two.keys).all(|(one, two)| one == two);
    for key in &two.keys {
        if merged.keys.iter().any(|it| it.on == key.on) {
            continue;
        }
        if begins_alike && merged.keys.len() < MAX_KEYS {
            merged.keys.push(key.clone());
        } else {
            merged.include.extend(key.as_column().cloned());
        }
    }
    merged.include.extend(two.include.iter().cloned());
    let keys = merged.keys.clone();
    merged
        .include
        .retain(|it| !keys.iter().any(|key| key.as_column() == Some(it)));
    merged.include.sort();
    merged.include.dedup();
    (merged.include.len() <= MAX_INCLUDED).then_some(merged)
}
