use ruleiq_query::Fingerprint;

use super::*;

fn check(sql: &str, expected: impl Into<Option<&'static str>>) {
    let normalized = Fingerprint::normalized(sql);
    let statement = Statement::read(&normalized);
    let found = batched(&statement, statement.verb());
    assert_eq!(found.as_deref(), expected.into(), "{sql}");
}

#[test]
fn a_read_by_key_is_a_read_by_all_keys() {
    check(
        "SELECT id, name FROM users WHERE id = $1",
        "select id, name from users where id = any(?)",
    );
    check(
        "SELECT * FROM posts p JOIN users u ON u.id = p.author \
         WHERE p.author = $1 AND p.at > $2 ORDER BY p.at",
        "select * from posts p join users u on u.id = p.author \
         where p.author = any(?) and p.at > ? order by p.at",
    );
    check(
        "SELECT n FROM t WHERE id = $1::uuid FOR UPDATE",
        "select n from t where id = any(?::uuid[]) for update",
    );
    check(
        r#"SELECT n FROM "Odd t" WHERE "Odd t"."a b" = $1"#,
        r#"select n from "Odd t" where "Odd t"."a b" = any(?)"#,
    );
    check(
        "SELECT n FROM t WHERE a = $1 AND n BETWEEN $2 AND $3 AND b = $4",
        "select n from t where (a, b) in (select * from unnest(?::…[], ?::…[])) \
         and n between ? and ?",
    );
}

#[test]
fn what_is_per_key_is_asked_for_each() {
    check(
        "SELECT at FROM posts WHERE author = $1 ORDER BY at DESC LIMIT 1",
        "select given.*, found.* from unnest(?::…[]) as given (author) cross join lateral \
         (select at from posts where author = given.author order by at desc limit ?) as found",
    );
    check(
        "SELECT count(*) FROM posts p WHERE p.author = $1::uuid AND hidden",
        "select given.*, found.* from unnest(?::uuid[]) as given (author) cross join lateral \
         (select count(*) from posts p where p.author = given.author and hidden) as found",
    );
}

#[test]
fn rows_that_are_written_one_by_one_are_written_at_once() {
    check(
        "INSERT INTO tags (post, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id",
        "insert into tags(post, name) select * from unnest(?::…[], ?::…[]) \
         on conflict do nothing returning id",
    );
    check(
        "UPDATE items SET position = $1, at = now() WHERE id = $2::uuid RETURNING id",
        "update items set position = given.position, at = now() \
         from unnest(?::…[], ?::uuid[]) as given (position, id) \
         where items.id = given.id returning id",
    );
    check(
        "DELETE FROM items WHERE list = $1 AND id = $2",
        "delete from items where (list, id) in (select * from unnest(?::…[], ?::…[]))",
    );
}

#[test]
fn where_the_text_does_not_tell_there_is_no_form() {
    for sql in [
        "SELECT * FROM t",
        "SELECT * FROM t WHERE a > $1",
        "SELECT * FROM t WHERE a = $1 OR b = $2",
        "SELECT * FROM t WHERE id IN ($1)",
        "SELECT * FROM t WHERE lower(a) = $1",
        "SELECT * FROM t WHERE a = $1 UNION SELECT * FROM u",
        "SELECT count(*) FROM t, u WHERE t.id = $1 AND u.id = $2",
        "INSERT INTO t VALUES ($1)",
        "INSERT INTO t (a, b) VALUES ($1, now())",
        "INSERT INTO t (a) VALUES ($1), ($2)",
        "INSERT INTO t (a) SELECT $1",
        "UPDATE t SET a = $1",
        "UPDATE t SET a = $1 WHERE b > $2",
        "UPDATE t SET a = $1 FROM u WHERE t.id = $2",
        "UPDATE t SET a = $1 WHERE a = $2",
        "MERGE INTO t USING u ON t.id = $1 WHEN MATCHED THEN DELETE",
        "SELECT nextval('s')",
        "",
    ] {
        check(sql, None);
    }
}
