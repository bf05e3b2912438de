//! Sizes, against indexes that are built.

use super::*;

const SHOP: &str = "
    CREATE TABLE orders (id integer, customer_id integer, status text, note text, created_at timestamptz,
                         total integer, sku text, region character(4));
    INSERT INTO orders
    SELECT n, n % 10000, (ARRAY['new', 'open', 'paid', 'done'])[1 + n % 4], 'note number ' || n % 40,
           '2026-01-01'::timestamptz + n * interval '7 s', (n * 7919) % 4999, 'SKU-' || lpad((n % 5000)::text, 8, '0'),
           'R' || n % 500
    FROM generate_series(1, 100000) n ORDER BY md5(n::text)";

/// Asks for one index at a time, by a statement that wants it, and builds it.
#[tokio::test]
async fn an_index_takes_what_was_foreseen() {
    let (_database, client) = with_hypopg(SHOP).await;
    client.batch_execute("VACUUM ANALYZE orders").await.unwrap();
    let workloads = [
        "SELECT * FROM orders WHERE customer_id = 7",
        "SELECT * FROM orders WHERE created_at = '2026-01-02'",
        "SELECT * FROM orders WHERE customer_id = 7 AND total = 7 AND status = 'open' ORDER BY created_at LIMIT 1",
        "SELECT * FROM orders WHERE sku = 'SKU-00000007'",
        "SELECT total FROM orders WHERE customer_id = 7",
        "SELECT * FROM orders WHERE total = 7",
        "SELECT * FROM orders WHERE region = 'R7'",
        "SELECT * FROM orders WHERE id = 7",
        "SELECT * FROM orders WHERE status = 'open' AND created_at > '2026-01-09' ORDER BY created_at LIMIT 5",
        "SELECT count(*) FROM orders WHERE sku LIKE 'SKU-0000000%' AND total = 3",
    ];
    let mut checked = 0;
    for workload in workloads {
        let advice = advise(&client, workload).await.unwrap();
        for index in &advice.indexes {
            let sql = format!("CREATE INDEX built {}", index.definition.on_clause());
            client.batch_execute(&sql).await.unwrap();
            let row = client
                .query_one("SELECT pg_relation_size('built')", &[])
                .await
                .unwrap();
            let (real, foreseen): (i64, u64) = (row.get(0), index.size_bytes);
            client.batch_execute("DROP INDEX built").await.unwrap();
            let (real, foreseen) = (real as f64, foreseen as f64);
            let is_near = (foreseen - real).abs() <= 0.05 * real + 2.0 * 8192.0;
            assert!(is_near, "{sql}: {foreseen} foreseen, {real} built");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked} indexes");
}
