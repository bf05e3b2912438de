//! What bindgen needs for the parser of PostgreSQL: libclang, and the headers that come with clang.

use std::{env, fs, path::Path};

/// The feature that needs it, which has the crate's name.
pub(super) const FEATURE: &str = "pg_query";

/// Whether it stands where Debian's packages put it, or where its variable says.
pub(super) fn is_there() -> bool {
    env::var_os("LIBCLANG_PATH").is_some() || is_below(Path::new("/usr/lib"))
}

fn is_below(lib: &Path) -> bool {
    let entries = fs::read_dir(lib).into_iter().flatten().flatten();
    let mut versions = entries.filter(|it| it.file_name().to_string_lossy().starts_with("llvm-"));
    versions.any(|version| {
        let lib = version.path().join("lib");
        let files = fs::read_dir(&lib).into_iter().flatten().flatten();
        let mut names = files.map(|it| it.file_name().to_string_lossy().into_owned());
        names.any(|it| is_library(&it)) && has_headers(&lib.join("clang"))
    })
}

fn has_headers(clang: &Path) -> bool {
    let versions = fs::read_dir(clang).into_iter().flatten().flatten();
    let mut headers = versions.map(|it| it.path().join("include/stddef.h"));
    headers.any(|it| it.exists())
}

/// Whether a file is the library itself, of any version, and not that of C++.
fn is_library(name: &str) -> bool {
    name.starts_with("libclang") && !name.starts_with("libclang-cpp") && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_counts_with_its_headers_alone_and_is_told_from_its_neighbours() {
        let folder = tempfile();
        let lib = folder.join("llvm-14/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libclang-cpp.so.14"), "").unwrap();
        assert!(!is_below(&folder));
        fs::write(lib.join("libclang-14.so.1"), "").unwrap();
        assert!(!is_below(&folder));
        let headers = lib.join("clang/14.0.6/include");
        fs::create_dir_all(&headers).unwrap();
        fs::write(headers.join("stddef.h"), "").unwrap();
        assert!(is_below(&folder));
        fs::remove_dir_all(&folder).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        let folder = env::temp_dir().join(format!("ruleiq-libclang-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}
