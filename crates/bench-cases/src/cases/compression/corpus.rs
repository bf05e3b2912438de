//! What is compressed: answers like those of RuleIQ's lists, made at run time from a seed.

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::seeded::Seeded;

const VERBS: [&str; 12] = [
    "approve", "assess", "classify", "document", "encrypt", "log", "monitor", "notify", "review",
    "revoke", "test", "verify",
];
const THINGS: [&str; 24] = [
    "access rights",
    "backups",
    "breach procedures",
    "certificates",
    "consent records",
    "contracts",
    "cookies",
    "customer data",
    "disposal of media",
    "encryption keys",
    "endpoints",
    "guest networks",
    "incident reports",
    "mobile devices",
    "passwords",
    "patches",
    "personal data",
    "physical access",
    "privileged accounts",
    "retention periods",
    "risk registers",
    "source code",
    "supplier audits",
    "training records",
];
const WHO: [&str; 8] = [
    "the board",
    "the data protection officer",
    "each department",
    "external auditors",
    "line managers",
    "the security team",
    "a third party",
    "the system owner",
];
const WHEN: [&str; 8] = [
    "annually",
    "at least every quarter",
    "before go-live",
    "continuously",
    "on leaving",
    "upon change",
    "within 72 hours",
    "within 30 days",
];
const STATUSES: [&str; 4] = ["archived", "completed", "draft", "in_progress"];
const ANSWERS: [&str; 5] = ["yes", "no", "partly", "planned", "not applicable"];

/// `count` different bodies, each as long as whole items let it be within `size_bytes`.
pub(super) fn bodies(seed: u64, size_bytes: usize, count: usize) -> Vec<Bytes> {
    let mut draws = Seeded::new(seed, "corpus");
    (0..count).map(|_| body(&mut draws, size_bytes)).collect()
}

fn body(draws: &mut Seeded, size_bytes: usize) -> Bytes {
    let cursor = format!("{:016x}{:016x}", draws.next(), draws.next());
    let end = format!("],\"next\":\"{cursor}\"}}");
    let mut text = "{\"items\":[".to_owned();
    loop {
        let item = item(draws).to_string();
        // The first one stands, however short the body is to be.
        let is_first = text.ends_with('[');
        if !is_first && text.len() + 1 + item.len() + end.len() > size_bytes {
            break;
        }
        if !is_first {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push_str(&end);
    text.into()
}

/// A question of an assessment, with its answer.
fn item(draws: &mut Seeded) -> Value {
    let title = format!(
        "Does {} {} {} {}?",
        draws.pick(&WHO),
        draws.pick(&VERBS),
        draws.pick(&THINGS),
        draws.pick(&WHEN)
    );
    let note = format!(
        "{} must {} {} and {} {}.",
        draws.pick(&WHO),
        draws.pick(&VERBS),
        draws.pick(&THINGS),
        draws.pick(&VERBS),
        draws.pick(&THINGS)
    );
    json!({
        "id": uuid(draws),
        "assessment_id": uuid(draws),
        "code": format!("{}.{}.{}", 5 + draws.below(14), 1 + draws.below(9), 1 + draws.below(20)),
        "title": title,
        "status": draws.pick(&STATUSES),
        "answer": {"value": draws.pick(&ANSWERS), "note": note, "score": draws.below(101)},
        "position": draws.below(500),
        "answered_at": timestamp(draws),
    })
}

fn uuid(draws: &mut Seeded) -> Uuid {
    Uuid::from_u64_pair(draws.next(), draws.next())
}

fn timestamp(draws: &mut Seeded) -> String {
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        1 + draws.below(12),
        1 + draws.below(28),
        draws.below(24),
        draws.below(60),
        draws.below(60),
        draws.below(1_000_000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_their_size_and_the_same_for_the_same_seed() {
        for size_bytes in [1_500, 10_000, 100_000] {
            let made = bodies(42, size_bytes, 3);
            assert_eq!(made, bodies(42, size_bytes, 3));
            assert_ne!(made, bodies(43, size_bytes, 3));
            assert_ne!(made[0], made[1]);
            for body in &made {
                assert!(body.len() <= size_bytes && body.len() > size_bytes * 2 / 3);
                serde_json::from_slice::<Value>(body).unwrap();
            }
        }
    }

    #[test]
    fn it_shrinks_as_lists_of_an_api_do_and_not_as_repeated_phrases_do() {
        for body in bodies(42, 100_000, 3) {
            let encoded = zstd::bulk::compress(&body, 3).unwrap();
            let ratio = body.len() as f64 / encoded.len() as f64;
            assert!((2.0..6.0).contains(&ratio), "{ratio}");
        }
    }
}
