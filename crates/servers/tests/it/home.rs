//! A folder for data of the test's own, and what is in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use ruleiq_servers::{Spec, Supervised};

/// The supervisor, with the home of one test.
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
        // The supervisor is found by a script that bears the home, as tests share one environment.
        let script = format!(
            "#!/bin/sh\nTEST_HOME='{}' exec '{}' \"$@\"\n",
            folder.display(),
            env!("CARGO_BIN_EXE_ruleiq-servers-supervise")
        );
        let home = Home { folder };
        fs::write(home.program(), script).unwrap();
        let mut rights = fs::metadata(home.program()).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
        fs::set_permissions(home.program(), rights).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("supervise.sh")
    }

    pub(crate) fn start(&self, spec: &Spec) -> Supervised {
        Supervised::start(&self.program(), spec).unwrap()
    }

    /// A parent that can be killed, holding servers.
    pub(crate) fn start_parent(&self, spec: &Spec) -> Child {
        Command::new(env!("CARGO_BIN_EXE_ruleiq-servers-supervise"))
            .arg("hold")
            .args(spec.to_words())
            .env("TEST_HOME", &self.folder)
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
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

/// Sends a signal, such as `KILL`.
pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
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
