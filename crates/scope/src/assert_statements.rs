//! The assertion that a test makes about how many statements its code runs.

/// Runs a block and fails if it ran more statements than that: `max = n`, or another number:
/// `exact = n`.
///
/// It is the block's value, and belongs into an `async fn`. The block is an `async` block: `?` and
/// `return` leave the block alone. Counted is what is logged in a scope, so what runs through
/// `ruleiq-pools`: also `BEGIN` and `COMMIT`, in requests that the block sends to a service of its own
/// task, and not in tasks that it spawns outside of its scope.
///
/// ```
/// use ruleiq_scope::assert_statements;
///
/// # async fn dashboard() -> u32 { 7 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let open = assert_statements!(max = 4, { dashboard().await });
/// assert_eq!(open, 7);
/// # }
/// ```
///
/// # Panics
///
/// With a list of the statements, the lines that ran them and how often, where there were too many.
///
/// # Cancel safety
///
/// That of the block.
#[macro_export]
macro_rules! assert_statements {
    (max = $count:expr, $block:block $(,)?) => {
        $crate::assert_statements!(@ AtMost($count), $block)
    };
    (exact = $count:expr, $block:block $(,)?) => {
        $crate::assert_statements!(@ Exactly($count), $block)
    };
    (@ $limit:ident($count:expr), $block:block) => {{
        let counting = $crate::__macro::Counting::begin();
        let value = counting.run(async $block).await;
        counting.expect($crate::__macro::Limit::$limit($count));
        value
    }};
}
