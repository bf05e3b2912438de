//! A workload as a file has it: statements with literals, and how often each one comes.
//!
//! A line `-- name: q1 weight: 3 tags: a,b` begins a statement; weight and tags may be left out.

mod write;

use ruleiq_bench::Fault;

pub(super) use self::write::{Kind, Write};

const NAME: &str = "-- name:";

/// The statements of a workload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QuerySet(Vec<Query>);

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) name: String,
    /// How often it comes, in proportion to the others.
    pub(super) weight: f64,
    pub(super) tags: Vec<String>,
    /// Without its semicolon.
    pub(super) text: String,
    /// What it writes, if it does.
    pub(super) write: Option<Write>,
}

impl QuerySet {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<QuerySet, Fault> {
        let begin = text.find(NAME).unwrap_or(text.len());
        let mut queries: Vec<Query> = Vec::new();
        for part in text[begin..].split(NAME).skip(1) {
            let query = Query::parse(part)?;
            if queries.iter().any(|it| it.name == query.name) {
                return Err(bad(&query.name, "is there twice"));
            }
            queries.push(query);
        }
        match queries.is_empty() {
            true => Err(bad("the file", "names no statement")),
            false => Ok(QuerySet(queries)),
        }
    }

    /// Those without a tag.
    pub(super) fn without(mut self, tag: &str) -> QuerySet {
        self.0.retain(|it| !it.tags.iter().any(|its| its == tag));
        self
    }

    /// Those that only read.
    pub(super) fn reading(mut self) -> QuerySet {
        self.0.retain(|it| it.write.is_none());
        self
    }

    /// One of so many, in their order: fewer for tests.
    pub(super) fn one_of(self, many: usize) -> QuerySet {
        QuerySet(self.0.into_iter().step_by(many.max(1)).collect())
    }

    /// The same, where each write comes so many times as often.
    pub(super) fn writing(mut self, times: f64) -> QuerySet {
        for query in self.0.iter_mut().filter(|it| it.write.is_some()) {
            query.weight *= times;
        }
        self
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Query> {
        self.0.iter()
    }
}

impl Query {
    /// Reads what comes after the mark.
    fn parse(part: &str) -> Result<Query, Fault> {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let mut words = head.split_whitespace();
        let name = words
            .next()
            .ok_or_else(|| bad(head, "is no name"))?
            .to_owned();
        let (mut weight, mut tags) = (1.0, Vec::new());
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word {
                "weight:" => weight = number(value).ok_or_else(|| bad(&name, "has no weight"))?,
                "tags:" => tags = value.split(',').map(str::to_owned).collect(),
                _ => return Err(bad(word, "is neither `weight:` nor `tags:`")),
            }
        }
        let text = statement(body).ok_or_else(|| bad(&name, "is not one statement"))?;
        Ok(Query {
            write: Write::of(&text),
            name,
            weight,
            tags,
            text,
        })
    }
}

fn number(text: &str) -> Option<f64> {
    let weight: f64 = text.parse().ok()?;
    (weight.is_finite() && weight > 0.0).then_some(weight)
}

/// The only statement of a text, whose comments are whole lines and whose literals hold no
/// semicolon.
fn statement(body: &str) -> Option<String> {
    let lines = body.lines().filter(|it| !it.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.trim().trim_end_matches(';').trim_end();
    (!text.is_empty() && !text.contains(';')).then(|| text.to_owned())
}

fn bad(what: &str, why: &str) -> Fault {
    Fault::Failed(format!("the workload's file: `{what}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-- Of two.
-- name: a
SELECT 1;

-- name: b weight: 2.5 tags: x,y
-- Why it is there.
UPDATE t
SET c = 2;
";

    #[test]
    fn a_file_has_its_statements_with_weights_and_tags() {
        let all = QuerySet::parse(FILE).unwrap();
        let [a, b] = &all.0[..] else {
            panic!("{all:?}");
        };
        assert_eq!((a.name.as_str(), a.weight, a.tags.len()), ("a", 1.0, 0));
        assert_eq!((a.text.as_str(), &a.write), ("SELECT 1", &None));
        assert_eq!((b.weight, b.text.as_str()), (2.5, "UPDATE t\nSET c = 2"));
        assert_eq!(b.tags, ["x", "y"]);
        let names = |set: QuerySet| set.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(all.clone().without("x")), ["a"]);
        assert_eq!(names(all.clone().reading()), ["a"]);
        assert_eq!(names(all.clone().without("z")), ["a", "b"]);
        assert_eq!(names(all.clone().one_of(2)), ["a"]);
        let weights: Vec<f64> = all.writing(2.0).iter().map(|it| it.weight).collect();
        assert_eq!(weights, [1.0, 5.0]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "",
            "SELECT 1",
            "-- name: a\n",
            "-- name: a\nSELECT 1; SELECT 2;",
            "-- name: a weight: 0\nSELECT 1",
            "-- name: a weight: many\nSELECT 1",
            "-- name: a wait: 1\nSELECT 1",
            "-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;",
        ] {
            assert!(QuerySet::parse(text).is_err(), "{text}");
        }
    }
}
