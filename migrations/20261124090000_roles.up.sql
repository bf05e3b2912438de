-- The two roles that the application uses besides the owner, who runs this.
-- Roles belong to the whole server, so they may be there already, and other databases may be
-- making them at this moment. They are groups without a password: the operator grants them to the
-- logins of the application and of its monitoring, or gives them a login and a password.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['ruleiq_app', 'ruleiq_monitor'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role "%" does not exist and "%" may not create it', wanted, current_user
                    USING HINT = format('As a superuser, run: CREATE ROLE %I NOLOGIN;', wanted);
        END;
    END LOOP;
END
$$;

-- Statistics of other roles' statements are for the monitor alone. Without the right to grant
-- them the application works all the same; `ruleiq-server check` says what is missing.
DO $$
BEGIN
    GRANT pg_monitor TO ruleiq_monitor;
EXCEPTION
    WHEN insufficient_privilege OR object_in_use OR unique_violation THEN
        RAISE NOTICE 'could not grant pg_monitor to ruleiq_monitor: %', SQLERRM;
    WHEN internal_error THEN
        -- "tuple concurrently updated": another database of this server grants it just now.
        RAISE NOTICE 'could not grant pg_monitor to ruleiq_monitor: %', SQLERRM;
END
$$;

DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
EXCEPTION
    WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
        RAISE NOTICE 'could not create pg_stat_statements: %', SQLERRM;
END
$$;

GRANT USAGE ON SCHEMA public TO ruleiq_app, ruleiq_monitor;
-- Readiness compares the applied migrations with those that the binary knows.
GRANT SELECT ON _sqlx_migrations TO ruleiq_app, ruleiq_monitor;
