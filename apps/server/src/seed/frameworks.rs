//! The frameworks and what they ask for: reference data, the same at every scale.

use ruleiq_query::{Error, Queries};
use uuid::{Builder, Uuid};

use crate::auth::sha256;

/// The files, most widely used first. Each begins with a line of name, version and description;
/// the others are of code and title. Tabs part them.
const FILES: &[(&str, &str)] = &[
    ("uk-gdpr", include_str!("frameworks/uk-gdpr.tsv")),
    ("iso-27001", include_str!("frameworks/iso-27001.tsv")),
    ("soc-2", include_str!("frameworks/soc-2.tsv")),
    (
        "cyber-essentials",
        include_str!("frameworks/cyber-essentials.tsv"),
    ),
    ("pci-dss", include_str!("frameworks/pci-dss.tsv")),
    ("nist-csf", include_str!("frameworks/nist-csf.tsv")),
    ("nis2", include_str!("frameworks/nis2.tsv")),
    (
        "hipaa-security",
        include_str!("frameworks/hipaa-security.tsv"),
    ),
    ("dora", include_str!("frameworks/dora.tsv")),
    ("cis-controls", include_str!("frameworks/cis-controls.tsv")),
    ("eu-ai-act", include_str!("frameworks/eu-ai-act.tsv")),
    ("iso-42001", include_str!("frameworks/iso-42001.tsv")),
    ("nist-800-53", include_str!("frameworks/nist-800-53.tsv")),
    ("nist-800-171", include_str!("frameworks/nist-800-171.tsv")),
];

/// A framework as its file has it.
#[derive(Debug)]
pub(super) struct Framework {
    pub(super) id: Uuid,
    pub(super) code: &'static str,
    name: &'static str,
    version: &'static str,
    description: &'static str,
    pub(super) controls: Vec<Control>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
}

/// What was changed to make the database as the files are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Changes {
    pub(super) frameworks: u64,
    pub(super) controls: u64,
}

/// All frameworks.
pub(super) fn all() -> Vec<Framework> {
    FILES
        .iter()
        .map(|(code, text)| {
            Framework::parse(code, text).expect("the files are sound, as a test sees to")
        })
        .collect()
}

/// Makes the database have the frameworks as they are, under the keys that it has for them already.
/// Belongs into a transaction. Those that somebody added stay.
pub(super) async fn load(db: &impl Queries, all: &mut [Framework]) -> Result<Changes, Error> {
    let columns = |column: fn(&Framework) -> &str| all.iter().map(column).collect::<Vec<_>>();
    let ids: Vec<Uuid> = all.iter().map(|it| it.id).collect();
    let codes = columns(|it| it.code);
    let frameworks = db
        .execute(
            "INSERT INTO compliance_frameworks AS ours (id, code, name, version, description)
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
             ON CONFLICT (code) DO UPDATE
             SET name = excluded.name, version = excluded.version,
                 description = excluded.description
             WHERE (ours.name, ours.version, ours.description)
                 <> (excluded.name, excluded.version, excluded.description)",
            &[
                &ids,
                &codes,
                &columns(|it| it.name),
                &columns(|it| it.version),
                &columns(|it| it.description),
            ],
        )
        .await?;
    let keys = db
        .query(
            "SELECT code, id FROM compliance_frameworks WHERE code = ANY ($1)",
            &[&codes],
        )
        .await?;
    for row in keys {
        let code: &str = row.get(0);
        if let Some(framework) = all.iter_mut().find(|it| it.code == code) {
            framework.id = row.get(1);
        }
    }
    let controls = load_controls(db, all).await?;
    Ok(Changes {
        frameworks,
        controls,
    })
}

async fn load_controls(db: &impl Queries, all: &[Framework]) -> Result<u64, Error> {
    let (mut frameworks, mut codes, mut titles, mut positions) = (vec![], vec![], vec![], vec![]);
    for framework in all {
        for (control, position) in framework.controls.iter().zip(1_i32..) {
            frameworks.push(framework.id);
            codes.push(control.code);
            titles.push(control.title);
            positions.push(position);
        }
    }
    let wanted = "unnest($1::uuid[], $2::text[], $3::text[], $4::integer[])
        AS wanted (framework_id, code, title, position)";
    let columns: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&frameworks, &codes, &titles, &positions];
    // What is left afterwards is as it should be, so the missing rows find their positions free.
    let deleted = db
        .execute(
            &format!(
                "DELETE FROM framework_controls AS ours
                 WHERE framework_id = ANY ($1) AND NOT EXISTS (
                     SELECT FROM {wanted}
                     WHERE (wanted.framework_id, wanted.code, wanted.title, wanted.position)
                         = (ours.framework_id, ours.code, ours.title, ours.position))"
            ),
            columns,
        )
        .await?;
    let inserted = db
        .execute(
            &format!(
                "INSERT INTO framework_controls (framework_id, code, title, position)
                 SELECT framework_id, code, title, position FROM {wanted}
                 ON CONFLICT (framework_id, code) DO NOTHING"
            ),
            columns,
        )
        .await?;
    Ok(deleted.max(inserted))
}

impl Framework {
    fn parse(code: &'static str, text: &'static str) -> Option<Framework> {
        let mut lines = text.lines();
        let (name, rest) = lines.next()?.split_once('\t')?;
        let (version, description) = rest.split_once('\t')?;
        let controls = lines
            .map(|line| {
                let (code, title) = line.split_once('\t')?;
                Some(Control { code, title })
            })
            .collect::<Option<_>>()?;
        Some(Framework {
            id: key_of(code),
            code,
            name,
            version,
            description,
            controls,
        })
    }
}

/// The key of a framework: version 8 of RFC 9562, made of its code's digest.
fn key_of(code: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(format!("framework {code}").as_bytes())[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_files_are_sound() {
        for (code, text) in FILES {
            let framework = Framework::parse(code, text).unwrap();
            let texts = [framework.name, framework.version, framework.description];
            let controls = framework.controls.iter().flat_map(|it| [it.code, it.title]);
            for text in texts.into_iter().chain(controls) {
                assert!(!text.is_empty() && text == text.trim(), "{code}: `{text}`");
                assert!(!text.contains('\t'), "{code}: `{text}`");
            }
            let codes: HashSet<&str> = framework.controls.iter().map(|it| it.code).collect();
            assert_eq!(
                codes.len(),
                framework.controls.len(),
                "{code} has a code twice"
            );
        }
    }

    #[test]
    fn whole_catalogues_are_whole() {
        let count = |code| {
            let all = all();
            all.iter()
                .find(|it| it.code == code)
                .unwrap()
                .controls
                .len()
        };
        for (code, controls) in [
            ("iso-27001", 93),
            ("iso-42001", 38),
            ("soc-2", 61),
            ("nist-csf", 22),
            ("cis-controls", 18),
            ("nist-800-53", 20),
            ("nist-800-171", 17),
            ("cyber-essentials", 5),
        ] {
            assert_eq!(count(code), controls, "{code}");
        }
        assert!(all().len() >= 12);
    }
}
