-- no-transaction
DROP INDEX CONCURRENTLY IF EXISTS idx_assessment_sessions_user_id_created_at_id;
