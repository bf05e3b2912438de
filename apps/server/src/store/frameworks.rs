//! `compliance_frameworks` and `framework_controls`.

use ruleiq_query::{Error, Read};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A standard or law that an assessment can cover.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Framework {
    pub(crate) id: Uuid,
    #[schema(example = "iso-27001")]
    pub(crate) code: String,
    #[schema(example = "ISO/IEC 27001")]
    pub(crate) name: String,
    #[schema(example = "2022")]
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) control_count: i64,
}

/// A framework and what it asks for.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct FrameworkDetail {
    #[serde(flatten)]
    pub(crate) framework: Framework,
    pub(crate) controls: Vec<Control>,
}

/// One thing that a framework asks for.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Control {
    #[schema(example = "A.5.15")]
    pub(crate) code: String,
    #[schema(example = "Access control")]
    pub(crate) title: String,
    pub(crate) position: i32,
}

const SELECT: &str = "SELECT id, code, name, version, description,
        (SELECT count(*) FROM framework_controls WHERE framework_id = compliance_frameworks.id)
     FROM compliance_frameworks";

/// All frameworks, by name. They are reference data: some dozens at most.
pub(crate) async fn list(db: &impl Read) -> Result<Vec<Framework>, Error> {
    let rows = db
        .query(&format!("{SELECT} ORDER BY name, version, id"), &[])
        .await?;
    Ok(rows.iter().map(Framework::from_row).collect())
}

/// A framework with its controls, in two statements.
pub(crate) async fn get(db: &impl Read, id: Uuid) -> Result<Option<FrameworkDetail>, Error> {
    let sql = format!("{SELECT} WHERE id = $1");
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&id];
    let (framework, controls) = futures_util::try_join!(
        db.query_opt(&sql, params),
        db.query(
            "SELECT code, title, position FROM framework_controls
             WHERE framework_id = $1 ORDER BY position",
            params,
        ),
    )?;
    Ok(framework.map(|row| FrameworkDetail {
        framework: Framework::from_row(&row),
        controls: controls
            .iter()
            .map(|row| Control {
                code: row.get(0),
                title: row.get(1),
                position: row.get(2),
            })
            .collect(),
    }))
}

impl Framework {
    fn from_row(row: &tokio_postgres::Row) -> Framework {
        Framework {
            id: row.get(0),
            code: row.get(1),
            name: row.get(2),
            version: row.get(3),
            description: row.get(4),
            control_count: row.get(5),
        }
    }
}
