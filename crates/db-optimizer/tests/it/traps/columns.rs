//! Columns that no btree holds, or that are worth none.

use super::{NONE, ORDERS, advise};

#[tokio::test]
async fn a_tiny_table_needs_no_index() {
    let schema = "CREATE TABLE tiny (a int, b text);
        INSERT INTO tiny SELECT i, 'x' FROM generate_series(1, 300) i;";
    assert_eq!(
        advise(schema, "SELECT * FROM tiny WHERE a = 42;").await,
        NONE
    );
}

#[tokio::test]
async fn a_column_that_is_always_the_same_finds_nothing() {
    let schema = "CREATE TABLE things (id int, state text, note text);
        INSERT INTO things SELECT i, 'on', repeat('x', 80) FROM generate_series(1, 20000) i;";
    let workload = "SELECT * FROM things WHERE state = 'on';
        SELECT * FROM things WHERE state = 'on' AND note <> 'y';";
    assert_eq!(advise(schema, workload).await, NONE);
}

#[tokio::test]
async fn a_column_that_follows_from_another_adds_nothing_to_it() {
    let schema = "CREATE TABLE homes (zip int, city int, note text);
        INSERT INTO homes SELECT i / 2, i / 200, repeat('x', 80) FROM generate_series(1, 20000) i;
        CREATE STATISTICS homes_place (dependencies) ON zip, city FROM homes;";
    let workload = "SELECT * FROM homes WHERE city = 2 AND zip = 42;";
    assert_eq!(advise(schema, workload).await, ["ON public.homes (zip)"]);
}

#[tokio::test]
async fn a_case_folded_name_is_an_expression() {
    let schema = "CREATE TABLE users (id int, email text, note text);
        INSERT INTO users SELECT i, 'User' || i || '@example.com', repeat('x', 80)
        FROM generate_series(1, 20000) i;
        CREATE INDEX ON users (email);";
    let workload = "SELECT * FROM users WHERE lower(email) = 'user7@example.com';";
    assert_eq!(
        advise(schema, workload).await,
        ["ON public.users ((lower(email)))"]
    );
}

#[tokio::test]
async fn an_expression_that_may_change_is_no_key() {
    let workload = "SELECT * FROM orders WHERE date_trunc('day', placed_at) = '2026-01-05';
        SELECT * FROM orders WHERE placed_at::date = '2026-01-05';";
    assert_eq!(advise(ORDERS, workload).await, NONE);
}

#[tokio::test]
async fn a_beginning_needs_a_class_of_operators_where_the_collation_is_not_c() {
    let schema = r#"CREATE TABLE names (spoken text COLLATE "en-x-icu", code text COLLATE "C", note text);
        INSERT INTO names SELECT 'name' || i, 'code' || i, repeat('x', 80)
        FROM generate_series(1, 20000) i;
        CREATE INDEX ON names (spoken);"#;
    let workload = "SELECT * FROM names WHERE spoken LIKE 'name123%';
        SELECT * FROM names WHERE code LIKE 'code123%';";
    assert_eq!(
        advise(schema, workload).await,
        [
            "ON public.names (code)",
            "ON public.names (spoken text_pattern_ops)"
        ]
    );
}

/// `ANALYZE` sees only what is short of the bodies, and what is stored elsewhere is in no index.
#[tokio::test]
async fn a_column_of_long_values_is_never_stored() {
    let schema = "CREATE TABLE posts (id int, author_id int, created_at timestamptz, title text, body text);
        INSERT INTO posts
        SELECT i, i % 500, '2026-01-01'::timestamptz + i * interval '1 minute', 'post ' || i,
               CASE i % 10 WHEN 0 THEN (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 200) n)
                    ELSE 'short' END
        FROM generate_series(1, 20000) i;";
    let workload =
        "SELECT id, title, body FROM posts WHERE author_id = 42 ORDER BY created_at DESC LIMIT 20;
        SELECT title, body FROM posts WHERE title = 'post 7';";
    assert_eq!(
        advise(schema, workload).await,
        [
            "ON public.posts (author_id, created_at)",
            "ON public.posts (title)"
        ]
    );
}

#[tokio::test]
async fn a_type_without_an_order_is_no_key() {
    let schema = "CREATE TABLE shapes (id int, place point, doc json, page xml);
        INSERT INTO shapes
        SELECT i, point(i, i), json_build_object('n', i, 'pad', repeat('x', 80)), NULL
        FROM generate_series(1, 20000) i;";
    let workload = "SELECT * FROM shapes WHERE place ~= point '(1,1)';
        SELECT * FROM shapes WHERE place <@ box '(0,0),(5,5)' ORDER BY place <-> point '(0,0)' LIMIT 5;
        SELECT * FROM shapes WHERE page IS NOT NULL AND doc IS NULL;";
    assert_eq!(advise(schema, workload).await, NONE);
}

/// A btree refuses a row of more than 2,704 bytes: the index could not be built.
#[tokio::test]
async fn a_column_too_wide_for_a_page_is_no_key() {
    let schema = "CREATE TABLE pages (id int, body text, inline text, note text);
        ALTER TABLE pages ALTER inline SET STORAGE PLAIN;
        INSERT INTO pages
        SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 100) j),
               (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 90) j),
               repeat('x', 80)
        FROM generate_series(1, 1000) i;";
    let workload = "SELECT id FROM pages WHERE body = 'a'; SELECT id FROM pages WHERE inline = 'a';
        SELECT id FROM pages ORDER BY body LIMIT 3; SELECT id, body FROM pages WHERE id = 7;";
    assert_eq!(advise(schema, workload).await, ["ON public.pages (id)"]);
}
