//! A few rows of each kind: 50 users, 100 businesses, 500 assessments, 5,000 questions.

use tokio_postgres::Client;

const ROWS: &str = "
INSERT INTO users (id, email, full_name, password_hash)
SELECT md5('user' || n)::uuid, n || '@example.com', 'User ' || n, '!' FROM generate_series(1, 50) n;
INSERT INTO business_profiles (id, user_id, name, industry, country, employee_count)
SELECT md5('business' || n)::uuid, md5('user' || 1 + n % 50)::uuid, 'Business ' || n, 'Retail', 'GB', n
FROM generate_series(1, 100) n;
INSERT INTO compliance_frameworks (id, code, name, version, description)
SELECT md5('framework' || n)::uuid, 'F' || n, 'Framework ' || n, '1', '' FROM generate_series(1, 3) n;
INSERT INTO framework_controls (framework_id, code, title, position)
SELECT md5('framework' || f)::uuid, 'C' || c, 'Control ' || c, c
FROM generate_series(1, 3) f, generate_series(1, 5) c;
INSERT INTO assessment_sessions (id, user_id, business_profile_id, status, created_at)
SELECT md5('assessment' || n)::uuid, md5('user' || 1 + n % 50)::uuid,
       md5('business' || 1 + n % 100)::uuid, CASE n % 2 WHEN 0 THEN 'draft' ELSE 'in_progress' END,
       now() - n * interval '1 hour'
FROM generate_series(1, 500) n;
INSERT INTO assessment_session_frameworks (session_id, framework_id)
SELECT id, md5('framework1')::uuid FROM assessment_sessions;
INSERT INTO assessment_questions (id, session_id, framework_id, code, title, position)
SELECT md5(session.id::text || n)::uuid, session.id, md5('framework1')::uuid, 'C' || n, 'Question ' || n, n
FROM assessment_sessions session, generate_series(1, 10) n;
INSERT INTO assessment_responses (question_id, session_id, answer, answered_by)
SELECT question.id, session.id, '{\"met\": true}', session.user_id
FROM assessment_questions question JOIN assessment_sessions session ON session.id = question.session_id
WHERE session.status = 'in_progress' AND question.position < 6;";

/// Fills a database that has the schema and nothing else.
pub(crate) async fn fill(owner: &Client) {
    owner.batch_execute(ROWS).await.unwrap();
    owner.batch_execute("VACUUM (ANALYZE)").await.unwrap();
}
