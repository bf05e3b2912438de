-- The best set that was found by hand for queries.sql within half of the size of the tables: candidates were
-- written by hand for each statement, and chosen, swapped and dropped by price. By their built sizes they take
-- 136.0 MB of 272.5 MB, and leave 0.51 % of what the plans cost with keys alone. Conditions on moments that
-- move on are left out, since such an index would have to be made anew every month. The collation is C, as the
-- benchmark's own server has it: elsewhere a search by prefix needs text_pattern_ops.
CREATE INDEX ON assessment_questions (session_id);
CREATE INDEX ON assessment_responses (answered_at DESC);
CREATE INDEX ON assessment_responses (answered_at) WHERE (answer ->> 'value') = 'not_implemented';
CREATE INDEX ON assessment_responses (answered_by, answered_at);
CREATE INDEX ON assessment_responses (session_id);
CREATE INDEX ON assessment_session_frameworks (framework_id, session_id);
CREATE INDEX ON assessment_sessions (business_profile_id, created_at DESC, id DESC) INCLUDE (user_id, status, updated_at, completed_at);
CREATE INDEX ON assessment_sessions (completed_at);
CREATE INDEX ON assessment_sessions (created_at DESC, id DESC);
CREATE INDEX ON assessment_sessions (created_at DESC, id DESC) WHERE status = 'draft';
CREATE INDEX ON assessment_sessions (created_at) INCLUDE (business_profile_id) WHERE status = 'in_progress';
CREATE INDEX ON assessment_sessions (created_at) WHERE status = 'draft';
CREATE INDEX ON assessment_sessions (status, updated_at DESC);
CREATE INDEX ON assessment_sessions (updated_at) WHERE status = 'in_progress';
CREATE INDEX ON assessment_sessions (user_id, created_at DESC, id DESC) INCLUDE (business_profile_id, status, updated_at, completed_at);
CREATE INDEX ON assessment_sessions (user_id, created_at DESC, id DESC) INCLUDE (business_profile_id, status, updated_at, completed_at) WHERE status = 'archived';
CREATE INDEX ON assessment_sessions (user_id, created_at DESC, id DESC) INCLUDE (business_profile_id, status, updated_at, completed_at) WHERE status = 'in_progress';
CREATE INDEX ON assessment_sessions (user_id, status) INCLUDE (updated_at);
CREATE INDEX ON business_profiles (country, industry, employee_count DESC) INCLUDE (id, name) WHERE employee_count >= 250;
CREATE INDEX ON business_profiles (id) INCLUDE (industry);
CREATE INDEX ON business_profiles (id) INCLUDE (user_id, name, industry, country, employee_count, created_at, updated_at);
CREATE INDEX ON business_profiles (lower(name), id) INCLUDE (name, industry, country);
CREATE INDEX ON business_profiles (user_id, created_at DESC, id DESC) INCLUDE (name, industry, country, employee_count, updated_at);
CREATE INDEX ON framework_controls (framework_id, position) INCLUDE (code, title);
CREATE INDEX ON idempotency_keys (expires_at);
CREATE INDEX ON refresh_tokens (family) WHERE revoked_at IS NULL;
CREATE INDEX ON refresh_tokens (user_id, expires_at);
CREATE INDEX ON users (email) INCLUDE (id, password_hash, is_admin);
CREATE INDEX ON users (id) INCLUDE (email, full_name, is_admin, created_at);
CREATE INDEX ON users (lower(full_name), id) INCLUDE (email, full_name);
