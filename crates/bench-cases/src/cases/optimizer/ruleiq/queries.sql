-- What RuleIQ asks of its database, over the demo seed.
--
-- A weight is how often a statement comes while 1,000 pages are shown: people read assessments and
-- answer questions, a tenth of the pages are lists, an administrator looks in now and then. Reports
-- come a few times, searches by text some dozens. Statements and their columns are those of
-- apps/server/src/store; those with the tag `report` are what compliance teams ask of such data.
-- Literals are keys and moments of the demo seed, which ends in June 2025: of a user with a thousand
-- assessments, of one with some dozens, and of one with two.

-- name: login weight: 40 tags: page
SELECT id, password_hash, is_admin FROM users WHERE email = 'user700@demo.ruleiq.example';

-- name: user weight: 60 tags: page
SELECT id, email, full_name, is_admin, created_at FROM users
WHERE id = '0185ab84-1c00-7000-9b21-896fb5b686ce';

-- name: frameworks weight: 50 tags: page
SELECT id, code, name, version, description,
       (SELECT count(*) FROM framework_controls WHERE framework_id = compliance_frameworks.id)
FROM compliance_frameworks ORDER BY name, version, id;

-- name: framework_controls weight: 30 tags: page
SELECT code, title, position FROM framework_controls
WHERE framework_id = '32f7755e-f8d2-80c8-85c1-b31edd8cae3e' ORDER BY position;

-- name: businesses weight: 60 tags: page
SELECT id, user_id, name, industry, country, employee_count, created_at, updated_at
FROM business_profiles WHERE user_id = '0185ab84-1c00-7000-9b21-896fb5b686ce'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: businesses_of_many weight: 20 tags: page
SELECT id, user_id, name, industry, country, employee_count, created_at, updated_at
FROM business_profiles WHERE user_id = '01856aa0-c800-7000-808b-5af501b77e52'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: business_locked weight: 15 tags: page
SELECT 1 FROM business_profiles
WHERE id = '01892a0b-2200-7000-8f5e-29260099114b'
  AND user_id = '0185ab84-1c00-7000-9b21-896fb5b686ce' FOR KEY SHARE;

-- name: assessments weight: 70 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions WHERE user_id = '0185ab84-1c00-7000-9b21-896fb5b686ce'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessments_of_many weight: 30 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions WHERE user_id = '01856aa0-c800-7000-808b-5af501b77e52'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessments_next_page weight: 15 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions WHERE user_id = '01856aa0-c800-7000-808b-5af501b77e52'
  AND (created_at, id) < ('2024-12-15 18:11:31.2+00', '0193cb84-b100-7000-8d01-2fab0866256d')
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessments_in_progress weight: 35 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions
WHERE user_id = '01856e56-0000-7000-b86c-0f3362042ae2' AND status = 'in_progress'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessments_archived weight: 5 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions
WHERE user_id = '01856aa0-c800-7000-808b-5af501b77e52' AND status = 'archived'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessments_of_all weight: 12 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions ORDER BY created_at DESC, id DESC LIMIT 51;

-- name: assessments_of_all_next_page weight: 6 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions
WHERE (created_at, id) < ('2025-06-18 14:31:46.56+00', '01978373-fe80-7000-aeb6-e1d2a7414f23')
ORDER BY created_at DESC, id DESC LIMIT 51;

-- name: drafts_of_all weight: 6 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions WHERE status = 'draft'
ORDER BY created_at DESC, id DESC LIMIT 51;

-- name: assessments_of_business weight: 25 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions
WHERE business_profile_id = '01890a27-da00-7000-8385-7993bdd25803'
ORDER BY created_at DESC, id DESC LIMIT 21;

-- name: assessment weight: 250 tags: page
SELECT session.id, session.user_id, session.business_profile_id, session.status,
       session.created_at, session.updated_at, session.completed_at, profile.id, profile.user_id,
       profile.name, profile.industry, profile.country, profile.employee_count,
       profile.created_at, profile.updated_at
FROM assessment_sessions AS session
JOIN business_profiles AS profile ON profile.id = session.business_profile_id
WHERE session.id = '0192a8f0-ca80-7000-b4c5-200dcb4ffa08';

-- name: assessment_frameworks weight: 250 tags: page
SELECT framework.id, framework.code, framework.name, framework.version
FROM assessment_session_frameworks AS covered
JOIN compliance_frameworks AS framework ON framework.id = covered.framework_id
WHERE covered.session_id = '0192a8f0-ca80-7000-b4c5-200dcb4ffa08'
ORDER BY framework.name, framework.id;

-- name: assessment_questions weight: 250 tags: page
SELECT question.id, question.framework_id, question.code, question.title,
       question.position, response.answer, response.answered_at
FROM assessment_questions AS question
LEFT JOIN assessment_responses AS response
  ON response.question_id = question.id
 AND response.session_id = '0192a8f0-ca80-7000-b4c5-200dcb4ffa08'
WHERE question.session_id = '0192a8f0-ca80-7000-b4c5-200dcb4ffa08'
ORDER BY question.position, question.id;

-- name: assessment_alone weight: 60 tags: page
SELECT id, user_id, business_profile_id, status, created_at, updated_at, completed_at
FROM assessment_sessions WHERE id = '0195353b-5a80-7000-ab6c-30c8e3b03611';

-- name: assessment_locked weight: 90 tags: page
SELECT user_id, status FROM assessment_sessions
WHERE id = '0195353b-5a80-7000-ab6c-30c8e3b03611' FOR UPDATE;

-- name: foreign_questions weight: 80 tags: page
SELECT given.id
FROM unnest('{01945bda-0f00-7000-8000-000000000001,01945bda-0f00-7000-8000-000000000002}'::uuid[])
     AS given (id)
WHERE NOT EXISTS (
    SELECT FROM assessment_questions AS question
    WHERE question.id = given.id
      AND question.session_id = '0195353b-5a80-7000-ab6c-30c8e3b03611')
LIMIT 10;

-- name: unanswered weight: 20 tags: page
SELECT count(*) FROM assessment_questions AS question
WHERE question.session_id = '0196ab75-a100-7000-81fb-983f8076236c' AND NOT EXISTS (
    SELECT FROM assessment_responses AS response WHERE response.question_id = question.id);

-- name: dashboard weight: 40 tags: page
SELECT status, count(*), max(updated_at) FROM assessment_sessions
WHERE user_id = '01856aa0-c800-7000-808b-5af501b77e52' GROUP BY status;

-- name: token_family weight: 40 tags: page
SELECT pg_advisory_xact_lock(hashtextextended(family::text, 0)) FROM refresh_tokens
WHERE token_hash = sha256('token 700.5');

-- name: users_by_name weight: 8 tags: search
SELECT id, email, full_name FROM users WHERE lower(full_name) LIKE 'priya%'
ORDER BY lower(full_name), id LIMIT 20;

-- name: businesses_by_name weight: 20 tags: search
SELECT id, name, industry, country FROM business_profiles
WHERE lower(name) LIKE 'harbour fr%' ORDER BY lower(name), id LIMIT 20;

-- name: businesses_by_size weight: 4 tags: report
SELECT id, name, employee_count FROM business_profiles
WHERE country = 'DE' AND industry = 'Financial services' AND employee_count >= 250
ORDER BY employee_count DESC LIMIT 50;

-- name: stale_work weight: 6 tags: report
SELECT id, user_id, updated_at FROM assessment_sessions
WHERE status = 'in_progress' AND updated_at < '2024-03-01 00:00:00+00'
ORDER BY updated_at LIMIT 100;

-- name: old_drafts weight: 2 tags: report
SELECT id FROM assessment_sessions
WHERE status = 'draft' AND created_at < '2024-02-01 00:00:00+00';

-- name: completed_this_month weight: 6 tags: report
SELECT date_trunc('day', completed_at) AS day, count(*) FROM assessment_sessions
WHERE completed_at >= '2025-06-01 00:00:00+00' GROUP BY 1 ORDER BY 1;

-- name: last_completed_of_business weight: 10 tags: report
SELECT id, completed_at FROM assessment_sessions
WHERE business_profile_id = '01892a0b-2200-7000-8f5e-29260099114b' AND status = 'completed'
ORDER BY completed_at DESC LIMIT 1;

-- name: recent_answers weight: 10 tags: report
SELECT response.answered_at, response.answered_by, question.code, question.title
FROM assessment_responses AS response
JOIN assessment_questions AS question ON question.id = response.question_id
ORDER BY response.answered_at DESC LIMIT 50;

-- name: answers_of_user weight: 8 tags: report
SELECT date_trunc('day', answered_at) AS day, count(*) FROM assessment_responses
WHERE answered_by = '01856aa0-c800-7000-808b-5af501b77e52'
  AND answered_at >= '2025-06-01 00:00:00+00'
GROUP BY 1 ORDER BY 1;

-- name: gaps_of_framework weight: 2 tags: report
SELECT question.code, question.title, count(*) AS gaps
FROM assessment_questions AS question
JOIN assessment_responses AS response ON response.question_id = question.id
WHERE question.framework_id = '83e9f9bf-292b-8458-bb7e-4f79434f88b6'
  AND response.answer ->> 'value' = 'not_implemented'
  AND response.answered_at >= '2025-05-01 00:00:00+00'
GROUP BY question.code, question.title ORDER BY gaps DESC, question.code LIMIT 20;

-- name: gaps_this_week weight: 4 tags: report
SELECT count(*) FROM assessment_responses
WHERE answer ->> 'value' = 'not_implemented' AND answered_at >= '2025-06-18 00:00:00+00';

-- name: adoption weight: 2 tags: report
SELECT framework.code, count(*) FROM assessment_session_frameworks AS covered
JOIN compliance_frameworks AS framework ON framework.id = covered.framework_id
GROUP BY framework.code ORDER BY 2 DESC;

-- name: open_by_industry weight: 2 tags: report
SELECT profile.industry, count(*) FROM assessment_sessions AS session
JOIN business_profiles AS profile ON profile.id = session.business_profile_id
WHERE session.status = 'in_progress' AND session.created_at >= '2025-06-01 00:00:00+00'
GROUP BY profile.industry ORDER BY 2 DESC;

-- name: framework_in_work weight: 3 tags: report
SELECT session.id, session.updated_at FROM assessment_session_frameworks AS covered
JOIN assessment_sessions AS session ON session.id = covered.session_id
WHERE covered.framework_id = (SELECT id FROM compliance_frameworks WHERE code = 'eu-ai-act')
  AND session.status = 'in_progress'
ORDER BY session.updated_at DESC LIMIT 50;

-- name: new_business weight: 4 tags: write
INSERT INTO business_profiles (id, user_id, name, industry, country, employee_count)
VALUES ('01979fff-0000-7000-8000-000000000001', '0185ab84-1c00-7000-9b21-896fb5b686ce',
        'Severn Freight Ltd', 'Logistics', 'GB', 12);

-- name: new_assessment weight: 12 tags: write
INSERT INTO assessment_sessions (id, user_id, business_profile_id, status)
VALUES ('01979fff-0000-7000-8000-000000000002', '0185ab84-1c00-7000-9b21-896fb5b686ce',
        '01892a0b-2200-7000-8f5e-29260099114b', 'draft');

-- name: new_assessment_frameworks weight: 12 tags: write
INSERT INTO assessment_session_frameworks (session_id, framework_id)
SELECT '01979fff-0000-7000-8000-000000000002', id FROM compliance_frameworks
WHERE id = ANY ('{6da57a74-b8de-8e5b-a81f-52d6a1f008a0,83e9f9bf-292b-8458-bb7e-4f79434f88b6}');

-- name: new_questions weight: 12 tags: write
INSERT INTO assessment_questions (id, session_id, framework_id, code, title, position)
SELECT gen_random_uuid(), '01979fff-0000-7000-8000-000000000002',
       '83e9f9bf-292b-8458-bb7e-4f79434f88b6', 'CC' || n, 'Control ' || n, n
FROM generate_series(1, 10) AS n;

-- name: answers weight: 90 tags: write
INSERT INTO assessment_responses (question_id, session_id, answer, answered_by)
SELECT given.id, '0195353b-5a80-7000-ab6c-30c8e3b03611', '{"value": "implemented"}',
       '0185ab84-1c00-7000-9b21-896fb5b686ce'
FROM unnest('{01945bda-0f00-7000-8000-000000000001,01945bda-0f00-7000-8000-000000000002}'::uuid[])
     AS given (id)
ON CONFLICT (question_id) DO UPDATE
SET answer = excluded.answer, answered_by = excluded.answered_by, answered_at = now();

-- name: moved_on weight: 90 tags: write
UPDATE assessment_sessions SET status = 'in_progress', updated_at = now()
WHERE id = '0195353b-5a80-7000-ab6c-30c8e3b03611';

-- name: completed weight: 8 tags: write
UPDATE assessment_sessions SET status = 'completed', updated_at = now(), completed_at = now()
WHERE id = '0195353b-5a80-7000-ab6c-30c8e3b03611';

-- name: new_token weight: 60 tags: write
INSERT INTO refresh_tokens (token_hash, user_id, family, expires_at)
VALUES (sha256('a token'), '0185ab84-1c00-7000-9b21-896fb5b686ce', gen_random_uuid(), now());

-- name: spent_token weight: 40 tags: write
UPDATE refresh_tokens SET revoked_at = now()
WHERE token_hash = sha256('token 700.5') AND revoked_at IS NULL
  AND expires_at > '2025-06-24 00:00:00+00';

-- name: revoked_family weight: 4 tags: write
UPDATE refresh_tokens SET revoked_at = now()
WHERE revoked_at IS NULL
  AND family = (SELECT family FROM refresh_tokens WHERE token_hash = sha256('token 700.5'));

-- name: expired_tokens weight: 40 tags: write
DELETE FROM refresh_tokens
WHERE user_id = '0185ab84-1c00-7000-9b21-896fb5b686ce'
  AND expires_at <= '2025-06-24 00:00:00+00';

-- name: new_key weight: 30 tags: write
INSERT INTO idempotency_keys (user_id, key, request_hash, expires_at)
VALUES ('0185ab84-1c00-7000-9b21-896fb5b686ce', 'a key', sha256('a request'), now());

-- name: answered_key weight: 30 tags: write
UPDATE idempotency_keys SET response = '{}'
WHERE user_id = '0185ab84-1c00-7000-9b21-896fb5b686ce' AND key = 'a key';

-- name: expired_keys weight: 1 tags: write
DELETE FROM idempotency_keys WHERE expires_at <= '2025-06-24 00:10:00+00';
