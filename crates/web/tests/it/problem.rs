use actix_web::{App, http::StatusCode, test, web};
use ruleiq_web::Problem;

use crate::answer::ask;

#[actix_web::test]
async fn a_handlers_problem_is_answered_as_problem_details() {
    let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_table", "no table `x`");
    assert_eq!(problem.to_string(), "no table `x`");
    assert_eq!(problem.code(), "unknown_table");

    let app = App::new().default_service(web::to(move || {
        let problem = problem.clone();
        async move { Err::<&str, _>(problem) }
    }));
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::get()).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.code(), "unknown_table");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expect = serde_json::json!({
        "type": "about:blank", "title": "Not Found", "status": 404,
        "code": "unknown_table", "detail": "no table `x`",
    });
    assert_eq!(body, expect);
}
