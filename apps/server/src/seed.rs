//! What a database is filled with: the frameworks, and data to try things with.
//!
//! Each row is made of its scale and its number alone, so that every database that is seeded alike
//! holds the same, but for the moments at which the frameworks came.

mod assessments;
mod copy;
mod foreign_keys;
mod frameworks;
mod people;
mod progress;
mod random;
mod time;

use std::{borrow::Cow, str::FromStr};

use ruleiq_query::{Error, Queries};

use self::{
    copy::Rows, foreign_keys::ForeignKeys, frameworks::Framework, progress::Progress,
    random::Random,
};

pub(crate) use self::people::DEMO_EMAIL;

/// The questions of the smallest scale that a number names, for ten users.
const LEAST_QUESTIONS: u64 = 1_000;
/// Those of the largest: 100 times the demo data, some 40 GB.
const MOST_QUESTIONS: u64 = 100_000_000;
/// Ten assessments in a row have a hundred questions, so that this is the step of a scale.
const QUESTIONS_OF_TEN: u64 = 100;

/// How much there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scale {
    /// The frameworks and their controls alone, which every installation needs
    Frameworks,
    /// 100 users, 200 businesses, 1,000 assessments, 10,000 questions
    Small,
    /// 10,000 users, 20,000 businesses, 100,000 assessments, 1,000,000 questions
    Demo,
    /// So many questions, to the hundred, and everything else in the same proportion
    Questions(u64),
}

/// The word that names no scale.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{word}` is neither `frameworks`, `small` nor `demo`, nor a number of questions from \
     {LEAST_QUESTIONS} to {MOST_QUESTIONS}"
)]
pub(crate) struct NoScale {
    word: String,
}

/// What was found and done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Report {
    /// How many frameworks and controls were not as they should be.
    pub(crate) reference_rows: u64,
    /// Whether data to try things with were added; those that were there already stay.
    pub(crate) added: bool,
}

/// The numbers of a scale.
#[derive(Debug)]
struct Size {
    name: Cow<'static, str>,
    users: u64,
    profiles: u64,
    sessions: u64,
}

impl Scale {
    /// Whether people and passwords are made up, which production must not have.
    pub(crate) fn is_for_development(self) -> bool {
        self.size().is_some()
    }

    fn size(self) -> Option<Size> {
        match self {
            Scale::Frameworks => None,
            Scale::Small => Some(Size::SMALL),
            Scale::Demo => Some(Size::DEMO),
            Scale::Questions(questions) => Some(Size::of_questions(questions)),
        }
    }
}

impl FromStr for Scale {
    type Err = NoScale;

    fn from_str(word: &str) -> Result<Scale, NoScale> {
        let number = || {
            let questions = word.parse().ok()?;
            (LEAST_QUESTIONS..=MOST_QUESTIONS)
                .contains(&questions)
                .then_some(Scale::Questions(questions))
        };
        match word {
            "frameworks" => Some(Scale::Frameworks),
            "small" => Some(Scale::Small),
            "demo" => Some(Scale::Demo),
            _ => number(),
        }
        .ok_or_else(|| NoScale {
            word: word.to_owned(),
        })
    }
}

impl Size {
    const SMALL: Size = Size {
        name: Cow::Borrowed("small"),
        users: 100,
        profiles: 200,
        sessions: 1_000,
    };
    const DEMO: Size = Size {
        name: Cow::Borrowed("demo"),
        users: 10_000,
        profiles: 20_000,
        sessions: 100_000,
    };

    /// The size in which there are so many questions, to the hundred. Its rows are none of those of
    /// another size, so that a database may hold several.
    fn of_questions(questions: u64) -> Size {
        let tens = questions / QUESTIONS_OF_TEN;
        Size {
            name: format!("q{}", tens * QUESTIONS_OF_TEN).into(),
            users: tens,
            profiles: 2 * tens,
            sessions: 10 * tens,
        }
    }

    /// The random numbers of one row.
    fn random(&self, table: &str, n: u64) -> Random {
        Random::of(&[&self.name, table], n)
    }
}

/// Fills the database. Belongs into a transaction, so that either all of it is there or nothing.
///
/// # Errors
///
/// Those of the statements.
pub(crate) async fn fill(db: &impl Queries, scale: Scale) -> Result<Report, Error> {
    // One at a time: the second finds what the first has made.
    db.batch_execute(
        "SET LOCAL lock_timeout = '10min';
         SELECT pg_advisory_xact_lock(hashtextextended('ruleiq seed', 0))",
    )
    .await?;
    let mut all = frameworks::all();
    let changes = frameworks::load(db, &mut all).await?;
    let mut report = Report {
        reference_rows: changes.frameworks + changes.controls,
        added: false,
    };
    if let Some(size) = scale.size()
        && !is_filled(db, &size).await?
    {
        fill_with_people(db, &size).await?;
        fill_with_assessments(db, &size, &all).await?;
        report.added = true;
    }
    Ok(report)
}

/// Gives the demo user a password.
///
/// # Errors
///
/// Those of the statement.
pub(crate) async fn set_demo_password(db: &impl Queries, hash: &str) -> Result<(), Error> {
    db.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1",
        &[&people::demo_user(), &hash],
    )
    .await?;
    Ok(())
}

/// The tables that a scale fills, for statistics about them.
pub(crate) const VACUUM: &str = "VACUUM (ANALYZE) users, business_profiles, compliance_frameworks,
    framework_controls, assessment_sessions, assessment_session_frameworks, assessment_questions,
    assessment_responses";

async fn is_filled(db: &impl Queries, size: &Size) -> Result<bool, Error> {
    let row = db
        .query_one(
            "SELECT EXISTS (SELECT FROM business_profiles WHERE id = $1)",
            &[&people::profile_key(size, 0)],
        )
        .await?;
    Ok(row.get(0))
}

async fn fill_with_people(db: &impl Queries, size: &Size) -> Result<(), Error> {
    db.execute(
        "INSERT INTO users (id, email, full_name, password_hash, created_at, updated_at)
         VALUES ($1, $2, $3, $4, '2023-01-01T00:00:00Z', '2023-01-01T00:00:00Z')
         ON CONFLICT (id) DO NOTHING",
        &[
            &people::demo_user(),
            &DEMO_EMAIL,
            &people::DEMO_NAME,
            &people::NO_PASSWORD,
        ],
    )
    .await?;
    copy(
        db,
        "users",
        people::COPY_USERS,
        size.users - 1,
        |n, rows| {
            people::write_user(size, n + 1, rows);
        },
    )
    .await?;
    copy(
        db,
        "business_profiles",
        people::COPY_PROFILES,
        size.profiles,
        |n, rows| people::write_profile(size, n, rows),
    )
    .await
}

async fn fill_with_assessments(
    db: &impl Queries,
    size: &Size,
    all: &[Framework],
) -> Result<(), Error> {
    type Write = fn(&Size, &[Framework], u64, &mut Rows);
    let tables: [(_, _, Write); 4] = [
        (
            "assessment_sessions",
            assessments::COPY_SESSIONS,
            assessments::write_session,
        ),
        (
            "assessment_session_frameworks",
            assessments::COPY_FRAMEWORKS,
            assessments::write_frameworks,
        ),
        (
            "assessment_questions",
            assessments::COPY_QUESTIONS,
            assessments::write_questions,
        ),
        (
            "assessment_responses",
            assessments::COPY_RESPONSES,
            assessments::write_responses,
        ),
    ];
    let foreign_keys = ForeignKeys::take(db, &tables.map(|(table, ..)| table)).await?;
    for (table, sql, write) in tables {
        copy(db, table, sql, size.sessions, |n, rows| {
            write(size, all, n, rows)
        })
        .await?;
    }
    let count = foreign_keys.count();
    let progress = Progress::begin("foreign keys", count);
    foreign_keys.restore(db, || progress.advance(1)).await?;
    progress.finish(count, "keys");
    Ok(())
}

/// Streams the rows of so many units into a table.
async fn copy(
    db: &impl Queries,
    table: &'static str,
    sql: &'static str,
    units: u64,
    write: impl Fn(u64, &mut Rows) + Send,
) -> Result<(), Error> {
    let progress = Progress::begin(table, units);
    let chunks = copy::chunks(units, write, |sent| progress.advance(sent));
    let rows = db.copy_in(sql, chunks).await?;
    progress.finish(rows, "rows");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_word_or_a_sensible_number() {
        let check = |word: &str, expect: Option<Scale>| {
            assert_eq!(word.parse::<Scale>().ok(), expect, "{word}");
        };
        check("frameworks", Some(Scale::Frameworks));
        check("small", Some(Scale::Small));
        check("demo", Some(Scale::Demo));
        check("1000", Some(Scale::Questions(1_000)));
        check("100000000", Some(Scale::Questions(100_000_000)));
        for nonsense in [
            "",
            "0",
            "999",
            "100000001",
            "-1000",
            "1e6",
            "1_000",
            "large",
        ] {
            check(nonsense, None);
        }
        let error = "large".parse::<Scale>().unwrap_err().to_string();
        assert!(
            error.contains("`large`") && error.contains("from 1000 to"),
            "{error}"
        );
    }

    #[test]
    fn a_number_is_a_size_in_the_proportions_of_the_others() {
        for size in [Size::SMALL, Size::DEMO] {
            let same = Size::of_questions(10 * size.sessions);
            let numbers = |it: &Size| (it.users, it.profiles, it.sessions);
            assert_eq!(numbers(&same), numbers(&size), "{}", size.name);
            assert_ne!(same.name, size.name);
        }
        assert_eq!(Size::of_questions(1_234).sessions, 120);
        assert_eq!(
            Size::of_questions(1_234).name,
            Size::of_questions(1_299).name
        );
    }
}
