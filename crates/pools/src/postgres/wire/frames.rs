//! Where the messages of a byte stream begin, however it is cut.

use std::mem;

/// The type byte, the length, and the first byte of the body.
const HEAD: usize = 6;
/// The length, which counts itself, follows the type byte.
const LENGTH: usize = 4;
/// The code of the message that asks for TLS, in place of a version.
const SSL_REQUEST: u32 = 80_877_103;

/// Reads the messages of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD + 2],
    have: usize,
    /// Bytes of the body that are still to come.
    skip: usize,
    /// Whether the next message has no type: the client's first.
    is_startup: bool,
    /// Whether the client has asked for TLS.
    asked_for_tls: bool,
}

/// What was read is not the protocol.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Garbled;

impl Frames {
    /// What a server sends.
    pub(super) fn of_server() -> Frames {
        Frames {
            head: [0; HEAD + 2],
            have: 0,
            skip: 0,
            is_startup: false,
            asked_for_tls: false,
        }
    }

    /// What a client sends, from its first byte.
    pub(super) fn of_client() -> Frames {
        Frames {
            is_startup: true,
            ..Frames::of_server()
        }
    }

    /// Whether the client has asked for TLS since this was called.
    pub(super) fn take_asked_for_tls(&mut self) -> bool {
        mem::take(&mut self.asked_for_tls)
    }

    /// Tells of each message, as soon as it begins, its type and the first byte of its body, which
    /// is zero where there is none.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        mut message: impl FnMut(u8, u8),
    ) -> Result<(), Garbled> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            if self.have == 0
                && !self.is_startup
                && let Some((kind, first, body)) = whole_head(bytes)
            {
                let body = body?;
                message(kind, first);
                self.skip = 1 + LENGTH + body;
                continue;
            }
            self.head[self.have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            match self.is_startup {
                true => self.startup()?,
                false => self.typed(&mut message)?,
            }
        }
    }

    fn typed(&mut self, message: &mut impl FnMut(u8, u8)) -> Result<(), Garbled> {
        if self.have <= LENGTH {
            return Ok(());
        }
        let body = self.body(1)?;
        if body == 0 {
            message(self.head[0], 0);
            self.have = 0;
        } else if self.have == HEAD {
            message(self.head[0], self.head[HEAD - 1]);
            self.have = 0;
            self.skip = body - 1;
        }
        Ok(())
    }

    /// A length and a version, or a code in its place.
    fn startup(&mut self) -> Result<(), Garbled> {
        if self.have < 2 * LENGTH {
            return Ok(());
        }
        let code = self.number(LENGTH);
        self.skip = self.body(0)?.checked_sub(LENGTH).ok_or(Garbled)?;
        self.have = 0;
        // After it comes another one, or TLS.
        self.is_startup = code == SSL_REQUEST;
        self.asked_for_tls = self.is_startup;
        Ok(())
    }

    /// The length of the body of the message whose length stands there.
    fn body(&self, at: usize) -> Result<usize, Garbled> {
        body(self.number(at))
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = [
            self.head[at],
            self.head[at + 1],
            self.head[at + 2],
            self.head[at + 3],
        ];
        u32::from_be_bytes(bytes)
    }
}

/// The type, the first byte of the body, and the length of the body, where all of that is there: most
/// messages come whole, and a byte at a time would cost as much as the rest of a request's way here.
fn whole_head(bytes: &[u8]) -> Option<(u8, u8, Result<usize, Garbled>)> {
    let (&[kind, a, b, c, d], rest) = bytes.split_first_chunk::<{ 1 + LENGTH }>()?;
    let body = body(u32::from_be_bytes([a, b, c, d]));
    match (rest.first(), &body) {
        (_, Ok(0)) => Some((kind, 0, body)),
        (Some(&first), _) => Some((kind, first, body)),
        (None, _) => None,
    }
}

/// The length of a body, of the length that stands before it and counts itself.
fn body(length: u32) -> Result<usize, Garbled> {
    let length = usize::try_from(length).map_err(|_| Garbled)?;
    length.checked_sub(LENGTH).ok_or(Garbled)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + LENGTH).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    fn startup(code: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 2 * LENGTH).unwrap();
        [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    }

    fn read_in_parts(frames: &mut Frames, bytes: &[u8], part: usize) -> Vec<(u8, u8)> {
        let mut told = Vec::new();
        for part in bytes.chunks(part) {
            frames
                .read(part, |kind, first| told.push((kind, first)))
                .unwrap();
        }
        told
    }

    proptest! {
        #[test]
        fn messages_are_found_however_they_are_cut(
            messages in vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..20),
            part in 1_usize..50,
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|(kind, body)| framed(*kind, body)).collect();
            let told = read_in_parts(&mut Frames::of_server(), &bytes, part);
            let expected: Vec<_> = messages
                .iter()
                .map(|(kind, body)| (*kind, body.first().copied().unwrap_or(0)))
                .collect();
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn what_comes_before_the_login_has_no_type(part in 1_usize..50, asks_for_tls: bool) {
            let mut bytes = Vec::new();
            if asks_for_tls {
                bytes.extend(startup(SSL_REQUEST, b""));
            }
            bytes.extend(startup(196_608, b"user\0me\0\0"));
            bytes.extend(framed(b'p', b"secret"));
            bytes.extend(framed(b'S', b""));
            let told = read_in_parts(&mut Frames::of_client(), &bytes, part);
            prop_assert_eq!(told, [(b'p', b's'), (b'S', 0)]);
        }

        #[test]
        fn nonsense_is_refused_or_skipped(bytes in vec(any::<u8>(), 0..200)) {
            Frames::of_server().read(&bytes, |_, _| {}).ok();
            Frames::of_client().read(&bytes, |_, _| {}).ok();
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        let mut frames = Frames::of_server();
        assert_eq!(frames.read(&[b'Z', 0, 0, 0, 3], |_, _| {}), Err(Garbled));
    }
}
