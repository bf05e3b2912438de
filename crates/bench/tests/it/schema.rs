//! The published schema describes what is written.

use boon::{Compiler, SchemaIndex, Schemas};
use ruleiq_bench::report::Report;
use serde_json::{Value, json};

use crate::sample;

struct Published {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Published {
    fn compiled() -> Published {
        let text = include_str!("../../schema/ruleiq-bench-1.json");
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler
            .add_resource("urn:ruleiq:bench:1", serde_json::from_str(text).unwrap())
            .unwrap();
        let mut schemas = Schemas::new();
        let index = compiler
            .compile("urn:ruleiq:bench:1", &mut schemas)
            .unwrap();
        Published { schemas, index }
    }

    /// What is wrong with it, if anything is.
    fn faults(&self, report: &Value) -> Option<String> {
        let verdict = self.schemas.validate(report, self.index);
        verdict.err().map(|it| format!("{it:#}"))
    }
}

#[test]
fn what_is_written_is_described() {
    let published = Published::compiled();
    for report in [sample::minimal(), sample::rich()] {
        let written = serde_json::to_value(&report).unwrap();
        assert_eq!(published.faults(&written), None);
    }
}

/// A field of a type that the schema does not name could be anything.
#[test]
fn every_field_is_described() {
    let text = include_str!("../../schema/ruleiq-bench-1.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let written = serde_json::to_value(sample::rich()).unwrap();
    assert_eq!(undescribed(&schema, &schema, &written, "report"), [""; 0]);
}

/// The places in `value` whose field the schema does not have.
fn undescribed(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let schema = match (schema.get("$ref"), schema.get("anyOf")) {
        (Some(name), _) => root.pointer(&name.as_str().unwrap()[1..]).unwrap(),
        (None, Some(either)) => return undescribed(root, &either[0], value, place),
        _ => schema,
    };
    match value {
        Value::Object(fields) if schema.get("type").is_some() => fields
            .iter()
            .flat_map(|(name, value)| {
                let place = format!("{place}.{name}");
                let known = schema.pointer(&format!("/properties/{name}"));
                match known.or(schema.get("additionalProperties")) {
                    Some(inner) => undescribed(root, inner, value, &place),
                    None => vec![place],
                }
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .flat_map(|it| undescribed(root, &schema["items"], it, place))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let published = Published::compiled();
    let wrong: [(&str, Value); 8] = [
        ("/schema", json!("ruleiq-bench/2")),
        ("/started", json!("yesterday")),
        ("/id", json!(7)),
        ("/kind", json!("guess")),
        ("/results/0/verdict", json!("fine")),
        ("/results/0/value", json!("fast")),
        ("/results/0/counts/ops", json!(-1)),
        ("/curves/0/points/0/histogram", Value::Null),
    ];
    for (place, value) in wrong {
        let mut report = serde_json::to_value(sample::rich()).unwrap();
        *report.pointer_mut(place).unwrap() = value;
        assert!(
            published.faults(&report).is_some(),
            "{place} was let through"
        );
    }
    let mut report = serde_json::to_value(sample::rich()).unwrap();
    report.as_object_mut().unwrap().remove("noise").unwrap();
    assert!(published.faults(&report).is_some());
}

/// A report of a later minor version has fields that this one does not know.
#[test]
fn unknown_fields_are_let_through() {
    let mut report = serde_json::to_value(sample::rich()).unwrap();
    report["results"][0]["weather"] = json!("fair");
    assert_eq!(Published::compiled().faults(&report), None);
    serde_json::from_value::<Report>(report).unwrap();
}
