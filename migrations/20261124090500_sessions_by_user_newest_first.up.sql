-- no-transaction
-- A page of a user's assessments, by keyset cursor.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_assessment_sessions_user_id_created_at_id
    ON assessment_sessions (user_id, created_at DESC, id DESC);
