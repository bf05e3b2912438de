//! `assessment_sessions` and what hangs on them: frameworks, questions, responses.

use std::fmt;

use ruleiq_query::{Error, Queries, Read};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::{Row, types::ToSql};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    business_profiles::{self, BusinessProfile},
    page::{Conditions, Cursor, Page},
};

/// How far an assessment is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// No question is answered.
    Draft,
    /// Some questions are answered.
    InProgress,
    /// All are answered, and no answer can change.
    Completed,
    /// Completed, and put away.
    Archived,
}

/// One assessment of one business.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Assessment {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) business_profile_id: Uuid,
    pub(crate) status: Status,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) completed_at: Option<OffsetDateTime>,
}

/// An assessment with all that belongs to it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct AssessmentDetail {
    #[serde(flatten)]
    pub(crate) assessment: Assessment,
    pub(crate) business_profile: BusinessProfile,
    pub(crate) frameworks: Vec<FrameworkName>,
    pub(crate) questions: Vec<Question>,
}

/// A framework that an assessment covers.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct FrameworkName {
    pub(crate) id: Uuid,
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) version: String,
}

/// A question, copied from a control, and its answer.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Question {
    pub(crate) id: Uuid,
    pub(crate) framework_id: Uuid,
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) position: i32,
    /// `null` until it is answered.
    pub(crate) answer: Option<Value>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) answered_at: Option<OffsetDateTime>,
}

/// An assessment that the transaction has locked.
pub(crate) struct Locked {
    pub(crate) user_id: Uuid,
    pub(crate) status: Status,
}

const COLUMNS: &str =
    "id, user_id, business_profile_id, status, created_at, updated_at, completed_at";

/// A page of assessments: of one user, or of all.
pub(crate) async fn list(
    db: &impl Read,
    user_id: Option<Uuid>,
    status: Option<Status>,
    after: Option<Cursor>,
    limit: u16,
) -> Result<Page<Assessment>, Error> {
    let status = status.map(Status::as_str);
    let one_more = i64::from(limit) + 1;
    let mut conditions = Conditions::default();
    conditions.when("user_id =", user_id.as_ref());
    conditions.when("status =", status.as_ref());
    conditions.after(after.as_ref());
    let (sql, params) = conditions.select(
        "SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
         FROM assessment_sessions",
        &one_more,
    );
    let rows = db.query(&sql, &params).await?;
    let items = rows.iter().map(Assessment::from_row).collect();
    Ok(Page::new(items, limit, |it: &Assessment| Cursor {
        created_at: it.created_at,
        id: it.id,
    }))
}

/// An assessment with all that belongs to it: three statements, sent together.
pub(crate) async fn get(db: &impl Read, id: Uuid) -> Result<Option<AssessmentDetail>, Error> {
    let key: &[&(dyn ToSql + Sync)] = &[&id];
    let profile_columns = business_profiles::COLUMNS
        .map(|it| format!("profile.{it}"))
        .join(", ");
    let session = format!(
        "SELECT session.id, session.user_id, session.business_profile_id, session.status,
                session.created_at, session.updated_at, session.completed_at, {profile_columns}
         FROM assessment_sessions AS session
         JOIN business_profiles AS profile ON profile.id = session.business_profile_id
         WHERE session.id = $1"
    );
    let (session, frameworks, questions) = futures_util::try_join!(
        db.query_opt(&session, key),
        db.query(
            "SELECT framework.id, framework.code, framework.name, framework.version
             FROM assessment_session_frameworks AS covered
             JOIN compliance_frameworks AS framework ON framework.id = covered.framework_id
             WHERE covered.session_id = $1
             ORDER BY framework.name, framework.id",
            key,
        ),
        // The answers are matched by session, too: their index by session finds them in one go.
        db.query(
            "SELECT question.id, question.framework_id, question.code, question.title,
                    question.position, response.answer, response.answered_at
             FROM assessment_questions AS question
             LEFT JOIN assessment_responses AS response
               ON response.question_id = question.id AND response.session_id = $1
             WHERE question.session_id = $1
             ORDER BY question.position, question.id",
            key,
        ),
    )?;
    Ok(session.map(|row| AssessmentDetail {
        assessment: Assessment::from_row(&row),
        business_profile: BusinessProfile::from_row(&row, 7),
        frameworks: frameworks.iter().map(FrameworkName::from_row).collect(),
        questions: questions.iter().map(Question::from_row).collect(),
    }))
}

/// Adds an assessment with a question for each control of its frameworks. `None` if one of the
/// frameworks does not exist. Belongs into a transaction.
pub(crate) async fn insert(
    db: &impl Queries,
    user_id: Uuid,
    business_profile_id: Uuid,
    framework_ids: &[Uuid],
) -> Result<Option<Assessment>, Error> {
    let id = Uuid::now_v7();
    let row = db
        .query_one(
            &format!(
                "INSERT INTO assessment_sessions (id, user_id, business_profile_id, status)
                 VALUES ($1, $2, $3, 'draft') RETURNING {COLUMNS}"
            ),
            &[&id, &user_id, &business_profile_id],
        )
        .await?;
    let covered = db
        .execute(
            "INSERT INTO assessment_session_frameworks (session_id, framework_id)
             SELECT $1, id FROM compliance_frameworks WHERE id = ANY ($2)",
            &[&id, &framework_ids],
        )
        .await?;
    if covered != framework_ids.len() as u64 {
        return Ok(None);
    }
    let controls = db
        .query(
            "SELECT framework_id, code, title FROM framework_controls
             WHERE framework_id = ANY ($1)
             ORDER BY array_position($1, framework_id), position",
            &[&framework_ids],
        )
        .await?;
    insert_questions(db, id, &controls).await?;
    Ok(Some(Assessment::from_row(&row)))
}

/// Copies controls into questions, all in one statement.
async fn insert_questions(
    db: &impl Queries,
    session_id: Uuid,
    controls: &[Row],
) -> Result<(), Error> {
    let ids: Vec<Uuid> = controls.iter().map(|_| Uuid::now_v7()).collect();
    let frameworks: Vec<Uuid> = controls.iter().map(|row| row.get(0)).collect();
    let codes: Vec<&str> = controls.iter().map(|row| row.get(1)).collect();
    let titles: Vec<&str> = controls.iter().map(|row| row.get(2)).collect();
    db.execute(
        "INSERT INTO assessment_questions (id, session_id, framework_id, code, title, position)
         SELECT question.id, $1, question.framework_id, question.code, question.title,
                question.position::integer
         FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[])
              WITH ORDINALITY AS question (id, framework_id, code, title, position)",
        &[&session_id, &ids, &frameworks, &codes, &titles],
    )
    .await?;
    Ok(())
}

/// Locks an assessment until the end of the transaction.
pub(crate) async fn lock(db: &impl Queries, id: Uuid) -> Result<Option<Locked>, Error> {
    let row = db
        .query_opt(
            "SELECT user_id, status FROM assessment_sessions WHERE id = $1 FOR UPDATE",
            &[&id],
        )
        .await?;
    Ok(row.map(|row| Locked {
        user_id: row.get(0),
        status: Status::from_column(row.get(1)),
    }))
}

/// Those of the given questions that do not belong to the assessment, at most ten.
pub(crate) async fn foreign_questions(
    db: &impl Queries,
    id: Uuid,
    question_ids: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    let rows = db
        .query(
            "SELECT given.id FROM unnest($2::uuid[]) AS given (id)
             WHERE NOT EXISTS (
                 SELECT FROM assessment_questions AS question
                 WHERE question.id = given.id AND question.session_id = $1)
             LIMIT 10",
            &[&id, &question_ids],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Stores answers, over earlier ones, and moves the assessment on. Belongs into a transaction that
/// holds the lock.
pub(crate) async fn respond(
    db: &impl Queries,
    id: Uuid,
    answered_by: Uuid,
    question_ids: &[Uuid],
    answers: &[&Value],
) -> Result<(), Error> {
    db.execute(
        "INSERT INTO assessment_responses (question_id, session_id, answer, answered_by)
         SELECT given.question_id, $1, given.answer, $2
         FROM unnest($3::uuid[], $4::jsonb[]) AS given (question_id, answer)
         ON CONFLICT (question_id) DO UPDATE
         SET answer = excluded.answer, answered_by = excluded.answered_by, answered_at = now()",
        &[&id, &answered_by, &question_ids, &answers],
    )
    .await?;
    db.execute(
        "UPDATE assessment_sessions SET status = 'in_progress', updated_at = now() WHERE id = $1",
        &[&id],
    )
    .await?;
    Ok(())
}

/// How many questions have no answer.
pub(crate) async fn unanswered(db: &impl Queries, id: Uuid) -> Result<i64, Error> {
    let row = db
        .query_one(
            "SELECT count(*) FROM assessment_questions AS question
             WHERE question.session_id = $1 AND NOT EXISTS (
                 SELECT FROM assessment_responses AS response
                 WHERE response.question_id = question.id)",
            &[&id],
        )
        .await?;
    Ok(row.get(0))
}

/// Completes an assessment. Belongs into a transaction that holds the lock.
pub(crate) async fn complete(db: &impl Queries, id: Uuid) -> Result<Assessment, Error> {
    let row = db
        .query_one(
            &format!(
                "UPDATE assessment_sessions
                 SET status = 'completed', updated_at = now(), completed_at = now()
                 WHERE id = $1 RETURNING {COLUMNS}"
            ),
            &[&id],
        )
        .await?;
    Ok(Assessment::from_row(&row))
}

/// An assessment alone.
pub(crate) async fn get_alone(db: &impl Read, id: Uuid) -> Result<Option<Assessment>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM assessment_sessions WHERE id = $1");
    Ok(db
        .query_opt(&sql, &[&id])
        .await?
        .as_ref()
        .map(Assessment::from_row))
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Archived => "archived",
        }
    }

    fn from_column(text: &str) -> Status {
        match text {
            "draft" => Status::Draft,
            "in_progress" => Status::InProgress,
            "completed" => Status::Completed,
            "archived" => Status::Archived,
            _ => unreachable!("a constraint of the table allows no other"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Assessment {
    /// Reads the columns of [`COLUMNS`], which come first.
    fn from_row(row: &Row) -> Assessment {
        Assessment {
            id: row.get(0),
            user_id: row.get(1),
            business_profile_id: row.get(2),
            status: Status::from_column(row.get(3)),
            created_at: row.get(4),
            updated_at: row.get(5),
            completed_at: row.get(6),
        }
    }
}

impl FrameworkName {
    fn from_row(row: &Row) -> FrameworkName {
        FrameworkName {
            id: row.get(0),
            code: row.get(1),
            name: row.get(2),
            version: row.get(3),
        }
    }
}

impl Question {
    fn from_row(row: &Row) -> Question {
        Question {
            id: row.get(0),
            framework_id: row.get(1),
            code: row.get(2),
            title: row.get(3),
            position: row.get(4),
            answer: row.get(5),
            answered_at: row.get(6),
        }
    }
}
