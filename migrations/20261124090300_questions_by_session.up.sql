-- no-transaction
-- The questions of one session in their order: each request for an assessment reads them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_assessment_questions_session_id_position
    ON assessment_questions (session_id, position);
