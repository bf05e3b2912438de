//! Passwords nobody can guess.

use std::{fs::File, io::Read as _};

use crate::Error;

/// 128 random bits in hexadecimal digits, which need no quoting in a URL or in a file of settings.
pub(crate) fn random() -> Result<String, Error> {
    let path = "/dev/urandom";
    let mut bytes = [0; 16];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("read", path))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
    }
}
