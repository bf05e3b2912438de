//! Whether answers that were posted have been stored.

use std::net::SocketAddr;

use ruleiq_bench::Fault;
use serde_json::Value;

use super::asked::Request;
use crate::http_server;

const SUFFIX: &str = "/responses";

/// Reads an assessment's answers from the database, through the API.
pub(super) struct ReadBack {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    /// `question_id` and `answer`, as they are sent.
    sent: Vec<Value>,
}

impl ReadBack {
    /// For a request that posts answers; none for others.
    pub(super) fn of(request: &Request, address: SocketAddr) -> Option<ReadBack> {
        let body: Value = serde_json::from_str(request.body.as_ref()?).ok()?;
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| name == "authorization");
        headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
        Some(ReadBack {
            address,
            path: request.path.strip_suffix(SUFFIX)?.to_owned(),
            headers,
            sent: body["responses"].as_array()?.clone(),
        })
    }

    /// The questions with their answers, as they are now.
    pub(super) async fn read(&self) -> Result<Value, Fault> {
        let fetched = http_server::fetch(self.address, &self.path, &self.headers).await?;
        if fetched.status != 200 {
            let (path, status) = (&self.path, fetched.status);
            return Err(Fault::Wrong(format!("`{path}` answers {status}")));
        }
        let detail: Value = serde_json::from_slice(&fetched.body)
            .map_err(|it| Fault::Wrong(format!("`{}` answers without JSON: {it}", self.path)))?;
        Ok(detail["questions"].clone())
    }

    /// An error unless all that is sent is stored, and was stored since `before`.
    pub(super) fn judge(&self, before: &Value, after: &Value) -> Result<(), Fault> {
        let of = |questions: &Value, id: &Value| {
            let mut questions = questions.as_array().into_iter().flatten();
            questions.find(|it| it["id"] == *id).cloned()
        };
        for sent in &self.sent {
            let id = &sent["question_id"];
            let (then, now) = (of(before, id), of(after, id));
            let is_stored = now
                .as_ref()
                .is_some_and(|it| it["answer"] == sent["answer"]);
            let moment = |it: Option<Value>| it.map(|it| it["answered_at"].clone());
            if !is_stored || moment(then) == moment(now) {
                let path = &self.path;
                return Err(Fault::Wrong(format!(
                    "the answer to question {id} of `{path}` was not stored"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_stored_if_it_is_the_one_sent_and_new() {
        let back = ReadBack {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            path: String::new(),
            headers: Vec::new(),
            sent: vec![json!({ "question_id": "a", "answer": 1 })],
        };
        let at = |answer: u32, moment: &str| json!([{ "id": "a", "answer": answer, "answered_at": moment }]);
        assert_eq!(back.judge(&at(1, "then"), &at(1, "now")), Ok(()));
        assert!(back.judge(&at(1, "then"), &at(1, "then")).is_err());
        assert!(back.judge(&at(1, "then"), &at(2, "now")).is_err());
        assert!(back.judge(&json!([]), &json!([])).is_err());
    }
}
