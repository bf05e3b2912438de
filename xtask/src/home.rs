//! A folder in `target` with data that stay, such as `target/dev`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use ruleiq_servers::remove_kept;

use crate::workspace;

/// The file in which whoever has the folder notes the address of the database.
const OWNER_URL: &str = "owner-url";
const SECRETS: &str = "secrets";
/// Only the user may read it.
const PRIVATE: u32 = 0o600;

/// The folder, which this process alone may use while the value exists.
#[derive(Debug)]
pub(crate) struct Home {
    name: &'static str,
    folder: PathBuf,
    _lock: File,
}

impl Home {
    /// Takes the folder of this name. `None` if another process has it.
    pub(crate) fn open(name: &'static str) -> anyhow::Result<Option<Home>> {
        Home::open_at(name, folder(name)?)
    }

    fn open_at(name: &'static str, folder: PathBuf) -> anyhow::Result<Option<Home>> {
        fs::create_dir_all(folder.join(SECRETS))
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("failed to make the lock file")?;
        match lock.try_lock() {
            Ok(()) => {
                let home = Home {
                    name,
                    folder,
                    _lock: lock,
                };
                home.forget_owner_url();
                Ok(Some(home))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("failed to lock target/{name}"))
            }
        }
    }

    /// The folder's name, which tells its logins from those of others.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(crate) fn redis(&self) -> PathBuf {
        self.folder.join("redis")
    }

    /// Throws everything away.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        for folder in [self.postgres(), self.redis()] {
            remove_kept(&folder)
                .with_context(|| format!("failed to remove {}", folder.display()))?;
        }
        let secrets = self.folder.join(SECRETS);
        fs::remove_dir_all(&secrets).context("failed to remove the secrets")?;
        fs::create_dir_all(&secrets).context("failed to make the folder of the secrets")
    }

    /// The secret of this name. It is made when it is first asked for, and stays.
    pub(crate) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<String> {
        let path = self.folder.join(SECRETS).join(name);
        match fs::read_to_string(&path) {
            Ok(secret) if !secret.is_empty() => Ok(secret),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to read {}", path.display()))
            }
            _ => {
                let secret = make()?;
                write_private(&path, &secret)?;
                Ok(secret)
            }
        }
    }

    /// Notes the address of the database, for `migrate` and `seed` in another terminal.
    pub(crate) fn note_owner_url(&self, url: &str) -> anyhow::Result<()> {
        write_private(&self.folder.join(OWNER_URL), url)
    }

    /// Removes the note, also that of a holder who was killed: its servers are gone.
    fn forget_owner_url(&self) {
        // Most often there is none; a wrong address fails for whoever uses it.
        drop(fs::remove_file(self.folder.join(OWNER_URL)));
    }
}

/// The address of the database that another process noted.
pub(crate) fn noted_owner_url(name: &str) -> anyhow::Result<String> {
    let url = fs::read_to_string(folder(name)?.join(OWNER_URL)).unwrap_or_default();
    if url.is_empty() {
        bail!("another process is just bringing the servers up; try again");
    }
    Ok(url)
}

impl Drop for Home {
    fn drop(&mut self) {
        self.forget_owner_url();
    }
}

fn folder(name: &str) -> anyhow::Result<PathBuf> {
    Ok(workspace::target()?.join(name))
}

/// Writes beside the file first, so that a crash leaves the old or the whole new one.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("part");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(PRIVATE)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_process_has_the_folder_and_secrets_stay_until_it_is_cleared() {
        let folder = std::env::temp_dir().join(format!("xtask-home-{}", std::process::id()));
        let home = Home::open_at("home", folder.clone()).unwrap().unwrap();
        assert!(Home::open_at("home", folder.clone()).unwrap().is_none());

        let made = home.secret("a", || Ok("first".to_owned())).unwrap();
        let kept = home.secret("a", || Ok("second".to_owned())).unwrap();
        let mode = fs::metadata(folder.join("secrets/a"))
            .unwrap()
            .permissions()
            .mode();
        home.clear().unwrap();
        let anew = home.secret("a", || Ok("third".to_owned())).unwrap();
        drop(home);
        let again = Home::open_at("home", folder.clone()).unwrap();
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!(
            (made.as_str(), kept.as_str(), anew.as_str()),
            ("first", "first", "third")
        );
        assert_eq!(mode & 0o777, PRIVATE);
        assert!(again.is_some());
    }
}
