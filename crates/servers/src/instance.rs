//! The folder of one server, and the lock on it.
//!
//! A folder holds `lock` (locked as long as the supervisor lives, with its process id), `process`
//! (the server's own), `password`, `port`, `log` and `data`. Whoever gets the lock knows that what
//! the folder speaks of was left behind by a crash.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use crate::{
    DataDir, Error, Which,
    account::{Account, make_folder, stand_in},
    process::{Process, table, wait_until},
    secret, shared_memory,
};

/// Where data are made before they are moved to `data`, so that a crash leaves no half of them.
pub(crate) const UNFINISHED: &str = "unfinished";
/// What may run in a folder, by the names in the process table. A sentinel is a `redis-server`.
const PROGRAMS: &[&str] = &[
    "initdb",
    "pg_basebackup",
    "postgres",
    "pgbouncer",
    "redis-server",
    "valkey-server",
];
const HOME_LIMIT: Duration = Duration::from_secs(60);

/// A locked folder.
#[derive(Debug)]
pub(crate) struct Instance {
    folder: PathBuf,
    account: Account,
    /// Under which folder it was made, if it goes with the server.
    home: Option<PathBuf>,
    _lock: File,
}

impl Instance {
    /// Makes or finds the folder, locks it, and ends what a crash left running in it.
    pub(crate) fn open(home: &Path, which: Which, data: &DataDir) -> Result<Instance, Error> {
        let account = Account::choose(which)?;
        match data {
            DataDir::Temporary => Instance::temporary(&account.place(home)?, which, account),
            DataDir::Kept(folder) => Instance::kept(account.place(folder)?, which, account),
        }
    }

    fn temporary(home: &Path, which: Which, account: Account) -> Result<Instance, Error> {
        let _home = lock_home(home)?;
        let folder = temporary(home).join(format!("{which}-{}", secret::random()?));
        make_folder(&folder)?;
        Ok(Instance {
            _lock: lock(&folder)?,
            folder,
            account,
            home: Some(home.to_owned()),
        })
    }

    fn kept(folder: PathBuf, which: Which, account: Account) -> Result<Instance, Error> {
        make_folder(&folder)?;
        refuse_foreign(&folder)?;
        let lock = lock(&folder)?;
        if let Some(process) = running(&folder) {
            process.ask_to_end(which.stop_signals());
        }
        end_leftovers(&folder);
        Ok(Instance {
            folder,
            account,
            home: None,
            _lock: lock,
        })
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.home.is_some()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        data(&self.folder)
    }

    /// Makes a folder that is the server's alone.
    pub(crate) fn make_private_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(Error::io("make", &path))?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Writes a file that is the server's alone, in the place of one that is there.
    pub(crate) fn write_for_server(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
        // In its data folder the server's user may have put a link to a file that only we may
        // write: a file that was not there is none.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| {
                self.account.own_file(&file)?;
                file.write_all(text.as_bytes())
            })
            .map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// The password: a new one for new data.
    pub(crate) fn password(&self) -> Result<String, Error> {
        let path = self.path("password");
        // Without data, it is none or that of a start that crashed, perhaps before it was written.
        if !self.data().exists() {
            write_private(&path, &secret::random()?)?;
        }
        fs::read_to_string(&path).map_err(Error::io("read", &path))
    }

    /// The port of the last time.
    pub(crate) fn port(&self) -> Option<u16> {
        port(&self.folder)
    }

    /// Notes what runs here, for whoever comes after a crash.
    pub(crate) fn note(&self, process: &Process, port: u16) -> Result<(), Error> {
        write_private(&self.path("process"), &process.to_string())?;
        write_private(&self.path("port"), &port.to_string())
    }

    /// Removes the folder, if it is temporary. Nothing may run in it.
    pub(crate) fn remove_temporary(&mut self) -> Result<(), Error> {
        let Some(home) = self.home.take() else {
            return Ok(());
        };
        // Without its lock file the folder looks like a crash to whoever sweeps.
        let _home = lock_home(&home)?;
        remove(&self.folder)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What cannot be removed is swept at the next start.
        drop(self.remove_temporary());
    }
}

/// Ends what crashed supervisors left running under `home` and removes its data. What is in use is
/// left alone.
pub(crate) fn sweep(home: &Path) -> Result<(), Error> {
    for home in places(home) {
        let temporary = temporary(&home);
        if !temporary.exists() {
            continue;
        }
        let _home = lock_home(&home)?;
        let entries = fs::read_dir(&temporary).map_err(Error::io("read", &temporary))?;
        for entry in entries {
            let folder = entry.map_err(Error::io("read", &temporary))?.path();
            match lock(&folder) {
                Ok(_lock) => {
                    end_leftovers(&folder);
                    remove(&folder)?;
                }
                Err(Error::Held { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removes a folder of data that are kept, wherever they are, unless they are in use.
///
/// # Errors
///
/// [`Error::Held`] when a supervisor holds them.
pub fn remove_kept(folder: &Path) -> Result<(), Error> {
    for folder in places(folder) {
        if folder.join("lock").exists() {
            let _lock = lock(&folder)?;
            end_leftovers(&folder);
            remove(&folder)?;
        }
    }
    Ok(())
}

/// Where the data of `folder` are: itself, or its stand-in.
pub(crate) fn resolve(folder: &Path) -> PathBuf {
    stand_in(folder)
        .filter(|it| it.join("lock").exists())
        .unwrap_or_else(|| folder.to_owned())
}

/// A folder and its stand-in.
fn places(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once(folder.to_owned()).chain(stand_in(folder))
}

/// The process that the folder speaks of, if it still runs.
pub(crate) fn running(folder: &Path) -> Option<Process> {
    let process: Process = fs::read_to_string(folder.join("process"))
        .ok()?
        .parse()
        .ok()?;
    process.is_alive().then_some(process)
}

pub(crate) fn port(folder: &Path) -> Option<u16> {
    fs::read_to_string(folder.join("port")).ok()?.parse().ok()
}

pub(crate) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Locks a folder in which folders are made and swept: an empty one looks like a crash.
pub(crate) fn lock_home(home: &Path) -> Result<File, Error> {
    make_folder(home)?;
    let path = home.join("lock");
    let file = File::create(&path).map_err(Error::io("make", &path))?;
    let is_ours = wait_until(HOME_LIMIT, || {
        !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    });
    if is_ours {
        Ok(file)
    } else {
        Err(Error::TimedOut {
            step: "waiting for another start or stop",
            after: HOME_LIMIT,
        })
    }
}

/// What is kept may be removed as a whole one day, so it must not move in with anything else.
fn refuse_foreign(folder: &Path) -> Result<(), Error> {
    let mut entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    if entries.next().is_none() || folder.join("lock").exists() {
        Ok(())
    } else {
        Err(Error::NotEmpty(folder.to_owned()))
    }
}

fn temporary(home: &Path) -> PathBuf {
    home.join("temporary")
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("make", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)
                .map_err(Error::io("read", &path))?;
            let folder = folder.to_owned();
            return Err(Error::Held { folder, holder });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(process::id().to_string().as_bytes()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}

/// Kills what runs in a folder whose supervisor is gone.
fn end_leftovers(folder: &Path) {
    if let Some(process) = running(folder) {
        process.kill();
    }
    // The supervisor may have died between starting a server and noting it.
    let data = data(folder);
    for folder in [&data, &folder.join(UNFINISHED)] {
        // The system knows the folder by its path without links.
        let Ok(folder) = &folder.canonicalize() else {
            continue;
        };
        for name in PROGRAMS {
            for process in table::working_in(folder, name) {
                process.kill();
            }
        }
    }
    shared_memory::free_abandoned(&data);
    // Its number may be somebody else's by now, which PostgreSQL would take for another server.
    drop(fs::remove_file(data.join("postmaster.pid")));
}

/// Removes a folder in which nothing runs.
fn remove(folder: &Path) -> Result<(), Error> {
    shared_memory::free_abandoned(&data(folder));
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        let home = std::env::temp_dir().join(format!("ruleiq-instance-{}", process::id()));
        let instance = Instance::open(&home, Which::Redis, &DataDir::Temporary).unwrap();
        instance.make_private_folder("data").unwrap();
        let victim = home.join("victim");
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, instance.path("data/redis.conf")).unwrap();

        let written = instance.write_for_server("data/redis.conf", "theirs");

        let texts = [victim, written.unwrap()].map(|path| fs::read_to_string(path).unwrap());
        drop(instance);
        fs::remove_dir_all(&home).unwrap();
        assert_eq!(texts, ["mine", "theirs"]);
    }
}
