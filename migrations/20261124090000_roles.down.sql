-- The roles stay: other databases of the server may use them. So does the extension, which only a
-- superuser could create again.
REVOKE SELECT ON _sqlx_migrations FROM ruleiq_app, ruleiq_monitor;
REVOKE USAGE ON SCHEMA public FROM ruleiq_app, ruleiq_monitor;
