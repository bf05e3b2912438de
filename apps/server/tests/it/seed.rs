//! What `seed` makes.

use ruleiq_test_support::TestDatabase;

use crate::server::{PASSWORD, Server, json_of, problem_of, program, text};

const DEMO_EMAIL: &str = "demo@ruleiq.example";

/// Seeds in development, and answers what was printed.
async fn seed(database: &TestDatabase, scale: &str, password: Option<&str>) -> String {
    let mut command = program();
    command
        .args(["seed", "--scale", scale])
        .env("DATABASE_OWNER_URL", database.url())
        .env("RULEIQ_ENV", "development");
    if let Some(password) = password {
        command.env("RULEIQ_DEMO_PASSWORD", password);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn number(database: &TestDatabase, sql: &str) -> i64 {
    let row = database.client().await.query_one(sql, &[]).await.unwrap();
    row.get(0)
}

/// A digest of every row, but for the moments at which the frameworks came.
async fn checksum(database: &TestDatabase) -> Vec<String> {
    let client = database.client().await;
    let mut checksums = Vec::new();
    for table in [
        "users",
        "business_profiles",
        "(SELECT id, code, name, version, description FROM compliance_frameworks)",
        "framework_controls",
        "assessment_sessions",
        "assessment_session_frameworks",
        "assessment_questions",
        "assessment_responses",
    ] {
        let sql = format!(
            "SELECT format('%s rows, %s', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)))
             FROM {table} AS t"
        );
        checksums.push(client.query_one(&sql, &[]).await.unwrap().get(0));
    }
    checksums
}

#[tokio::test]
async fn two_databases_that_are_seeded_alike_hold_the_same() {
    let (one, other) = (
        TestDatabase::migrated().await,
        TestDatabase::migrated().await,
    );
    seed(&one, "small", None).await;
    seed(&other, "frameworks", None).await;
    seed(&other, "small", None).await;

    let checksums = checksum(&one).await;
    assert_eq!(checksums, checksum(&other).await);
    assert!(checksums[6].starts_with("10000 rows"), "{checksums:?}");
}

#[tokio::test]
async fn a_number_is_a_scale_of_so_many_questions_beside_which_another_fits() {
    let (one, other) = (
        TestDatabase::migrated().await,
        TestDatabase::migrated().await,
    );
    seed(&one, "1300", None).await;
    seed(&other, "1300", None).await;
    let checksums = checksum(&one).await;
    assert_eq!(checksums, checksum(&other).await);
    assert!(checksums[6].starts_with("1300 rows"), "{checksums:?}");

    assert!(
        seed(&one, "1300", None)
            .await
            .contains("were there already")
    );
    seed(&one, "2000", None).await;
    let questions = number(&one, "SELECT count(*) FROM assessment_questions").await;
    assert_eq!(questions, 3_300);
}

#[tokio::test]
async fn a_scale_of_nonsense_is_refused_before_anything_is_asked_of_the_database() {
    for (scale, said) in [("0", "`0` is neither"), ("huge", "`huge` is neither")] {
        let mut command = program();
        command.args(["seed", "--scale", scale]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(said),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn seeding_again_changes_nothing_and_says_so() {
    let database = TestDatabase::migrated().await;
    assert!(
        seed(&database, "small", None)
            .await
            .contains("the data are there")
    );
    let before = checksum(&database).await;

    let said = seed(&database, "small", None).await;

    assert!(said.contains("were there already"), "{said}");
    assert!(
        said.contains("the frameworks are as they should be"),
        "{said}"
    );
    assert_eq!(checksum(&database).await, before);
}

#[tokio::test]
async fn of_several_that_seed_at_once_one_does() {
    let database = TestDatabase::migrated().await;

    let all = (0..4).map(|_| seed(&database, "small", None));
    let said = futures_util::future::join_all(all).await;

    let did = said
        .iter()
        .filter(|it| it.contains("the data are there"))
        .count();
    assert_eq!(did, 1, "{said:?}");
    assert_eq!(
        number(&database, "SELECT count(*) FROM assessment_questions").await,
        10_000
    );
}

#[tokio::test]
async fn the_foreign_keys_are_back_and_hold() {
    let (seeded, bare) = (
        TestDatabase::migrated().await,
        TestDatabase::migrated().await,
    );
    seed(&seeded, "small", None).await;
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated";
    assert_eq!(number(&seeded, keys).await, number(&bare, keys).await);
}

#[tokio::test]
async fn what_is_seeded_hangs_together() {
    let database = TestDatabase::migrated().await;
    seed(&database, "small", None).await;
    for (what, sql) in [
        (
            "an assessment is about its user's business",
            "SELECT count(*) FROM assessment_sessions AS s
             JOIN business_profiles AS p ON p.id = business_profile_id WHERE p.user_id <> s.user_id",
        ),
        (
            "a question is of a framework that the assessment covers",
            "SELECT count(*) FROM assessment_questions WHERE (session_id, framework_id) NOT IN
             (SELECT session_id, framework_id FROM assessment_session_frameworks)",
        ),
        (
            "a question is a control of its framework",
            "SELECT count(*) FROM assessment_questions WHERE (framework_id, code, title) NOT IN
             (SELECT framework_id, code, title FROM framework_controls)",
        ),
        (
            "an answer is to a question of its assessment",
            "SELECT count(*) FROM assessment_responses WHERE (question_id, session_id) NOT IN
             (SELECT id, session_id FROM assessment_questions)",
        ),
        (
            "what is completed has all its answers, and a draft none",
            "SELECT count(*) FROM assessment_sessions AS s
             CROSS JOIN LATERAL (SELECT count(*) AS asked, count(r.question_id) AS answered
                 FROM assessment_questions AS q LEFT JOIN assessment_responses AS r ON r.question_id = q.id
                 WHERE q.session_id = s.id) AS n
             WHERE CASE status WHEN 'draft' THEN answered > 0
                 WHEN 'in_progress' THEN answered = 0 OR answered = asked
                 ELSE answered < asked END",
        ),
        (
            "nothing is older than what it belongs to",
            "SELECT count(*) FROM assessment_sessions AS s JOIN business_profiles AS p
             ON p.id = business_profile_id JOIN users AS u ON u.id = p.user_id
             WHERE NOT (u.created_at <= p.created_at AND p.created_at <= s.created_at
                 AND s.created_at <= s.updated_at)",
        ),
    ] {
        assert_eq!(number(&database, sql).await, 0, "{what}");
    }
}

#[tokio::test]
async fn frameworks_that_were_changed_are_brought_up_to_date_under_their_keys() {
    let database = TestDatabase::migrated().await;
    seed(&database, "frameworks", None).await;
    let before = checksum(&database).await;
    let client = database.client().await;
    client
        .batch_execute(
            "UPDATE compliance_frameworks SET name = 'Another' WHERE code = 'soc-2';
             UPDATE framework_controls SET title = 'Another' WHERE code = 'A.5.1';
             DELETE FROM framework_controls WHERE code = 'A.5.2';
             UPDATE framework_controls SET position = position + 1000 WHERE code LIKE 'A.6.%';
             INSERT INTO framework_controls
             SELECT id, 'X.1', 'Not of ours', 500 FROM compliance_frameworks WHERE code = 'nis2'",
        )
        .await
        .unwrap();

    let said = seed(&database, "frameworks", None).await;

    assert!(said.contains("up to date"), "{said}");
    assert_eq!(checksum(&database).await, before);
}

#[tokio::test]
async fn nobody_who_is_seeded_can_log_in_but_the_demo_user_with_a_password() {
    let database = TestDatabase::migrated().await;
    seed(&database, "small", None).await;
    let server = Server::start_on(database, &[]).await;
    for email in [DEMO_EMAIL, "user1@small.ruleiq.example"] {
        for password in [PASSWORD, "!"] {
            problem_of(server.try_login(email, password).await, 401, "login_failed").await;
        }
    }

    let said = seed(&server.database, "small", Some(PASSWORD)).await;

    assert!(
        said.contains(DEMO_EMAIL) && !said.contains(PASSWORD),
        "{said}"
    );
    let demo = server.login(DEMO_EMAIL).await;
    let page = json_of(server.get(&demo, "/api/v1/assessments?limit=1").await, 200).await;
    let detail = server.detail(&demo, &text(&page, "/items/0/id")).await;
    assert!(!detail["questions"].as_array().unwrap().is_empty());
    problem_of(
        server
            .try_login("user1@small.ruleiq.example", PASSWORD)
            .await,
        401,
        "login_failed",
    )
    .await;
}
