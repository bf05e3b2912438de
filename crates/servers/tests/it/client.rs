//! Clients of the two servers.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
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

/// Sends one command to Redis, with the password of the address, and answers the last line.
pub(crate) fn redis(url: &str, command: &str) -> io::Result<String> {
    let (password, address) = url
        .strip_prefix("redis://:")
        .unwrap()
        .split_once('@')
        .unwrap();
    let stream = connect(address)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut send = |text: &str| -> io::Result<String> {
        (&stream).write_all(format!("{text}\r\n").as_bytes())?;
        let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        if line.starts_with('$') && line != "$-1" {
            return lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        Ok(line)
    };
    send(&format!("AUTH {password}"))?;
    send(command)
}

/// A connection on which nothing is waited for longer than a second.
pub(crate) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}
