-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_assessment_questions_session_id_position;
