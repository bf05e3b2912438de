-- The indexes of the performance guide, apart from the schema, so that the optimizer can be shown
-- to find them on a database without.
CREATE INDEX idx_business_profiles_user_id ON business_profiles (user_id);
CREATE INDEX idx_assessment_sessions_user_id ON assessment_sessions (user_id);
CREATE INDEX idx_assessment_sessions_business_profile_id ON assessment_sessions (business_profile_id);
CREATE INDEX idx_assessment_sessions_status ON assessment_sessions (status);
CREATE INDEX idx_assessment_sessions_created_at ON assessment_sessions (created_at DESC);
CREATE INDEX idx_assessment_sessions_user_status ON assessment_sessions (user_id, status);
