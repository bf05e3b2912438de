//! What documentation says of the code: that a place exists, and that an excerpt is one.

use std::{fs, path::Path};

use crate::workspace::Workspace;

/// Documents whose statements are checked.
const DOCUMENTS: &[&str] = &["benches/README.md"];

/// Every file that a table names is there and has what is named after it, and every excerpt stands
/// in a file that the text before it names.
pub(super) fn places(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for document in DOCUMENTS {
        match fs::read_to_string(workspace.root.join(document)) {
            Ok(text) => {
                let read = |path: &str| fs::read_to_string(workspace.root.join(path)).ok();
                let found = wrong_places(&text, read).into_iter();
                let found = found.chain(wrong_excerpts(&text, read));
                breaches.extend(found.map(|it| format!("{document}: {it}")));
            }
            Err(error) => breaches.push(format!("{document}: {error}")),
        }
    }
    breaches
}

/// The breaches of a text's tables, in whose last column stand a file and what to look for in it.
fn wrong_places(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let cells = text.lines().filter_map(|line| {
        let row = line.strip_prefix('|')?.strip_suffix('|')?;
        row.rsplit('|').next()
    });
    let mut breaches = Vec::new();
    for place in cells.flat_map(|cell| cell.split(';')) {
        let mut names = code_in(place);
        let Some(path) = names.next().filter(|it| is_source(it)) else {
            continue;
        };
        let Some(source) = read(path) else {
            breaches.push(format!("`{path}` does not exist"));
            continue;
        };
        for name in names {
            let last = name.rsplit("::").next().unwrap_or(name);
            if !source.contains(last) {
                breaches.push(format!("`{path}` has no `{name}`"));
            }
        }
    }
    breaches
}

/// The breaches of a text's excerpts in Rust: their lines follow each other in the file that was
/// named last.
fn wrong_excerpts(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut parts = text.split("```");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let Some(excerpt) = block.strip_prefix("rust\n") else {
            continue;
        };
        let Some(path) = code_in(before).filter(|it| is_source(it)).last() else {
            breaches.push("an excerpt without a file".to_owned());
            continue;
        };
        let trimmed = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|it| it.trim().to_owned());
            lines.filter(|it| !it.is_empty()).collect()
        };
        let (excerpt, source) = (trimmed(excerpt), trimmed(&read(path).unwrap_or_default()));
        if !source.windows(excerpt.len()).any(|it| *it == *excerpt) {
            breaches.push(format!("an excerpt is not in `{path}`"));
        }
    }
    breaches
}

fn code_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_source(name: &str) -> bool {
    name.contains('/') && Path::new(name).extension().is_some_and(|it| it == "rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<String> {
        (path == "src/a.rs").then(|| "fn one() {\n    two();\n\n    three();\n}\n".to_owned())
    }

    #[test]
    fn a_place_that_is_not_there_is_a_breach() {
        let check = |row: &str, expect: &[&str]| {
            assert_eq!(wrong_places(row, read), expect, "{row}");
        };
        check("| a | `src/a.rs` `one` |", &[]);
        check("| a | `src/a.rs` `A::two` |", &[]);
        check("| `black_box` | nothing | words |", &[]);
        check("| a | `src/b.rs` `one` |", &["`src/b.rs` does not exist"]);
        check(
            "| a | `src/a.rs` `one`; `src/a.rs` `four` |",
            &["`src/a.rs` has no `four`"],
        );
    }

    #[test]
    fn an_excerpt_that_is_none_is_a_breach() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(wrong_excerpts(text, read), expect, "{text}");
        };
        check("`src/a.rs`:\n```rust\ntwo();\nthree();\n```\n", &[]);
        check("```sh\nls\n```\n`src/a.rs`\n```rust\ntwo();\n```\n", &[]);
        check(
            "`src/a.rs`:\n```rust\none();\n```\n",
            &["an excerpt is not in `src/a.rs`"],
        );
        check("```rust\ntwo();\n```\n", &["an excerpt without a file"]);
    }
}
