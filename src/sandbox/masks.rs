//! The command's own view of the file tree: what it must not see is covered, what it may not write to is read-only, and
//! `/tmp`, `/dev/shm` and System V memory and queues are its own.
//!
//! Runs on the supervisor's main thread before any other exists: a user namespace can only be entered by a process of
//! one thread. Landlock cannot cut a hole into a tree that it allows, so holes are mounts. A covered path is an empty
//! file or folder of mode 0 on a read-only file system: it can be neither opened nor changed, removed or renamed.
//!
//! Not here: which of PicoBot's own files are private, which the instruction says.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{getgid, getuid};
use rustix::thread::UnshareFlags;

use super::confine::SYSTEM;
use super::protocol::Confine;
use super::read_only;

/// Secrets and ways out that lie, or may lie, where commands can read.
const SYSTEM_SECRETS: [&str; 17] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/krb5.keytab",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/dbus",
    "/run/systemd/private",
    "/run/user",
];

const SSH_SETTINGS: &str = "/etc/ssh";

/// Memory that commands may share among themselves.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";
const SHARED_MEMORY_OPTIONS: &std::ffi::CStr = c"size=64m,mode=1777";

const TEMPORARY: &str = "/tmp";

/// What the supervisor could do about paths that a command must not see.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Whether they are covered.
    pub(super) covered: bool,
    /// Where they are not: system paths that Landlock must leave out.
    pub(super) uncovered: Vec<PathBuf>,
}

/// Covers what the command must not see; an error says what is missing although it is required.
pub(super) fn apply(confine: &Confine) -> Result<Masks, String> {
    let hidden = Hidden::find(confine);
    let covered = enter().and_then(|()| cover(confine, &hidden));
    match covered {
        Ok(()) => Ok(Masks {
            covered: true,
            uncovered: Vec::new(),
        }),
        Err(error) if confine.required && !hidden.own.is_empty() => Err(format!(
            "no mount namespace to hide PicoBot's database and other private files in, {error}; \
             gateway.session_db_path moves the database out of the workspace"
        )),
        Err(_) => Ok(Masks {
            covered: false,
            uncovered: hidden.system,
        }),
    }
}

/// Paths to cover: they exist, and lie where the command may read. Links resolved, none inside another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hidden {
    own: Vec<PathBuf>,
    system: Vec<PathBuf>,
}

impl Hidden {
    fn find(confine: &Confine) -> Self {
        let given = confine.read.iter().chain(&confine.write).map(Path::new);
        let roots = existing(given.chain(SYSTEM.into_iter().map(Path::new)));
        let reachable = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
            let is_reachable = |path: &PathBuf| roots.iter().any(|root| path.starts_with(root));
            outermost(paths.into_iter().filter(is_reachable).collect())
        };
        let host_keys = fs::read_dir(SSH_SETTINGS).into_iter().flatten().flatten();
        let host_keys = host_keys
            .map(|entry| entry.path())
            .filter(|path| is_host_key(path));
        let system = SYSTEM_SECRETS.into_iter().map(PathBuf::from);
        Self {
            own: reachable(existing(confine.private.iter().map(Path::new))),
            system: reachable(existing(system.chain(host_keys))),
        }
    }
}

fn is_host_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b"ssh_host_") && name.ends_with(b"_key")
}

/// Returns the true paths of those that exist.
fn existing<P: AsRef<Path>>(paths: impl Iterator<Item = P>) -> Vec<PathBuf> {
    paths
        .filter_map(|path| path.as_ref().canonicalize().ok())
        .collect()
}

/// Drops what is given twice or lies inside another.
fn outermost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        // A folder sorts before what is in it.
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

/// Enters namespaces of our own for mounts and for memory that is shared by number: as root directly, else inside a user namespace that knows only this user.
fn enter() -> io::Result<()> {
    // Before the namespace: inside, nobody is known until the maps are written.
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWIPC;
    if crate::platform::unshare(own).is_err() {
        crate::platform::unshare(UnshareFlags::NEWUSER | own)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    // What is mounted from here on stays here.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", private)?)
}

fn cover(confine: &Confine, hidden: &Hidden) -> io::Result<()> {
    let writable = outermost(existing(confine.write.iter()));
    read_only::all_but(&writable)?;
    let nothing = Nothing::mount(Path::new(&confine.masks))?;
    for path in &hidden.own {
        pin_folders(path, &writable)?;
    }
    for path in hidden.own.iter().chain(&hidden.system) {
        let what = if path.is_dir() {
            &nothing.folder
        } else {
            &nothing.file
        };
        rustix::mount::mount_bind(what, path)?;
    }
    own_temporary_folders(confine)
}

/// The empty file and the empty folder that everything is covered with.
struct Nothing {
    file: PathBuf,
    folder: PathBuf,
}

impl Nothing {
    fn mount(place: &Path) -> io::Result<Self> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("none", place, "tmpfs", flags, c"size=4k,mode=0700")?;
        let (file, folder) = (place.join("file"), place.join("folder"));
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(&file)?;
        fs::DirBuilder::new().mode(0o000).create(&folder)?;
        rustix::mount::mount_remount(place, flags | MountFlags::RDONLY, c"")?;
        Ok(Self { file, folder })
    }
}

/// Makes mount points of the folders between a writable place and a path in it: otherwise one of them could be renamed,
/// and at the next call the path would not be found where it is looked for.
fn pin_folders(path: &Path, writable: &[PathBuf]) -> io::Result<()> {
    let roots = writable.iter().filter(|root| path.starts_with(root));
    let Some(root) = roots.min_by_key(|root| root.as_os_str().len()) else {
        return Ok(());
    };
    let inside = path.ancestors().skip(1);
    let mut folders: Vec<&Path> = inside.take_while(|folder| folder != root).collect();
    folders.reverse();
    for folder in folders {
        rustix::mount::mount_bind_recursive(folder, folder)?;
    }
    Ok(())
}

/// Gives the command a `/tmp` and a `/dev/shm` of its own, unless something it works with lies there.
fn own_temporary_folders(confine: &Confine) -> io::Result<()> {
    let given: Vec<&OsString> = confine.read.iter().chain(&confine.write).collect();
    let in_use = |place: &str| {
        let place = Path::new(place).canonicalize().unwrap_or_default();
        let given = existing(given.iter());
        !place.is_dir() || given.iter().any(|path| path.starts_with(&place))
    };
    if !in_use(TEMPORARY) {
        rustix::mount::mount_bind(&confine.tmp, TEMPORARY)?;
    }
    if !in_use(SHARED_MEMORY) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("none", SHARED_MEMORY, "tmpfs", flags, SHARED_MEMORY_OPTIONS)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_exists_within_reach_is_hidden_and_nothing_twice() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let [workspace, outside] = ["workspace", "outside"].map(|name| root.join(name));
        for folder in [&workspace, &outside, &workspace.join("data")] {
            fs::create_dir(folder).unwrap();
        }
        for file in [
            workspace.join("data/db"),
            workspace.join("lock"),
            outside.join("token"),
        ] {
            fs::write(file, "").unwrap();
        }
        std::os::unix::fs::symlink(workspace.join("lock"), outside.join("link")).unwrap();
        let private = [
            "workspace/data",
            "workspace/data/db",
            "workspace/gone",
            "outside/link",
            "outside/token",
        ];
        let confine = Confine {
            write: vec![workspace.clone().into()],
            private: private.map(|path| root.join(path).into()).to_vec(),
            ..Confine::default()
        };
        let hidden = Hidden::find(&confine);
        assert_eq!(hidden.own, [workspace.join("data"), workspace.join("lock")]);
        let shadow = PathBuf::from("/etc/shadow");
        assert_eq!(hidden.system.contains(&shadow), shadow.exists());
        assert!(!hidden.system.contains(&"/run/user".into()));
    }

    #[test]
    fn only_private_host_keys_count() {
        assert!(is_host_key(Path::new("/etc/ssh/ssh_host_ed25519_key")));
        assert!(!is_host_key(Path::new("/etc/ssh/ssh_host_ed25519_key.pub")));
        assert!(!is_host_key(Path::new("/etc/ssh/ssh_config")));
    }
}
