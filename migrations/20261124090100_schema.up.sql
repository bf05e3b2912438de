-- One row says that the database is ours: that this program created it or first filled it.
-- Whatever drops, seeds or migrates down looks for it.
CREATE TABLE ruleiq_marker (
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id            uuid        PRIMARY KEY,
    email         text        NOT NULL CHECK (email = lower(email) AND length(email) <= 254),
    full_name     text        NOT NULL CHECK (length(full_name) <= 200),
    password_hash text        NOT NULL,
    is_admin      boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_key UNIQUE (email)
);

-- A token is stored by its SHA-256, so that a copy of the table logs nobody in. All tokens that
-- descend from one login form a family, which is revoked as a whole when a spent one comes back.
CREATE TABLE refresh_tokens (
    token_hash bytea       PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    family     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE INDEX refresh_tokens_user_id_idx ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_family_idx ON refresh_tokens (family);

CREATE TABLE idempotency_keys (
    user_id      uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key          text        NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request_hash bytea       NOT NULL CHECK (length(request_hash) = 32),
    response     jsonb,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);

CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

CREATE TABLE business_profiles (
    id             uuid        PRIMARY KEY,
    user_id        uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    industry       text        NOT NULL CHECK (length(industry) BETWEEN 1 AND 100),
    country        text        NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    employee_count integer     NOT NULL CHECK (employee_count > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE compliance_frameworks (
    id          uuid        PRIMARY KEY,
    code        text        NOT NULL UNIQUE,
    name        text        NOT NULL,
    version     text        NOT NULL,
    description text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE framework_controls (
    framework_id uuid    NOT NULL REFERENCES compliance_frameworks (id) ON DELETE CASCADE,
    code         text    NOT NULL,
    title        text    NOT NULL,
    position     integer NOT NULL CHECK (position > 0),
    PRIMARY KEY (framework_id, code),
    UNIQUE (framework_id, position)
);

CREATE TABLE assessment_sessions (
    id                  uuid        PRIMARY KEY,
    user_id             uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    business_profile_id uuid        NOT NULL REFERENCES business_profiles (id) ON DELETE CASCADE,
    status              text        NOT NULL CHECK (status IN ('draft', 'in_progress', 'completed', 'archived')),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    completed_at        timestamptz,
    CHECK ((status IN ('completed', 'archived')) = (completed_at IS NOT NULL))
);

CREATE TABLE assessment_session_frameworks (
    session_id   uuid NOT NULL REFERENCES assessment_sessions (id) ON DELETE CASCADE,
    framework_id uuid NOT NULL REFERENCES compliance_frameworks (id),
    PRIMARY KEY (session_id, framework_id)
);

CREATE TABLE assessment_questions (
    id           uuid    PRIMARY KEY,
    session_id   uuid    NOT NULL REFERENCES assessment_sessions (id) ON DELETE CASCADE,
    framework_id uuid    NOT NULL REFERENCES compliance_frameworks (id),
    code         text    NOT NULL,
    title        text    NOT NULL,
    position     integer NOT NULL CHECK (position > 0)
);

-- The answer to a question; its session stands beside it so that a session is read by one key.
CREATE TABLE assessment_responses (
    question_id uuid        PRIMARY KEY REFERENCES assessment_questions (id) ON DELETE CASCADE,
    session_id  uuid        NOT NULL REFERENCES assessment_sessions (id) ON DELETE CASCADE,
    answer      jsonb       NOT NULL,
    answered_by uuid        NOT NULL REFERENCES users (id),
    answered_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    users, refresh_tokens, idempotency_keys, business_profiles, assessment_sessions,
    assessment_session_frameworks, assessment_questions, assessment_responses
    TO ruleiq_app;
GRANT SELECT ON ruleiq_marker, compliance_frameworks, framework_controls TO ruleiq_app;
