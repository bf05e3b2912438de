//! RuleIQ's schema with few indexes, and rows in it.

use ruleiq_bench::Fault;
use ruleiq_migrator::{Migrator, Ownership, Target};
use serde::Serialize;

use crate::{
    Env,
    postgres::{OwnedDatabase, connect, within},
};

/// Migrations up to which a database is brought.
#[derive(Clone, Copy, Debug)]
pub(super) enum UpTo {
    /// The tables with their keys.
    Schema,
    /// The indexes of the performance guide besides.
    GuideIndexes,
}

/// What the databases of all sides are filled with.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Filled {
    /// Half as many businesses, and a twentieth as many users.
    assessments: u32,
}

impl UpTo {
    pub(super) fn version(self) -> i64 {
        match self {
            UpTo::Schema => 20_261_124_090_100,
            UpTo::GuideIndexes => 20_261_124_090_200,
        }
    }
}

impl Filled {
    pub(super) fn new(assessments: u32) -> Filled {
        Filled { assessments }
    }

    /// Makes a database with these rows.
    pub(super) async fn create(&self, env: &Env, up_to: UpTo) -> Result<OwnedDatabase, Fault> {
        let create = async {
            let database = OwnedDatabase::create(env.owner_url()?).await?;
            let (migrator, url) = (Migrator::embedded(), database.url());
            migrator.up(url).await.map_err(Fault::failed)?;
            let target = Target::To(up_to.version());
            let ownership = Ownership::default();
            let reverted = migrator.down(url, target, &ownership).await;
            reverted.map_err(Fault::failed)?;
            let owner = connect(url).await?;
            for statement in [self.rows().as_str(), "VACUUM (ANALYZE)"] {
                owner
                    .batch_execute(statement)
                    .await
                    .map_err(Fault::failed)?;
            }
            Ok(database)
        };
        within("making a database", create).await
    }

    /// Few are archived, each user and each business has some assessments, and no two began at the
    /// same moment.
    fn rows(&self) -> String {
        let assessments = self.assessments;
        let (profiles, users) = (assessments / 2, assessments / 20);
        format!(
            "INSERT INTO users (id, email, full_name, password_hash)
             SELECT md5('user' || n)::uuid, n || '@example.com', 'User ' || n, '!'
             FROM generate_series(1, {users}) n;
             INSERT INTO business_profiles (id, user_id, name, industry, country, employee_count)
             SELECT md5('business' || n)::uuid, md5('user' || 1 + n % {users})::uuid,
                    'Business ' || n, 'Industry ' || n % 20, 'GB', n
             FROM generate_series(1, {profiles}) n;
             INSERT INTO compliance_frameworks (id, code, name, version, description)
             SELECT md5('framework' || n)::uuid, 'F' || n, 'Framework ' || n, '1', ''
             FROM generate_series(1, 5) n;
             INSERT INTO assessment_sessions
                 (id, user_id, business_profile_id, status, created_at, updated_at, completed_at)
             SELECT md5('assessment' || n)::uuid, md5('user' || 1 + n * 7 % {users})::uuid,
                    md5('business' || 1 + n * 3 % {profiles})::uuid, status, began, began,
                    CASE WHEN status IN ('completed', 'archived') THEN began END
             FROM generate_series(1, {assessments}) n,
                  LATERAL (SELECT '2025-01-01T00:00:00Z'::timestamptz + n * interval '1 minute',
                                  CASE WHEN n % 100 = 0 THEN 'archived' WHEN n % 3 = 0 THEN 'draft'
                                       WHEN n % 3 = 1 THEN 'in_progress' ELSE 'completed' END)
                  AS made (began, status);
             INSERT INTO assessment_questions
                 (id, session_id, framework_id, code, title, position)
             SELECT md5('question' || n)::uuid, md5('assessment' || n)::uuid,
                    md5('framework' || 1 + n % 5)::uuid, 'C' || n, 'Question ' || n, 1
             FROM generate_series(1, {assessments}) n;"
        )
    }
}
