//! `supervise WORDS…` as xtask has it, with the folder for data taken from `TEST_HOME`.
//! `hold WORDS…` is a parent that starts it and says the addresses, then waits to be killed.

use std::{env, io, path::Path};

use ruleiq_servers::{Error, Spec, Supervised, supervise};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = env::args_os().skip(1);
    let task = words.next().unwrap_or_default();
    let spec = Spec::from_words(words)?;
    if task == "supervise" {
        let home = env::var_os("TEST_HOME").ok_or("TEST_HOME is not set")?;
        let (input, output) = (io::stdin().lock(), io::stdout().lock());
        supervise(&spec, Path::new(&home), input, output, &mut io::stderr())?;
        return Ok(());
    }
    hold(&spec)
}

fn hold(spec: &Spec) -> Result<(), Box<dyn std::error::Error>> {
    let supervised: Result<Supervised, Error> = Supervised::start(&env::current_exe()?, spec);
    let supervised = supervised?;
    let mut output = io::stdout();
    for url in [supervised.postgres_url(), supervised.redis_url()] {
        use io::Write as _;
        writeln!(output, "{}", url.unwrap_or("-"))?;
    }
    // Nobody writes to it: this is where the parent is killed.
    io::read_to_string(io::stdin())?;
    Ok(())
}
