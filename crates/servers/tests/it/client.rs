//! Clients of PostgreSQL and Redis.

use std::{
    io::{self, BufRead, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use tokio_postgres::NoTls;

/// Runs statements that answer nothing or one text, and answers the last one's.
pub(crate) fn sql(url: &str, statements: &[&str]) -> Result<String, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        let mut answer = String::new();
        for statement in statements {
            for message in client.simple_query(statement).await? {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    answer = row.get(0).unwrap_or_default().to_owned();
                }
            }
        }
        drop(client);
        // The connection ends with its client.
        connection.await.unwrap()?;
        Ok(answer)
    })
}

/// Sends one command to Redis, with the password of the address, and answers the reply. The parts of
/// a list stand in lines.
pub(crate) fn redis(url: &str, command: &str) -> io::Result<String> {
    let (password, address) = url
        .strip_prefix("redis://:")
        .unwrap()
        .split_once('@')
        .unwrap();
    let stream = connect(address)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut send = |text: &str| -> io::Result<String> {
        (&stream).write_all(format!("{text}\r\n").as_bytes())?;
        read_reply(&mut replies)
    };
    send(&format!("AUTH {password}"))?;
    send(command)
}

fn read_reply(replies: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    let line = line
        .strip_suffix("\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    if let Some(count) = line.strip_prefix('*') {
        let count: usize = count.parse().unwrap();
        let parts: io::Result<Vec<String>> = (0..count).map(|_| read_reply(replies)).collect();
        return Ok(parts?.join("\n"));
    }
    match line.strip_prefix('$') {
        None | Some("-1") => Ok(line.to_owned()),
        Some(length) => {
            let length: usize = length.parse().unwrap();
            let mut bytes = vec![0; length + "\r\n".len()];
            replies.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(String::from_utf8(bytes).unwrap())
        }
    }
}

/// A connection on which nothing is waited for longer than a second.
pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}
