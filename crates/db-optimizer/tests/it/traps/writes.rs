//! What an index costs those who write.

use super::{NONE, advice, advise, indexes, options, prepared};

const PAGES: &str = "
    CREATE TABLE pages (id int PRIMARY KEY, hits int, note text);
    INSERT INTO pages SELECT i, i * 7919 % 20000, repeat('x', 80) FROM generate_series(1, 20000) i;";
const TOP: &str = "-- name: top weight: 10
    SELECT * FROM pages ORDER BY hits DESC LIMIT 10;";

#[tokio::test]
async fn a_column_that_is_written_all_the_time_gets_none() {
    let hot = format!(
        "{TOP}
        -- name: hit weight: 1e6
        UPDATE pages SET hits = hits + 1 WHERE id = 42;"
    );
    let cold = format!(
        "{TOP}
        -- name: hit weight: 10
        UPDATE pages SET hits = hits + 1 WHERE id = 42;"
    );
    let (_database, client) = prepared(PAGES).await;
    let of_hot = advice(&client, &hot, &options()).await;
    assert_eq!(indexes(&of_hot), NONE);
    let of_cold = advice(&client, &cold, &options()).await;
    assert_eq!(indexes(&of_cold), ["ON public.pages (hits)"]);
    assert!(of_cold.upkeep > 0.0, "{of_cold:?}");
    let mut unweighed = options();
    unweighed.entry_cost = 0.0;
    let unweighed = advice(&client, &hot, &unweighed).await;
    assert_eq!(indexes(&unweighed), ["ON public.pages (hits)"]);
}

#[tokio::test]
async fn an_update_of_another_column_costs_an_index_nothing() {
    let workload = format!(
        "{TOP}
        -- name: noted weight: 1e6
        UPDATE pages SET note = 'hits' WHERE id = 42;"
    );
    assert_eq!(advise(PAGES, &workload).await, ["ON public.pages (hits)"]);
}

#[tokio::test]
async fn a_table_that_is_only_written_gets_none() {
    let workload = "INSERT INTO pages VALUES ($1, $2, $3);
        INSERT INTO pages SELECT 1, 2, '3';";
    assert_eq!(advise(PAGES, workload).await, NONE);
}

#[tokio::test]
async fn a_write_that_looks_for_its_rows_is_served() {
    let workload = "DELETE FROM pages WHERE hits = 42;";
    assert_eq!(advise(PAGES, workload).await, ["ON public.pages (hits)"]);
}

/// The names are in capitals, and the columns in a list of their own.
#[tokio::test]
async fn a_list_of_written_columns_and_an_expression_over_one_count_too() {
    let workload = "-- name: top weight: 10
        SELECT * FROM pages ORDER BY hits DESC LIMIT 10;
        -- name: folded weight: 10
        SELECT * FROM pages WHERE lower(note) = 'y';
        -- name: hit weight: 1e6
        UPDATE Pages SET (Hits, NOTE) = (1, 'z') WHERE id = 42;";
    assert_eq!(advise(PAGES, workload).await, NONE);
}
