//! Prints what each coding and level makes of a file, and at what cost.
//!
//! ```text
//! cargo run --release -p ruleiq-compression --example compare -- body.json
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "a program for the terminal, which measures with the clock on the wall"
)]

use std::{env, error::Error, fs, time::Instant};

use ruleiq_compression::{Coding, Config, Encoder};

/// The best of so many rounds is the one that was disturbed least.
const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("name a file to encode")?;
    let body = fs::read(path)?;
    println!("{} bytes", body.len());
    println!("coding level    bytes  ratio        µs  ns/byte  (* none is smaller and cheaper)");
    let mut rows = Vec::new();

    for brotli_level in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11] {
        let config = Config {
            brotli_level,
            ..Config::default()
        };
        rows.push(measure(Coding::Brotli, brotli_level, &config, &body)?);
    }
    for zstd_level in [-7, -5, -1, 1, 2, 3, 4, 6, 7, 9, 12, 15, 19] {
        let config = Config {
            zstd_level: Some(zstd_level),
            ..Config::default()
        };
        rows.push(measure(Coding::Zstd, zstd_level, &config, &body)?);
    }
    for gzip_level in 1..=9 {
        let config = Config {
            gzip_level,
            ..Config::default()
        };
        rows.push(measure(Coding::Gzip, gzip_level, &config, &body)?);
    }
    for row in &rows {
        let beats = |it: &Row| it.bytes <= row.bytes && it.seconds < row.seconds;
        let mark = if rows.iter().any(beats) { ' ' } else { '*' };
        println!(
            "{:6} {:5} {:8} {:6.2} {:9.1} {:8.1}  {mark}",
            row.coding.as_str(),
            row.level,
            row.bytes,
            body.len() as f64 / row.bytes as f64,
            row.seconds * 1e6,
            row.seconds * 1e9 / body.len() as f64,
        );
    }
    Ok(())
}

struct Row {
    coding: Coding,
    level: i32,
    bytes: usize,
    seconds: f64,
}

fn measure(
    coding: Coding,
    level: i32,
    config: &Config,
    body: &[u8],
) -> Result<Row, Box<dyn Error>> {
    // Whatever it costs.
    let encoder = Encoder::new(&Config {
        cpu_budget_us: u64::MAX,
        ..config.clone()
    })?;
    let size = encoder.encode(coding, body)?.len();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        encoder.encode(coding, body)?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(Row {
        coding,
        level,
        bytes: size,
        seconds: best,
    })
}
