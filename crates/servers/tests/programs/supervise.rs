//! `supervise WORDS…` as xtask has it; data are in the folder from which the program is started.
//! `hold WORDS…` is a parent that starts it, says the addresses and waits to be killed.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ruleiq_servers::{Spec, Supervised, supervise};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args_os();
    let program = PathBuf::from(words.next().unwrap_or_default());
    let task = words.next().unwrap_or_default();
    let spec = Spec::from_words(words)?;
    if task == "hold" {
        return hold(&program, &spec);
    }
    let home = program.parent().ok_or("start it by its path")?;
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    supervise(&spec, home, input, output, &mut io::stderr())?;
    Ok(())
}

fn hold(program: &Path, spec: &Spec) -> Result<(), Box<dyn Error>> {
    let supervised = Supervised::start(program, spec)?;
    let mut output = io::stdout();
    for url in [supervised.postgres_url(), supervised.redis_url()] {
        writeln!(output, "{}", url.unwrap_or("-"))?;
    }
    // Nobody writes to it: this is where the parent is killed.
    io::read_to_string(io::stdin())?;
    Ok(())
}
