//! Ports on the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, secret};

/// Below the range from which the system takes the ports of outgoing connections. From within it,
/// a client that tries to reach a stopped server again and again would end up connected to itself,
/// on the port that the server needs.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port that is free at this moment. Whoever starts a server on it must be ready to try another.
pub(crate) fn free() -> Result<u16, Error> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let digits = secret::random()?;
        // Four digits of the 32: always a number below 65,536.
        let random = u16::from_str_radix(&digits[..4], 16).unwrap_or_default();
        let port = FIRST + random % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_in_the_range() {
        for _ in 0..50 {
            let port = free().unwrap();
            assert!((FIRST..FIRST + COUNT).contains(&port));
        }
    }
}
