//! What bindgen needs to build libpg_query's bindings.

use std::{env, fs, path::PathBuf};

/// The feature that needs it, which has the crate's name.
pub(super) const FEATURE: &str = "pg_query";

/// Whether libclang stands where packages of Debian, Fedora and Homebrew put it, or where its variable says.
pub(super) fn is_there() -> bool {
    let mut folders: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
    ]
    .map(PathBuf::from)
    .into();
    for entry in fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("llvm-") {
            folders.push(entry.path().join("lib"));
        }
    }
    env::var_os("LIBCLANG_PATH").is_some() || folders.iter().any(has)
}

fn has(folder: &PathBuf) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
    names.any(|it| is_library(&it))
}

/// Whether a file is the library itself, of any version, and not that of C++.
fn is_library(name: &str) -> bool {
    let is_shared = name.contains(".so") || name.ends_with(".dylib");
    name.starts_with("libclang") && !name.starts_with("libclang-cpp") && is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_told_from_its_neighbours() {
        for name in ["libclang.so", "libclang-14.so.1", "libclang.dylib"] {
            assert!(is_library(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang.a", "clang", "libz.so"] {
            assert!(!is_library(name), "{name}");
        }
    }
}
