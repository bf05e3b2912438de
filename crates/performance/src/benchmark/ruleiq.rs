//! The statements of RuleIQ.

use super::DatabaseCase;

/// A user by key, as every request with a token may do.
const SIMPLE_SELECT: &str = "SELECT id, email, full_name, is_admin, created_at
 FROM users WHERE id = $1";

/// A whole assessment with its business, its questions and their answers: five tables.
const COMPLEX_JOIN: &str = "SELECT session.id, session.status, session.updated_at,
        profile.name, profile.industry, profile.country,
        framework.code, question.id, question.code, question.title, question.position,
        response.answer, response.answered_at
 FROM assessment_sessions AS session
 JOIN business_profiles AS profile ON profile.id = session.business_profile_id
 JOIN assessment_questions AS question ON question.session_id = session.id
 JOIN compliance_frameworks AS framework ON framework.id = question.framework_id
 LEFT JOIN assessment_responses AS response
   ON response.question_id = question.id AND response.session_id = session.id
 WHERE session.id = $1
 ORDER BY question.position, question.id";

/// How far a user is with each kind of assessment.
const AGGREGATION: &str = "SELECT session.user_id, session.status,
        count(DISTINCT session.id), count(question.id), count(response.question_id),
        max(response.answered_at)
 FROM assessment_sessions AS session
 JOIN assessment_questions AS question ON question.session_id = session.id
 LEFT JOIN assessment_responses AS response
   ON response.question_id = question.id AND response.session_id = session.id
 WHERE session.user_id = $1
 GROUP BY session.user_id, session.status
 ORDER BY session.status";

/// The first page of a user's assessments in one state: the list's own statement.
const INDEXED_SEARCH: &str =
    "SELECT user_id, id, business_profile_id, status, created_at, updated_at, completed_at
 FROM assessment_sessions
 WHERE user_id = $1 AND status = $2
 ORDER BY created_at DESC, id DESC LIMIT 21";

/// Some users, drawn block by block from the whole table: 20,000 rows are read whatever its size,
/// and always the same ones.
const USERS: &str = "SELECT id FROM users
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'users'::regclass)) REPEATABLE (42)
 ORDER BY md5(id::text) LIMIT 1000";

/// Some assessments with questions, drawn in the same way.
const ASSESSMENTS: &str = "SELECT session.id FROM assessment_sessions AS session
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'assessment_sessions'::regclass)) REPEATABLE (42)
 WHERE EXISTS (SELECT FROM assessment_questions AS question WHERE question.session_id = session.id)
 ORDER BY md5(session.id::text) LIMIT 1000";

/// The users of these assessments, so that a user with many comes up more often.
const BUSY_USERS: &str = "SELECT session.user_id FROM assessment_sessions AS session
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'assessment_sessions'::regclass)) REPEATABLE (42)
 WHERE EXISTS (SELECT FROM assessment_questions AS question WHERE question.session_id = session.id)
 ORDER BY md5(session.id::text) LIMIT 1000";

/// The users and states of some assessments.
const USERS_AND_STATES: &str = "SELECT user_id, status FROM assessment_sessions
 TABLESAMPLE SYSTEM ((SELECT LEAST(100, 2000000 / GREATEST(reltuples, 1))
                      FROM pg_class WHERE oid = 'assessment_sessions'::regclass)) REPEATABLE (42)
 ORDER BY md5(id::text) LIMIT 1000";

/// What RuleIQ reads from its database.
pub fn ruleiq_cases() -> Vec<DatabaseCase> {
    vec![
        DatabaseCase {
            name: "simple_select",
            about: "One user by key.",
            statement: SIMPLE_SELECT,
            keys: Some(USERS),
            rows: 1..=1,
            echo: Some(0),
            latency_p95_us: Some((5_000.0, 10_000.0)),
        },
        DatabaseCase {
            name: "complex_join",
            about: "One assessment with its business, questions and answers, from five tables.",
            statement: COMPLEX_JOIN,
            keys: Some(ASSESSMENTS),
            rows: 1..=10_000,
            echo: Some(0),
            latency_p95_us: Some((50_000.0, 100_000.0)),
        },
        DatabaseCase {
            name: "aggregation",
            about: "How many of a user's questions are answered, by the state of the assessment.",
            statement: AGGREGATION,
            keys: Some(BUSY_USERS),
            rows: 1..=4,
            echo: Some(0),
            latency_p95_us: None,
        },
        DatabaseCase {
            name: "indexed_search",
            about: "The first page of a user's assessments in one state, newest first.",
            statement: INDEXED_SEARCH,
            keys: Some(USERS_AND_STATES),
            rows: 1..=21,
            echo: Some(0),
            latency_p95_us: None,
        },
    ]
}
