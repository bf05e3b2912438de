//! What a client accepts: `Accept-Encoding`, RFC 9110 §12.5.3.
//!
//! Two rules fill what the RFC leaves open, both on the side of the client's refusals:
//!
//! - a coding that is listed twice counts with the lower of its q-values;
//! - a member that does not match the grammar is ignored, as if it were not there.

use crate::Coding;

/// What one request accepts.
///
/// Reading it allocates nothing and takes one pass over the header, however long that is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AcceptEncoding {
    brotli: Option<Quality>,
    zstd: Option<Quality>,
    gzip: Option<Quality>,
    identity: Option<Quality>,
    others: Option<Quality>,
}

/// The codings that a client likes best; none of them is `identity`.
#[derive(Clone, Copy, Debug)]
pub struct Preferred {
    codings: [Coding; Coding::ALL.len()],
    count: usize,
}

/// The client refuses every coding on offer, and no coding as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`identity` is refused, and none of the codings on offer is accepted")]
pub struct NotAcceptable;

/// A q-value in thousandths; 0 is a refusal.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Quality(u16);

impl AcceptEncoding {
    /// Reads the values of all `Accept-Encoding` lines of a request; none, if it has no such line.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> AcceptEncoding {
        let mut accepts = AcceptEncoding::default();
        for line in lines {
            for member in line.split(|byte| *byte == b',') {
                accepts.add(member);
            }
        }
        accepts
    }

    /// Picks among the codings on offer, which stand in the order that breaks ties.
    ///
    /// `None` is `identity`: it is picked when no coding on offer is accepted, or when the client
    /// gives it a higher q-value than to any of them. A client that says nothing gets it too: it
    /// would have to take any coding, yet is most likely one that knows none.
    ///
    /// # Errors
    ///
    /// When that leaves nothing to pick.
    pub fn negotiate(&self, offered: &[Coding]) -> Result<Option<Coding>, NotAcceptable> {
        Ok(self.preferred(offered)?.as_slice().first().copied())
    }

    /// The same, with all codings on offer that the client likes as much as the one that is picked, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`negotiate`](AcceptEncoding::negotiate).
    pub fn preferred(&self, offered: &[Coding]) -> Result<Preferred, NotAcceptable> {
        let quality = |coding| self.quality(coding).unwrap_or(Quality::REFUSED);
        let best = offered.iter().map(|it| quality(*it)).max();
        let best = best.filter(|it| *it > Quality::REFUSED);
        match (best, self.identity.or(self.others)) {
            (None, Some(Quality::REFUSED)) => Err(NotAcceptable),
            (Some(best), identity) if identity.is_none_or(|it| it <= best) => {
                let mut preferred = Preferred::NONE;
                for coding in offered.iter().filter(|it| quality(**it) == best) {
                    preferred.add(*coding);
                }
                Ok(preferred)
            }
            _ => Ok(Preferred::NONE),
        }
    }

    /// Whether a response without a content coding is acceptable.
    pub fn accepts_identity(&self) -> bool {
        self.identity.or(self.others) != Some(Quality::REFUSED)
    }

    fn quality(&self, coding: Coding) -> Option<Quality> {
        match coding {
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
            Coding::Gzip => self.gzip,
        }
        .or(self.others)
    }

    fn add(&mut self, member: &[u8]) {
        let (name, quality) = match member.iter().position(|byte| *byte == b';') {
            None => (member, Some(Quality::FULL)),
            Some(at) => (&member[..at], Quality::parse_weight(&member[at + 1..])),
        };
        let Some(quality) = quality else { return };
        if let Some(slot) = self.slot(trim(name)) {
            *slot = Some(slot.map_or(quality, |before| before.min(quality)));
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<Quality>> {
        let is = |token: &str| name.eq_ignore_ascii_case(token.as_bytes());
        if is("br") {
            Some(&mut self.brotli)
        } else if is("zstd") {
            Some(&mut self.zstd)
        } else if is("gzip") || is("x-gzip") {
            // RFC 9110 §8.4.1.3: the two are equivalent.
            Some(&mut self.gzip)
        } else if is("identity") {
            Some(&mut self.identity)
        } else if is("*") {
            Some(&mut self.others)
        } else {
            None
        }
    }
}

impl Preferred {
    const NONE: Preferred = Preferred {
        codings: Coding::ALL,
        count: 0,
    };

    /// All of them, in the order in which they were offered.
    pub fn as_slice(&self) -> &[Coding] {
        &self.codings[..self.count]
    }

    /// One that is there already stays where it is.
    fn add(&mut self, coding: Coding) {
        if !self.as_slice().contains(&coding) {
            self.codings[self.count] = coding;
            self.count += 1;
        }
    }
}

impl Default for Preferred {
    fn default() -> Preferred {
        Preferred::NONE
    }
}

impl Quality {
    const REFUSED: Quality = Quality(0);
    const FULL: Quality = Quality(1000);

    /// Reads what follows the semicolon of a `weight`, RFC 9110 §12.4.2.
    fn parse_weight(text: &[u8]) -> Option<Quality> {
        match trim(text) {
            [b'q' | b'Q', b'=', value @ ..] => Quality::parse(value),
            _ => None,
        }
    }

    /// Reads a `qvalue`: 0 to 1 with at most three decimals.
    fn parse(text: &[u8]) -> Option<Quality> {
        let (whole, decimals) = match text {
            [whole] => (whole, &[][..]),
            [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
            _ => return None,
        };
        let mut thousandths = 0;
        for place in 0..3 {
            let digit = decimals.get(place).copied().unwrap_or(b'0');
            if !digit.is_ascii_digit() {
                return None;
            }
            thousandths = thousandths * 10 + u16::from(digit - b'0');
        }
        match whole {
            b'0' => Some(Quality(thousandths)),
            b'1' if thousandths == 0 => Some(Quality::FULL),
            _ => None,
        }
    }
}

/// Cuts optional white space (OWS, RFC 9110 §5.6.3), which is spaces and tabs only.
fn trim(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = text.iter().position(|byte| !is_space(byte));
    let to = text.iter().rposition(|byte| !is_space(byte));
    match (from, to) {
        (Some(from), Some(to)) => &text[from..=to],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
