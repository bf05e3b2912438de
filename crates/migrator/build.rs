//! Lists the files of `migrations/`, so that the program carries them.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let folder = Path::new(&here).join("../../migrations");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the repository has a folder `migrations`")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|it| it == "sql"))
        .collect();
    files.sort();
    let mut list = String::from("&[\n");
    for path in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let path = path.canonicalize().expect("the file exists");
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy();
        writeln!(list, "    ({name:?}, include_str!({path:?})),").expect("a string takes it");
    }
    list.push(']');
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("embedded.rs"), list).expect("the output folder is writable");
}
