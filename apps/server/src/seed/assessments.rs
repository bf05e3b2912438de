//! Assessments, their questions and answers.
//!
//! An assessment is planned anew for each table that it has rows in, which is cheaper than to keep
//! a million questions.

use uuid::Uuid;

use super::{
    Size,
    copy::Rows,
    frameworks::{Control, Framework},
    people,
    random::{Random, index},
    time::{Span, Time},
};
use crate::store::assessments::Status;

pub(super) const COPY_SESSIONS: &str =
    "COPY assessment_sessions (id, user_id, business_profile_id, status, created_at, updated_at, completed_at)
     FROM STDIN (FORMAT binary)";
pub(super) const COPY_FRAMEWORKS: &str =
    "COPY assessment_session_frameworks (session_id, framework_id) FROM STDIN (FORMAT binary)";
pub(super) const COPY_QUESTIONS: &str =
    "COPY assessment_questions (id, session_id, framework_id, code, title, position)
     FROM STDIN (FORMAT binary)";
pub(super) const COPY_RESPONSES: &str =
    "COPY assessment_responses (question_id, session_id, answer, answered_by, answered_at)
     FROM STDIN (FORMAT binary)";

/// How many questions the assessments have: ten of them a hundred.
const SIZES: [u64; 10] = [3, 4, 5, 6, 7, 8, 10, 12, 17, 28];
const BEGIN: Span = Span::days(365);
const TAKES: Span = Span::days(540);
const STATUSES: &[(u64, Status)] = &[
    (58, Status::Completed),
    (22, Status::InProgress),
    (12, Status::Archived),
    (8, Status::Draft),
];
const ANSWERS: &[(u64, &str)] = &[
    (46, r#"{"value": "implemented"}"#),
    (
        12,
        r#"{"value": "implemented", "note": "Reviewed each quarter"}"#,
    ),
    (
        6,
        r#"{"value": "implemented", "note": "Evidence is in the register of controls"}"#,
    ),
    (14, r#"{"value": "partially_implemented"}"#),
    (
        5,
        r#"{"value": "partially_implemented", "note": "Not yet at all sites"}"#,
    ),
    (
        7,
        r#"{"value": "planned", "note": "Due in the next financial year"}"#,
    ),
    (6, r#"{"value": "not_implemented"}"#),
    (
        4,
        r#"{"value": "not_applicable", "note": "Outsourced to a certified provider"}"#,
    ),
];

/// One assessment, as its number has it.
struct Plan {
    key: Uuid,
    profile: u64,
    status: Status,
    created: Time,
    /// The frameworks that it covers, and how many questions each gives, from which control on.
    parts: Vec<Part>,
    answered: u64,
    random: Random,
}

struct Part {
    framework: usize,
    first: u64,
    questions: u64,
}

pub(super) fn write_session(size: &Size, all: &[Framework], n: u64, rows: &mut Rows) {
    let plan = Plan::new(size, all, n);
    let last = plan.answered_at(plan.answered);
    let closed = matches!(plan.status, Status::Completed | Status::Archived);
    rows.row(7)
        .uuid(plan.key)
        .uuid(plan.user(size))
        .uuid(people::profile_key(size, plan.profile))
        .text(plan.status.as_str())
        .time(plan.created)
        .time(last)
        .optional_time(closed.then_some(last));
}

pub(super) fn write_frameworks(size: &Size, all: &[Framework], n: u64, rows: &mut Rows) {
    let plan = Plan::new(size, all, n);
    for part in &plan.parts {
        rows.row(2).uuid(plan.key).uuid(all[part.framework].id);
    }
}

pub(super) fn write_questions(size: &Size, all: &[Framework], n: u64, rows: &mut Rows) {
    let mut plan = Plan::new(size, all, n);
    for (position, (framework, control)) in (1..).zip(plan.controls(all)) {
        rows.row(6)
            .uuid(plan.question(position))
            .uuid(plan.key)
            .uuid(framework)
            .text(control.code)
            .text(control.title)
            .integer(position.into());
    }
}

pub(super) fn write_responses(size: &Size, all: &[Framework], n: u64, rows: &mut Rows) {
    let mut plan = Plan::new(size, all, n);
    let user = plan.user(size);
    // The keys come first, from the same numbers as when the questions were written.
    let questions: Vec<Uuid> = (1..)
        .take(index(plan.answered))
        .map(|position| plan.question(position))
        .collect();
    for (question, nth) in questions.into_iter().zip(1..) {
        rows.row(5)
            .uuid(question)
            .uuid(plan.key)
            .jsonb(plan.random.weighted(ANSWERS))
            .uuid(user)
            .time(plan.answered_at(nth));
    }
}

impl Plan {
    fn new(size: &Size, all: &[Framework], n: u64) -> Plan {
        let mut random = size.random("sessions", n);
        let created = Time::EPOCH + BEGIN + TAKES.share(n, size.sessions);
        let key = random.key(created, 0);
        let profile = random.skewed(size.profiles);
        let status = random.weighted(STATUSES);
        let questions = questions_of(size, n);
        let parts = parts(all, questions, &mut random);
        let answered = match status {
            Status::Draft => 0,
            Status::InProgress => 1 + random.below(questions - 1),
            Status::Completed | Status::Archived => questions,
        };
        Plan {
            key,
            profile,
            status,
            created,
            parts,
            answered,
            random,
        }
    }

    fn user(&self, size: &Size) -> Uuid {
        people::user_key(size, people::owner_of(size, self.profile))
    }

    /// The key of the next question, which must be asked for in order.
    fn question(&mut self, position: u16) -> Uuid {
        self.random.key(self.created, position)
    }

    /// One answer takes the better part of an hour.
    fn answered_at(&self, nth: u64) -> Time {
        self.created + Span::minutes(47 * nth)
    }

    fn controls(&self, all: &[Framework]) -> Vec<(Uuid, Control)> {
        let of_part = |part: &Part| {
            let framework = &all[part.framework];
            let (id, controls) = (framework.id, &framework.controls);
            let range = part.first..part.first + part.questions;
            range.map(move |n| (id, controls[index(n) % controls.len()]))
        };
        self.parts.iter().flat_map(of_part).collect()
    }
}

/// The sizes of ten assessments in a row are all of [`SIZES`], begun at another one each time.
fn questions_of(size: &Size, n: u64) -> u64 {
    let (ten, within) = (n / 10, n % 10);
    let shift = size.random("sizes", ten).below(10);
    SIZES[index((within + shift) % 10)]
}

/// Spreads questions over frameworks: the best known are covered most, and every fourth assessment
/// covers more than one.
fn parts(all: &[Framework], questions: u64, random: &mut Random) -> Vec<Part> {
    let count = all.len() as u64;
    let mut framework = random.skewed(count);
    let limit = match random.below(4) {
        0 => questions.div_ceil(2),
        _ => questions,
    };
    let mut parts = Vec::new();
    let mut left = questions;
    while left > 0 {
        let controls = all[index(framework)].controls.len() as u64;
        let take = left.min(limit).min(controls);
        parts.push(Part {
            framework: index(framework),
            first: random.below(controls),
            questions: take,
        });
        left -= take;
        framework = (framework + 1) % count;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::seed::{Size, frameworks};

    #[test]
    fn a_thousand_assessments_have_ten_thousand_questions() {
        let (size, all) = (Size::SMALL, frameworks::all());
        let mut statuses = [0; 4];
        let mut questions = 0;
        for n in 0..size.sessions {
            let plan = Plan::new(&size, &all, n);
            let controls = plan.controls(&all);
            let distinct: HashSet<_> = controls.iter().map(|(id, it)| (id, it.code)).collect();
            assert_eq!(distinct.len(), controls.len(), "no question is asked twice");
            questions += controls.len();
            statuses[plan.status as usize] += 1;
        }
        assert_eq!(questions, 10_000);
        let [draft, in_progress, completed, archived] = statuses;
        assert!(completed > in_progress && in_progress > archived && archived > draft);
        assert!(draft > 0);
    }
}
