use super::*;

/// The message and the source text that it points at.
#[track_caller]
fn refused(arguments: &str, item: &str) -> (String, String) {
    let error = expand(arguments.parse().unwrap(), item.parse().unwrap()).unwrap_err();
    let at = error.span().source_text().unwrap_or_default();
    (error.to_string(), at)
}

#[track_caller]
fn check(arguments: &str, item: &str, message: &str, at: &str) {
    assert_eq!(
        refused(arguments, item),
        (message.into(), at.into()),
        "for `#[measure_performance({arguments})] {item}`"
    );
}

#[test]
fn an_argument_that_is_not_known_is_pointed_at() {
    check(
        r#""a", metric = m"#,
        "fn f() {}",
        "unknown argument `metric`: there are a name, as in \
         `#[measure_performance(\"api.endpoint\")]`, and `metrics = ...`",
        "metric",
    );
    check(
        "1 + 1",
        "fn f() {}",
        "expected the operation's name as a string literal, or `metrics = ...`",
        "1 + 1",
    );
    check(
        r#""a", metrics = m, metrics = n"#,
        "fn f() {}",
        "`metrics` is given twice",
        "metrics",
    );
    check(r#""a" metrics = m"#, "fn f() {}", "expected `,`", "metrics");
}

#[test]
fn what_is_no_function_is_refused() {
    let message = "only functions and methods can be measured";
    check("", "struct Unit;", message, "struct Unit;");
    let message = "there is no body to measure: put the attribute on the implementations";
    check("", "fn f(&self);", message, "fn f(&self);");
}

#[test]
fn a_const_function_is_refused() {
    let message = "a `const fn` cannot read the clock: measure the function that calls it";
    check("", "const fn f() {}", message, "const");
}

#[test]
fn a_function_that_tells_its_callers_line_is_refused() {
    let message = "a measured function would lose its caller's line: measure what it calls";
    check("", "#[track_caller] fn f() {}", message, "#[track_caller]");
}

#[test]
fn a_function_that_never_returns_is_refused() {
    let message = "a function that never returns has no end to measure: measure its parts";
    check("", "fn f() -> ! { loop {} }", message, "!");
}

#[test]
fn a_function_that_only_makes_a_future_is_refused() {
    let message = "only the making of this future would be measured: write `async fn`, or \
                   measure an async function that it calls";
    for returned in [
        "impl Future<Output = u8> + Send",
        "impl std::future::Future<Output = u8>",
        "Pin<Box<dyn Future<Output = u8> + Send + '_>>",
        "::core::pin::Pin<Box<dyn ::core::future::Future<Output = u8>>>",
        "BoxFuture<'static, u8>",
        "LocalBoxFuture<'_, u8>",
    ] {
        check(
            "",
            &format!("fn f() -> {returned} {{ todo!() }}"),
            message,
            returned,
        );
    }
}

#[test]
fn what_merely_looks_like_a_future_is_measured() {
    for returned in [
        "Pin<Box<u8>>",
        "Box<dyn Fn() -> u8>",
        "Option<u8>",
        "impl Iterator<Item = u8>",
    ] {
        let item = format!("fn f() -> {returned} {{ make() }}");
        assert!(
            expand(TokenStream::new(), item.parse().unwrap()).is_ok(),
            "{returned}"
        );
    }
}

#[test]
fn an_opaque_type_is_left_to_inference_at_every_depth() {
    let check = |returned: &str, expect: &str| {
        let returned: Type = syn::parse_str(returned).unwrap();
        let expect: Type = syn::parse_str(expect).unwrap();
        let inferred = inferrable(&returned).into_token_stream().to_string();
        assert_eq!(inferred, expect.into_token_stream().to_string());
    };
    check("impl Iterator<Item = u8>", "_");
    check("Result<impl Iterator<Item = u8> + '_, E>", "Result<_, E>");
    check("(u8, Option<&impl Debug>)", "(u8, Option<&_>)");
    check("Result<Vec<u8>, E>", "Result<Vec<u8>, E>");
}
