//! Redis: its settings, how it is started, and when it is ready.

use std::{
    fmt::Write as _,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{DataDir, Error, RedisSpec, install::redis as find, instance::Instance};

/// One instance that is wanted, and the program to run it with.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    spec: RedisSpec,
}

impl Redis {
    pub(crate) fn find(
        home: &Path,
        spec: RedisSpec,
        notices: &mut dyn io::Write,
    ) -> Result<Redis, Error> {
        let program = find(home, notices)?;
        Ok(Redis { program, spec })
    }

    pub(crate) fn data(&self) -> &DataDir {
        &self.spec.data
    }

    /// Makes the folder of the data.
    pub(crate) fn prepare(instance: &Instance) -> Result<(), Error> {
        instance.make_private_folder("data").map(drop)
    }

    /// The command that runs the server in the foreground. The password goes by a file: command
    /// lines are for all to see.
    pub(crate) fn server(
        &self,
        instance: &Instance,
        port: u16,
        password: &str,
    ) -> Result<Command, Error> {
        let settings = settings(&self.spec, &instance.data(), port, password);
        let file = instance.write_for_server("redis.conf", &settings)?;
        let mut command = Command::new(&self.program);
        command.arg(file).env("LC_ALL", "C");
        command.current_dir(instance.data());
        Ok(command)
    }

    /// Whether a server on the port takes our password and answers.
    pub(crate) fn is_ready(port: u16, password: &str) -> bool {
        ping(port, password).is_ok_and(|answers| answers == ["+OK", "+PONG"])
    }

    pub(crate) fn url(password: &str, port: u16) -> String {
        format!("redis://:{password}@127.0.0.1:{port}")
    }
}

fn settings(spec: &RedisSpec, data: &Path, port: u16, password: &str) -> String {
    let keeps = spec.durable || matches!(spec.data, DataDir::Kept(_));
    let mut text = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\ndir {}\nsave \"\"\n",
        quoted(data)
    );
    text.push_str(match (keeps, spec.durable) {
        (false, _) => "appendonly no\n",
        (true, false) => "appendonly yes\nappendfsync everysec\n",
        (true, true) => "appendonly yes\nappendfsync always\n",
    });
    for (name, value) in &spec.settings {
        // Writing to a string cannot fail.
        writeln!(text, "{name} {value}").ok();
    }
    text
}

fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ping(port: u16, password: &str) -> io::Result<[String; 2]> {
    let limit = Duration::from_millis(500);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    let mut line = || lines.next().unwrap_or_else(|| Ok(String::new()));
    Ok([line()?, line()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_spec() {
        let text = |spec: &RedisSpec| settings(spec, Path::new("/a b/\"c\""), 15001, "secret");
        let temporary = text(&RedisSpec::default());
        assert!(temporary.contains("dir \"/a b/\\\"c\\\"\"\n"));
        assert!(temporary.contains("requirepass secret\n"));
        assert!(temporary.contains("appendonly no\n"));
        assert!(text(&RedisSpec::kept("/data")).contains("appendfsync everysec\n"));
        assert!(text(&RedisSpec::default().durable()).contains("appendfsync always\n"));
        let spec = RedisSpec {
            settings: vec![("maxmemory".to_owned(), "16mb".to_owned())],
            ..RedisSpec::default()
        };
        assert!(text(&spec).ends_with("maxmemory 16mb\n"));
    }
}
