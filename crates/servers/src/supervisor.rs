//! The process that holds servers for its parent.
//!
//! The pipe to the parent is the life line: however the parent ends, the system closes it. Answers
//! are lines: `postgres URL`, `redis URL` and so on for each server, `ready`, then `ok` or
//! `error MESSAGE` to each command.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use crate::{Error, Spec, Which, companions, instance, server::Server};

/// Starts the servers, says their addresses on `output`, obeys the commands of `input`, and stops
/// the servers when `input` ends. `home` is the folder for temporary data, one per checkout; what
/// takes long is told on `notices`.
///
/// # Errors
///
/// When a server cannot be stopped or its data cannot be removed. A server that cannot be started
/// is told on `output`.
pub fn supervise(
    spec: &Spec,
    home: &Path,
    input: impl BufRead,
    mut output: impl Write,
    notices: &mut dyn Write,
) -> Result<(), Error> {
    let mut servers = Vec::new();
    let started = start(&mut servers, spec, home, notices);
    let is_heard = match &started {
        Ok(()) => greet(&servers, &mut output).is_ok(),
        Err(error) => {
            // Nobody may be left to hear it.
            drop(say_error(&mut output, error));
            false
        }
    };
    if is_heard {
        obey(&mut servers, input, output);
    }
    let ends: Vec<_> = servers.into_iter().map(Server::finish).collect();
    ends.into_iter().collect()
}

fn start(
    servers: &mut Vec<Server>,
    spec: &Spec,
    home: &Path,
    notices: &mut dyn Write,
) -> Result<(), Error> {
    spec.check()?;
    instance::sweep(home)?;
    if let Some(spec) = &spec.postgres {
        servers.push(Server::postgres(home, spec, notices)?);
    }
    if spec.pgbouncer {
        let postgres = find(servers, Which::Postgres)?;
        let pgbouncer = companions::pgbouncer(home, postgres, notices)?;
        servers.push(pgbouncer);
    }
    if let Some(postgres) = spec.postgres.as_ref().filter(|_| spec.standby) {
        let primary = find(servers, Which::Postgres)?;
        let standby = companions::standby(home, postgres, primary, notices)?;
        servers.push(standby);
    }
    if let Some(redis) = &spec.redis {
        servers.push(Server::redis(home, redis, notices)?);
        if spec.sentinels {
            let primary = find(servers, Which::Redis)?;
            let sentinels = companions::sentinels(home, redis, primary, notices)?;
            servers.extend(sentinels);
        }
    }
    if spec.cluster {
        servers.extend(companions::cluster(home, notices)?);
    }
    Ok(())
}

fn find(servers: &mut [Server], which: Which) -> Result<&mut Server, Error> {
    servers
        .iter_mut()
        .find(|it| it.which() == which)
        .ok_or(Error::NotRunning(which))
}

fn greet(servers: &[Server], output: &mut impl Write) -> std::io::Result<()> {
    for server in servers {
        writeln!(output, "{} {}", server.which(), server.url())?;
    }
    writeln!(output, "ready")?;
    output.flush()
}

/// Until the parent is gone: its end of the pipe is closed, or nobody hears the answers.
fn obey(servers: &mut [Server], input: impl BufRead, mut output: impl Write) {
    for line in input.lines() {
        let Ok(line) = line else { return };
        let answered = match command(servers, &line) {
            Ok(()) => writeln!(output, "ok").and_then(|()| output.flush()),
            Err(error) => say_error(&mut output, &error),
        };
        if answered.is_err() {
            return;
        }
    }
}

fn command(servers: &mut [Server], line: &str) -> Result<(), Error> {
    let unknown = || Error::Word(line.to_owned());
    let (verb, which) = line.split_once(' ').ok_or_else(unknown)?;
    let which: Which = which.parse()?;
    let server = find(servers, which)?;
    match verb {
        "kill" => server.kill(),
        "stop" => server.stop(),
        "start" => server.start_again(),
        "pause" => server.pause(),
        "resume" => server.resume(),
        _ => Err(unknown()),
    }
}

fn say_error(output: &mut impl Write, error: &Error) -> std::io::Result<()> {
    writeln!(output, "error {}", escaped(&error.chain()))?;
    output.flush()
}

/// A text in one line.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// The text of [`escaped`].
pub(crate) fn unescaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => text.push(match letters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            }),
            (letter, false) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_many_lines_travels_as_one() {
        for text in ["", "one", "one\ntwo\\n\n", "\\\\n\\", "\n"] {
            assert!(!escaped(text).contains('\n'));
            assert_eq!(unescaped(&escaped(text)), text);
        }
    }

    #[test]
    fn commands_that_mean_nothing_are_refused() {
        for line in ["", "kill", "kill mysql", "kill sentinel-0"] {
            assert!(command(&mut [], line).is_err(), "{line}");
        }
    }
}
