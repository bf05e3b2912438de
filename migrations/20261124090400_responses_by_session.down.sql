-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_assessment_responses_session_id;
