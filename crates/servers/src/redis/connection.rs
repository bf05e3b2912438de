//! A connection on which commands go as lines. Redis calls them inline.

use std::{
    io::{self, BufRead, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects and logs in. Nothing on it is waited for longer than `limit`.
    pub(crate) fn open(port: u16, password: &str, limit: Duration) -> io::Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut connection = Connection {
            stream: BufReader::new(stream),
        };
        connection
            .ask(&format!("AUTH {password}"))
            // What does not know the command may repeat it in its answer.
            .map_err(|error| io::Error::new(error.kind(), "the login failed"))?;
        Ok(connection)
    }

    /// Sends a command and answers the reply: a text or a number. A refusal is an error.
    pub(crate) fn ask(&mut self, command: &str) -> io::Result<String> {
        let line = format!("{command}\r\n");
        self.stream.get_mut().write_all(line.as_bytes())?;
        read_reply(&mut self.stream)
    }
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line
        .strip_suffix("\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("-", reason)) => Err(io::Error::other(reason)),
        Some(("$", length)) => read_text(stream, length),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn read_text(stream: &mut impl BufRead, length: &str) -> io::Result<String> {
    let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; length + "\r\n".len()];
    stream.read_exact(&mut bytes)?;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_to_their_end() {
        let mut stream: &[u8] = b"+OK\r\n:7\r\n$7\r\none\r\ntw\r\n$0\r\n\r\n+PONG\r\n";
        for expect in ["OK", "7", "one\r\ntw", "", "PONG"] {
            assert_eq!(read_reply(&mut stream).unwrap(), expect);
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn refusals_and_broken_replies_are_errors() {
        let check = |reply: &[u8], expect: &str| {
            let error = read_reply(&mut &*reply).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check(b"-ERR unknown node\r\n", "ERR unknown node");
        check(b"", "unexpected end of file");
        check(b"+PO", "unexpected end of file");
        check(b"\r\n", "invalid data");
        check(b"$-1\r\n", "invalid data");
        assert!(read_reply(&mut &b"$9\r\nshort\r\n"[..]).is_err());
    }
}
