//! What an answer has to be.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::Fault;

/// What an answer has to be. What is `None` is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expectation {
    /// The status code. Another one is an error.
    pub status: u16,
    /// The body's length in bytes, of every answer. Another one is a wrong answer.
    pub body_length: Option<u64>,
    /// The body's [`Expectation::hash`], of one answer in 64. Another one is a wrong answer.
    pub body_hash: Option<u64>,
}

/// What came.
pub(super) struct Answer {
    status: u16,
    length: u64,
    hash: Option<Xxh3>,
}

impl Expectation {
    /// This status and any body.
    pub fn status(status: u16) -> Expectation {
        Expectation {
            status,
            body_length: None,
            body_hash: None,
        }
    }

    /// This status and this body.
    pub fn body(status: u16, body: &[u8]) -> Expectation {
        Expectation {
            status,
            body_length: Some(body.len() as u64),
            body_hash: Some(Expectation::hash(body)),
        }
    }

    /// XXH3 (64 bits) of a body.
    pub fn hash(body: &[u8]) -> u64 {
        xxh3_64(body)
    }

    pub(super) fn judge(&self, answer: &Answer) -> Result<(), Fault> {
        let Answer { status, length, .. } = *answer;
        if status != self.status {
            let wanted = self.status;
            return Err(Fault::Failed(format!(
                "status {status} in place of {wanted}"
            )));
        }
        if let Some(wanted) = self.body_length.filter(|it| *it != length) {
            return Err(Fault::Wrong(format!(
                "a body of {length} bytes in place of {wanted}"
            )));
        }
        let hash = answer.hash.as_ref().map(Xxh3::digest);
        match (self.body_hash, hash) {
            (Some(wanted), Some(hash)) if wanted != hash => Err(Fault::Wrong(format!(
                "a body of {length} bytes with the hash {hash:016x} in place of {wanted:016x}"
            ))),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// An answer whose body is still to come, and is looked at byte by byte if `in_full`.
    pub(super) fn new(status: u16, in_full: bool) -> Answer {
        Answer {
            status,
            length: 0,
            hash: in_full.then(Xxh3::new),
        }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &[u8], in_full: bool) -> Answer {
        let mut answer = Answer::new(status, in_full);
        for piece in body.chunks(2) {
            answer.take(piece);
        }
        answer
    }

    #[test]
    fn an_answer_is_judged_by_status_length_and_hash() {
        let expect = Expectation::body(200, b"hello");
        let judge = |status, body, in_full| expect.judge(&answer(status, body, in_full));
        assert_eq!(judge(200, b"hello".as_slice(), true), Ok(()));
        assert!(matches!(judge(503, b"hello", true), Err(Fault::Failed(_))));
        assert!(matches!(judge(200, b"hell", false), Err(Fault::Wrong(_))));
        assert!(matches!(judge(200, b"jello", true), Err(Fault::Wrong(_))));
        assert_eq!(judge(200, b"jello", false), Ok(()));
    }

    #[test]
    fn what_is_not_expected_is_not_looked_at() {
        let expect = Expectation::status(404);
        assert_eq!(expect.judge(&answer(404, b"no such page", true)), Ok(()));
    }
}
