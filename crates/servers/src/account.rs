//! The user that a server runs as, and which folders that user can reach.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, fchown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Which, which::Product};

/// Where folders go that survive a restart of the machine and that every user reaches.
const SHARED_FOLDER: &str = "/var/tmp";

/// PostgreSQL and `PgBouncer` refuse to run as root, and nothing that listens should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Account {
    /// Whoever we are.
    Own,
    /// A user without rights, as we are root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for a server: that of its package, or `nobody`, where we are root.
    pub(crate) fn choose(which: Which) -> Result<Account, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(Error::io("read", "/etc/passwd"))?;
        which
            .product()
            .users()
            .iter()
            .find_map(|name| lookup(&users, name))
            .ok_or(Error::NoAccount(which))
    }

    /// Makes a program run as this user.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Account::Other { uid, gid } = self {
            // With a user id the supplementary groups of root are dropped, too.
            command.uid(uid).gid(gid);
        }
    }

    /// Makes the folder this user's.
    pub(crate) fn own(self, folder: &Path) -> Result<(), Error> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => {
                chown(folder, Some(uid), Some(gid)).map_err(Error::io("give away", folder))
            }
        }
    }

    /// Makes the file this user's. It is named by its descriptor: in a folder where this user may
    /// write, its path may lead elsewhere by now.
    pub(crate) fn own_file(self, file: &File) -> io::Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => fchown(file, Some(uid), Some(gid)),
        }
    }

    /// The folder to use for `folder`: itself if this user can reach it, else one of its own in
    /// the shared temporary folder, named by the hash of the path.
    pub(crate) fn place(self, folder: &Path) -> Result<PathBuf, Error> {
        if self.can_reach(folder) {
            return Ok(folder.to_owned());
        }
        let place = fallback(folder);
        match DirBuilder::new().mode(0o711).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", &place)(error));
            }
            _ => {}
        }
        if stand_in(folder).is_none() {
            return Err(Error::Foreign(place));
        }
        // Explicitly, for the umask may be strict.
        fs::set_permissions(&place, Permissions::from_mode(0o711))
            .map_err(Error::io("open", &place))?;
        Ok(place)
    }

    fn can_reach(self, folder: &Path) -> bool {
        let Account::Other { uid, gid } = self else {
            return true;
        };
        // Where links lead, all folders on the way count as well.
        let real = folder.ancestors().find_map(|it| it.canonicalize().ok());
        // What does not exist will be made by us, for all to pass.
        folder
            .ancestors()
            .chain(real.iter().flat_map(|it| it.ancestors()))
            .filter_map(|it| fs::metadata(it).ok())
            .all(|it| may_pass((it.uid(), it.gid(), it.mode()), uid, gid))
    }
}

impl Product {
    /// The users that may run it, the preferred one first. Debian's `PgBouncer` has no user but that
    /// of PostgreSQL.
    pub(crate) fn users(self) -> &'static [&'static str] {
        match self {
            Product::Postgres => &["postgres", "_postgres", "nobody"],
            Product::PgBouncer => &["pgbouncer", "postgres", "_postgres", "nobody"],
            Product::Redis => &["redis", "valkey", "_redis", "nobody"],
        }
    }
}

/// Makes the folder and its missing parents, for every user to pass and for nobody to list.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut missing: Vec<&Path> = folder.ancestors().take_while(|it| !it.exists()).collect();
    while let Some(folder) = missing.pop() {
        match fs::create_dir(folder) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", folder)(error)),
            // Explicitly, for the umask may be strict.
            Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o711))
                .map_err(Error::io("open", folder))?,
        }
    }
    Ok(())
}

/// The folder that has taken the place of `folder`, if there is one. What is not ours alone is
/// none: its maker could name processes for us to kill and files for us to write.
pub(crate) fn stand_in(folder: &Path) -> Option<PathBuf> {
    let place = fallback(folder);
    fs::symlink_metadata(&place)
        .is_ok_and(|found| is_ours_alone(&found))
        .then_some(place)
}

/// Where the data are if the server's user could not reach `folder`.
fn fallback(folder: &Path) -> PathBuf {
    let bytes = folder.as_os_str().as_encoded_bytes();
    // FNV-1a: names must differ by checkout and stay the same from run to run.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Path::new(SHARED_FOLDER).join(format!("ruleiq-servers-{hash:016x}"))
}

/// In a folder where everybody may write, a name may be taken by somebody else.
fn is_ours_alone(found: &Metadata) -> bool {
    found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o022 == 0
}

fn lookup(users: &str, name: &str) -> Option<Account> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    let uid = ids.next()?.parse().ok()?;
    let gid = ids.next()?.parse().ok()?;
    (uid != 0).then_some(Account::Other { uid, gid })
}

fn may_pass((owner, group, mode): (u32, u32, u32), uid: u32, gid: u32) -> bool {
    let bit = if owner == uid {
        0o100
    } else if group == gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up_by_their_whole_name() {
        let users = "root:x:0:0:r:/root:/bin/sh\npostgres2:x:5:6::/:/bin/sh\n\
                     postgres:x:101:104:A,,,:/var/lib/postgresql:/bin/bash\nbroken:x:one:2\n";
        let check = |name, expect| assert_eq!(lookup(users, name), expect, "{name}");
        check("postgres", Some(Account::Other { uid: 101, gid: 104 }));
        check("root", None);
        check("broken", None);
        check("redis", None);
    }

    #[test]
    fn the_most_special_right_decides() {
        let check = |owner, group, mode, expect| {
            assert_eq!(may_pass((owner, group, mode), 101, 104), expect, "{mode:o}");
        };
        check(0, 0, 0o40755, true);
        check(0, 0, 0o40700, false);
        check(0, 104, 0o40710, true);
        check(0, 104, 0o40701, false);
        check(101, 0, 0o40100, true);
        check(101, 0, 0o40077, false);
    }

    #[test]
    fn a_link_into_a_closed_folder_cannot_be_passed() {
        let folder = std::env::temp_dir().join(format!("ruleiq-reach-{}", std::process::id()));
        make_folder(&folder.join("closed/open")).unwrap();
        std::os::unix::fs::symlink("closed/open", folder.join("link")).unwrap();
        let stranger = Account::Other {
            uid: 54_321,
            gid: 54_321,
        };
        let reached = [0o711, 0o700].map(|mode| {
            fs::set_permissions(folder.join("closed"), Permissions::from_mode(mode)).unwrap();
            stranger.can_reach(&folder.join("link/not yet made"))
        });
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(reached, [true, false]);
    }

    #[test]
    fn what_others_may_write_stands_in_for_nothing() {
        let folder = PathBuf::from(format!("/checkout/of/process/{}", std::process::id()));
        let place = fallback(&folder);
        assert_eq!(stand_in(&folder), None);
        DirBuilder::new().create(&place).unwrap();
        let found = [0o777, 0o711].map(|mode| {
            fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
            stand_in(&folder)
        });
        fs::remove_dir(&place).unwrap();
        std::os::unix::fs::symlink("/", &place).unwrap();
        let link = stand_in(&folder);
        fs::remove_file(&place).unwrap();

        assert_eq!(found, [None, Some(place)]);
        assert_eq!(link, None);
    }

    #[test]
    fn two_checkouts_have_two_fallbacks() {
        let one = fallback(Path::new("/root/one/target/servers"));
        assert_eq!(one, fallback(Path::new("/root/one/target/servers")));
        assert_ne!(one, fallback(Path::new("/root/two/target/servers")));
    }
}
