//! The program that `cargo xtask bench` starts.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
