//! Reports on disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ruleiq_bench::report::file;

use crate::sample;

/// A folder of the test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read() {
    let folder = folder("round-trip");
    for (name, report) in [("minimal", sample::minimal()), ("rich", sample::rich())] {
        let path = folder.join(name);
        file::write(&path, &report).unwrap();
        file::write(&path, &report).unwrap();
        let read = file::read(&path).unwrap();
        assert!(read == report, "{name} differs");
    }
    assert_eq!(names(&folder), ["minimal", "rich"]);
}

#[test]
fn a_full_disk_is_told() {
    let error = file::write(Path::new("/dev/full"), &sample::minimal()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to write the report to `/dev/full`: No space left on device"
    );
}

#[test]
fn a_device_is_written_and_not_replaced() {
    file::write(Path::new("/dev/null"), &sample::minimal()).unwrap();
    file::check_writable(Path::new("/dev/null")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_report_that_cannot_be_read_again_leaves_the_old_one() {
    let path = folder("not-a-number").join("report.json");
    file::write(&path, &sample::minimal()).unwrap();
    let mut broken = sample::minimal();
    broken.duration_s = f64::NAN;
    let error = file::write(&path, &broken).unwrap_err().to_string();
    assert!(error.contains("could not be read again"), "{error}");
    assert_eq!(file::read(&path).unwrap(), sample::minimal());
}

#[test]
fn a_link_stays_a_link() {
    let folder = folder("link");
    let (target, link) = (folder.join("target"), folder.join("link"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    file::write(&link, &sample::minimal()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(file::read(&target).unwrap(), sample::minimal());
}

#[test]
fn a_path_that_cannot_be_written_is_told_at_once() {
    let folder = folder("check");
    let said = |path: &Path| file::check_writable(path).map_err(|it| it.to_string());
    let missing = folder.join("missing/report.json");
    assert_eq!(
        said(&missing),
        Err(format!(
            "failed to write the report to `{}`: No such file or directory",
            missing.display()
        ))
    );
    assert!(said(&folder).unwrap_err().contains("directory"));

    let path = folder.join("report.json");
    assert_eq!(said(&path), Ok(()));
    assert!(names(&folder).is_empty());
    fs::write(&path, "old").unwrap();
    assert_eq!(said(&path), Ok(()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn text_for_people_is_written_alike() {
    let path = folder("text").join("report.html");
    file::write_text(&path, "<!doctype html>").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "<!doctype html>");
}
