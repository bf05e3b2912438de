//! Passwords and keys that nobody has to think of.

use std::{fs::File, io::Read as _};

use anyhow::Context as _;

/// Letters and digits that are not taken for one another.
const READABLE: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The alphabet of base64url, RFC 4648 §5.
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A password of 100 random bits that a person can type and a URL can hold.
pub(crate) fn password() -> anyhow::Result<String> {
    let letters = letters::<20>(READABLE)?;
    let groups: Vec<&str> = [0, 5, 10, 15].map(|at| &letters[at..at + 5]).into();
    Ok(groups.join("-"))
}

/// A signing key: 33 random bytes in base64url, which need no padding.
pub(crate) fn key() -> anyhow::Result<String> {
    letters::<44>(BASE64URL)
}

/// So many random letters. The alphabet's length is a power of two, so each is equally likely.
fn letters<const N: usize>(alphabet: &[u8]) -> anyhow::Result<String> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut it| it.read_exact(&mut bytes))
        .context("failed to read /dev/urandom")?;
    let letter = |byte: &u8| char::from(alphabet[usize::from(*byte) % alphabet.len()]);
    Ok(bytes.iter().map(letter).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_their_form_and_differ() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [5; 4]);
        let (one, other) = (key().unwrap(), key().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 44);
    }
}
