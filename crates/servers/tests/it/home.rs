//! A folder for data of the test's own, and what is in it.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ruleiq_servers::{Spec, Supervised};

/// The home of one test's servers.
pub(crate) struct Home {
    folder: PathBuf,
}

impl Home {
    /// Under the temporary folder, which the servers' users reach.
    pub(crate) fn new() -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ruleiq-servers-test-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let home = Home { folder };
        let supervisor = env!("CARGO_BIN_EXE_ruleiq-servers-supervise");
        symlink(supervisor, home.program()).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The program takes the folder from which it was started for its home.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("supervisor")
    }

    pub(crate) fn start(&self, spec: &Spec) -> Supervised {
        // Its text says how to install what is missing.
        Supervised::start(&self.program(), spec).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A parent that can be killed, holding servers.
    pub(crate) fn start_parent(&self, spec: &Spec) -> Child {
        Command::new(self.program())
            .arg("hold")
            .args(spec.to_words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The folders of temporary servers.
    pub(crate) fn temporary(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.join("temporary"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    /// The number in a file of each temporary server's folder: `process` or `lock`.
    pub(crate) fn pids(&self, file: &str) -> Vec<u32> {
        self.temporary()
            .iter()
            .map(|folder| pid_in(&folder.join(file)))
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !thread::panicking() {
            fs::remove_dir_all(&self.folder).unwrap();
        }
    }
}

/// The number with which a file begins.
pub(crate) fn pid_in(file: &Path) -> u32 {
    let text = fs::read_to_string(file).unwrap();
    text.split_ascii_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Whether a process runs; a dead one that nobody has waited for does not.
pub(crate) fn runs(pid: u32) -> bool {
    // Minimal systems have no `ps`.
    if cfg!(target_os = "linux") {
        return fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'));
    }
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

/// Sends a signal, such as `KILL`.
pub(crate) fn signal(name: &str, pid: u32) {
    // The shell's own: minimal systems have no program for it.
    let status = Command::new("sh")
        .args(["-c", "kill -s $0 $1", name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "no signal to {pid}");
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Duration::from_secs(60);
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what} did not come true");
        thread::sleep(Duration::from_millis(10));
    }
}
