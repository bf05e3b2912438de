//! What is asked of an endpoint: requests over rows that are drawn from the seed.

use ruleiq_bench::Fault;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    HttpSettings,
    answer::{Shape, judge_coded},
};
use crate::{
    Env,
    http_server::{Fetched, HttpServer},
    postgres,
};

/// What is asked for, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// The same by everybody, without a token.
    Nothing,
    /// The same by each of some users.
    ByUsers,
    /// Some rows of each of some users.
    OwnRows,
    /// Each user's own row.
    Themselves,
    /// Frameworks, by a user.
    Frameworks,
    /// Assessments by their owners; `fresh` asks for the database's answer.
    Assessments { fresh: bool },
    /// Answers to be stored, by the owners of the assessments.
    Responses,
    /// The same by an administrator.
    ByAdmin,
    /// The same with the token of the metrics.
    ByPrometheus,
}

/// A request, and what has to stand in its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    /// Sent with `POST`; absent: `GET`.
    pub(super) body: Option<String>,
    shape: Shape,
}

/// Assessments with all their questions answered or being answered, and who owns them. Some blocks of
/// the table are read, whatever its size.
const SESSIONS: &str = "SELECT session.id, session.user_id FROM assessment_sessions AS session
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'assessment_sessions'::regclass)) REPEATABLE (42)
 ORDER BY md5(session.id::text || $1) LIMIT $2";

/// Frameworks, and somebody who asks for them.
const FRAMEWORKS: &str = "SELECT framework.id, (SELECT user_id FROM assessment_sessions LIMIT 1)
 FROM compliance_frameworks AS framework
 ORDER BY md5(framework.id::text || $1) LIMIT $2";

/// Assessments that take answers, with the answers that they have: storing these again adds no row.
const ANSWERED: &str = "SELECT session.id, session.user_id,
        (SELECT jsonb_agg(jsonb_build_object('question_id', question_id, 'answer', answer))
         FROM assessment_responses AS response WHERE response.session_id = session.id)
 FROM assessment_sessions AS session
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'assessment_sessions'::regclass)) REPEATABLE (42)
 WHERE session.status = 'in_progress'
   AND EXISTS (SELECT FROM assessment_responses AS response
               WHERE response.session_id = session.id)
 ORDER BY md5(session.id::text || $1) LIMIT $2";

impl Asked {
    /// The requests of a case.
    ///
    /// # Errors
    ///
    /// When the database has no rows for it.
    pub(super) async fn requests(
        self,
        env: &Env,
        server: &HttpServer,
        settings: &HttpSettings,
    ) -> Result<Vec<Request>, Fault> {
        let path = settings.endpoint.path;
        let mut requests = match self {
            Asked::Nothing => vec![Request::new(path, None, Shape::Object)],
            Asked::ByAdmin => {
                let token = server.token(Uuid::new_v4(), true);
                vec![Request::new(path, Some(&token), Shape::Object)]
            }
            Asked::ByPrometheus => {
                let token = server.metrics_token();
                vec![Request::new(path, Some(token), Shape::Text)]
            }
            _ => self.by_users(env, server, settings).await?,
        };
        for request in &mut requests {
            if let Some(coding) = settings.accept_encoding {
                request.header("accept-encoding", coding);
            }
        }
        Ok(requests)
    }

    async fn by_users(
        self,
        env: &Env,
        server: &HttpServer,
        settings: &HttpSettings,
    ) -> Result<Vec<Request>, Fault> {
        let path = settings.endpoint.path;
        let sql = match self {
            Asked::Responses => ANSWERED,
            Asked::Frameworks => FRAMEWORKS,
            _ => SESSIONS,
        };
        let owner = postgres::connect(env.owner_url()?).await?;
        let limit = i64::try_from(settings.requests).unwrap_or(i64::MAX);
        let rows = owner.query(sql, &[&env.seed().to_string(), &limit]).await;
        let rows = rows.map_err(Fault::failed)?;
        if rows.is_empty() {
            let what = "the database has no rows for it: seed it, then try again";
            return Err(Fault::Failed(what.to_owned()));
        }
        let request = |row: &tokio_postgres::Row| {
            let (session, user): (Uuid, Uuid) = (row.get(0), row.get(1));
            let id = match self {
                Asked::Themselves => user,
                _ => session,
            };
            let token = server.token(user, false);
            let shape = match self {
                Asked::OwnRows => Shape::Rows { of: Some(user) },
                Asked::Responses => Shape::Empty,
                Asked::Assessments { .. } | Asked::Themselves | Asked::Frameworks => Shape::Row(id),
                _ => Shape::Rows { of: None },
            };
            let path = path.replace("{id}", &id.to_string());
            let mut request = Request::new(&path, Some(&token), shape);
            match self {
                Asked::Assessments { fresh: true } => {
                    request.header("cache-control", "no-cache");
                }
                Asked::Responses => {
                    let responses: Value = row.get(2);
                    request.header("content-type", "application/json");
                    request.body = Some(json!({ "responses": responses }).to_string());
                }
                _ => {}
            }
            request
        };
        Ok(rows.iter().map(request).collect())
    }
}

impl Request {
    fn new(path: &str, token: Option<&str>, shape: Shape) -> Request {
        let mut request = Request {
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
            shape,
        };
        if let Some(token) = token {
            request.header("authorization", &format!("Bearer {token}"));
        }
        request
    }

    fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Asks once, and looks at the answer. A coded one is decoded, and has to be what comes without
    /// a coding.
    ///
    /// # Errors
    ///
    /// When it is not what was asked for, or not coded as was asked for.
    pub(super) async fn first(
        &self,
        server: &HttpServer,
        coding: Option<&str>,
    ) -> Result<Fetched, Fault> {
        let fetched = self.fetch(server, &self.headers).await?;
        let Some(coding) = coding else {
            self.judge(&fetched)?;
            return Ok(fetched);
        };
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| name != "accept-encoding");
        let identity = self.fetch(server, &headers).await?;
        self.judge(&identity)?;
        judge_coded(&self.path, coding, &fetched, &identity)?;
        Ok(fetched)
    }

    fn judge(&self, fetched: &Fetched) -> Result<(), Fault> {
        if let Some(coding) = &fetched.coding {
            let path = &self.path;
            let wrong = format!("`{path}` is coded {coding}, which was not asked for");
            return Err(Fault::Wrong(wrong));
        }
        self.shape.judge(&self.path, &fetched.body)
    }

    async fn fetch(
        &self,
        server: &HttpServer,
        headers: &[(String, String)],
    ) -> Result<Fetched, Fault> {
        let path = &self.path;
        let (fetched, wanted) = match &self.body {
            None => (server.get(path, headers).await?, 200),
            Some(body) => (server.post(path, headers, body).await?, 204),
        };
        if fetched.status == wanted {
            return Ok(fetched);
        }
        let (status, text) = (fetched.status, String::from_utf8_lossy(&fetched.body));
        let what = format!("`{path}` answers {status} in place of {wanted}: {text}");
        Err(match status {
            500.. => Fault::Failed(what),
            _ => Fault::Wrong(what),
        })
    }
}
