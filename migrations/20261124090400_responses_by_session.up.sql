-- no-transaction
-- The answers of one session: each request for an assessment reads them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_assessment_responses_session_id
    ON assessment_responses (session_id);
