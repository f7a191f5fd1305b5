//! Hostile paths, links, special files and races against a real folder with something to steal outside it.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};

use super::*;

const CANARY: &str = "outside canary";

struct Place {
    outer: tempfile::TempDir,
    workspace: Workspace,
}

impl Place {
    fn new() -> Self {
        Self::with(WorkspaceOptions::default())
    }

    fn with(options: WorkspaceOptions) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("work");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::write(outer.path().join("secret.txt"), CANARY).unwrap();
        std::fs::write(root.join("inside.txt"), "inside").unwrap();
        std::fs::write(root.join("sub/file.txt"), "sub").unwrap();
        let workspace = Workspace::open(&root, options).unwrap();
        Self { outer, workspace }
    }

    /// The same place as on a kernel without `openat2`.
    fn stepwise() -> Self {
        let mut place = Self::new();
        assert!(!place.workspace.stepwise);
        place.workspace.stepwise = true;
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.workspace.path().join(name)
    }

    fn read(&self, path: &str) -> Result<String, FileError> {
        let content = self.workspace.file(path)?.read_all(1000)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    fn write(&self, path: &str, content: &str) -> Result<(), FileError> {
        let target = self.workspace.target(path)?;
        self.workspace.replace(&target, content.as_bytes())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.at(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn opens_relative_and_absolute_paths_inside() {
    for place in [Place::new(), Place::stepwise()] {
        let absolute = place.at("sub/file.txt");
        for path in [
            "sub/file.txt",
            "./sub//file.txt",
            "sub/./file.txt",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(place.read(path), Ok("sub".into()), "{path}");
        }
        assert_eq!(
            place.workspace.file("sub/file.txt").unwrap().name(),
            "sub/file.txt"
        );
        let found = place.workspace.find(".").unwrap();
        let Found::Folder(folder) = found else {
            panic!("{found:?}")
        };
        let names: Vec<_> = folder
            .entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(names, ["sub", "inside.txt"]);
    }
    assert_eq!(Place::new().read("sub/../inside.txt"), Ok("inside".into()));
}

#[test]
fn nothing_leads_outside() {
    for place in [Place::new(), Place::stepwise()] {
        let secret = place.outer.path().join("secret.txt");
        symlink(&secret, place.at("absolute")).unwrap();
        symlink("../secret.txt", place.at("relative")).unwrap();
        symlink("..", place.at("up")).unwrap();
        symlink("/", place.at("root")).unwrap();
        symlink("/proc/self/root", place.at("magic")).unwrap();
        symlink("loop", place.at("loop")).unwrap();
        for path in [
            "../secret.txt",
            "sub/../../secret.txt",
            "..",
            secret.to_str().unwrap(),
            "/etc/passwd",
            "/",
            "~/x",
            "absolute",
            "relative",
            "up/secret.txt",
            "up",
            "root/etc/passwd",
            "magic/etc/passwd",
            "loop",
            "sub/deep/../../../secret.txt",
        ] {
            let read = place.read(path);
            assert!(read.is_err(), "{path}: {read:?}");
            let written = place.write(path, "taken");
            assert!(written.is_err(), "{path}");
            assert!(
                place.write(&format!("{path}/new"), "taken").is_err(),
                "{path}"
            );
        }
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), CANARY);
        assert_eq!(place.names(".."), ["secret.txt", "work"]);
    }
}

#[test]
fn unusable_paths_are_refused_in_words() {
    let place = Place::new();
    let long = "x".repeat(5000);
    let long_name = "x".repeat(300);
    let deep = "d/".repeat(200);
    for path in ["", "  ", "a\0b", &long, &long_name, &deep] {
        assert!(
            matches!(place.read(path), Err(FileError::Path(_))),
            "{path:.20}"
        );
        assert!(
            matches!(
                place.write(path, "x"),
                Err(FileError::Path(_) | FileError::Folder)
            ),
            "{path:.20}"
        );
    }
    assert_eq!(place.read("inside.txt/x"), Err(FileError::NotAFolder));
    assert_eq!(place.write("inside.txt/x", ""), Err(FileError::NotAFolder));
    assert_eq!(place.read("sub"), Err(FileError::Folder));
    assert_eq!(place.write("sub", ""), Err(FileError::Folder));
    assert_eq!(place.write("new/", ""), Err(FileError::Folder));
    assert_eq!(place.write(".", ""), Err(FileError::Folder));
}

#[test]
fn missing_files_name_what_is_near() {
    let place = Place::new();
    let missing = |path: &str| match place.read(path) {
        Err(FileError::Missing(near)) => near,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        missing("inside.tx"),
        "Nearest in the workspace: \"inside.txt\""
    );
    assert_eq!(missing("sbu/file.txt"), "Nearest in the workspace: \"sub\"");
    assert_eq!(missing("sub/File.txt"), "Nearest in sub/: \"file.txt\"");
    assert_eq!(missing("zzz"), "In the workspace there is: sub, inside.txt");
    assert_eq!(missing("sub/deep/x"), "Nothing is in sub/deep/ yet");
    std::fs::write(place.at("picobot.db"), "").unwrap();
    assert_eq!(missing("zzz"), "In the workspace there is: sub, inside.txt");
}

#[test]
fn links_inside_are_followed_and_written_through() {
    let place = Place::new();
    symlink("sub/file.txt", place.at("link")).unwrap();
    symlink("sub", place.at("dir")).unwrap();
    symlink("nowhere", place.at("dead")).unwrap();
    symlink("nowhere", place.at("deaddir")).unwrap();
    assert_eq!(place.read("link"), Ok("sub".into()));
    assert_eq!(place.read("dir/file.txt"), Ok("sub".into()));
    place.write("link", "through").unwrap();
    assert_eq!(place.read("sub/file.txt"), Ok("through".into()));
    assert!(place.at("link").is_symlink());
    place.write("dir/new.txt", "new").unwrap();
    assert_eq!(place.read("sub/new.txt"), Ok("new".into()));
    assert_eq!(place.write("dead", "x"), Err(FileError::DeadLink));
    assert_eq!(place.write("deaddir/x", "x"), Err(FileError::DeadLink));
    assert_eq!(place.read("dead").unwrap_err(), FileError::DeadLink);
    assert!(!place.at("nowhere").exists());
}

#[test]
fn special_files_are_left_alone() {
    let place = Place::new();
    rustix::fs::mknodat(
        CWD,
        place.at("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.at("socket")).unwrap();
    for name in ["fifo", "socket"] {
        assert!(
            matches!(place.read(name), Err(FileError::Special(_))),
            "{name}"
        );
        assert!(
            matches!(place.write(name, "x"), Err(FileError::Special(_))),
            "{name}"
        );
    }
    // Devices can be made by root only; elsewhere there is nothing to refuse.
    let device = rustix::fs::makedev(1, 5);
    let mode = Mode::from_raw_mode(0o666);
    if rustix::fs::mknodat(
        CWD,
        place.at("zero"),
        FileType::CharacterDevice,
        mode,
        device,
    )
    .is_ok()
    {
        assert_eq!(place.read("zero"), Err(FileError::Special("a device")));
        assert_eq!(
            place.write("zero", "x"),
            Err(FileError::Special("a device"))
        );
    }
}

#[test]
fn own_files_are_off_limits_under_every_name() {
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config.json");
    std::fs::write(&config, "{}").unwrap();
    let mut place = Place::with(WorkspaceOptions {
        private: vec![config.clone()],
        ..WorkspaceOptions::default()
    });
    let inside = place.workspace.canonical.join("my/config.json");
    place.workspace.options.private.push(inside);
    for name in [
        "picobot.db",
        ".env",
        "my/config.json",
        ".git/config",
        ".git/hooks/x",
        "other/config.json",
    ] {
        std::fs::create_dir_all(place.at(name).parent().unwrap()).unwrap();
        std::fs::write(place.at(name), "secret").unwrap();
    }
    symlink("picobot.db", place.at("link")).unwrap();
    symlink(".git", place.at("git")).unwrap();
    std::fs::hard_link(place.at(".env"), place.at("hard")).unwrap();
    std::fs::hard_link(place.at("picobot.db"), place.at("sub/hard")).unwrap();
    std::fs::hard_link(&config, place.at("sub/cfg")).unwrap();
    for name in [
        "picobot.db",
        "sub/../picobot.db",
        ".env",
        "my/config.json",
        ".git/config",
        ".git/hooks/x",
        ".git/hooks",
        "link",
        "git/config",
        "git/hooks/x",
        "hard",
        "sub/hard",
        "sub/cfg",
    ] {
        assert_eq!(
            place.workspace.find(name).map(|_| ()),
            Err(FileError::OffLimits),
            "{name}"
        );
        assert_eq!(place.write(name, "x"), Err(FileError::OffLimits), "{name}");
    }
    for name in [
        "PICOBOT.DB",
        "picobot.db-wal",
        "sub/.Env",
        "git/hooks/new",
        ".git/hooks/a/b",
        "new/.git",
        "gateway.token",
    ] {
        assert_eq!(place.write(name, "x"), Err(FileError::OffLimits), "{name}");
    }
    assert_eq!(place.read("other/config.json"), Ok("secret".into()));
    let Ok(Found::Folder(folder)) = place.workspace.find(".") else {
        panic!("the workspace can be listed")
    };
    let env = folder
        .entries
        .iter()
        .find(|entry| entry.name == ".env")
        .unwrap();
    assert_eq!(env.note, Some("off limits"));
}

#[test]
fn writing_is_atomic_and_keeps_the_mode() {
    let place = Place::new();
    place.write("a/b/c/new.txt", "new").unwrap();
    assert_eq!(place.read("a/b/c/new.txt"), Ok("new".into()));
    let mode = |name: &str| {
        std::fs::metadata(place.at(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("a/b/c/new.txt"), 0o644);
    assert_eq!(mode("a/b"), 0o755);
    std::fs::set_permissions(place.at("inside.txt"), PermissionsExt::from_mode(0o750)).unwrap();
    let open_before = std::fs::File::open(place.at("inside.txt")).unwrap();
    place.write("inside.txt", "replaced").unwrap();
    assert_eq!(mode("inside.txt"), 0o750);
    let mut old = String::new();
    (&open_before).read_to_string(&mut old).unwrap();
    assert_eq!(old, "inside", "a reader keeps the old content");
    std::fs::hard_link(place.at("inside.txt"), place.at("second")).unwrap();
    assert_eq!(place.write("inside.txt", "x"), Err(FileError::HardLinked));
    assert_eq!(
        place.names("."),
        ["a", "inside.txt", "second", "sub"],
        "no temporary file is left"
    );
    place.write("笔记/今天 🎉.md", "你好").unwrap();
    assert_eq!(place.read("笔记/今天 🎉.md"), Ok("你好".into()));
}

#[test]
fn a_place_that_changed_meanwhile_is_not_overwritten() {
    let place = Place::new();
    let existing = place.workspace.target("inside.txt").unwrap();
    std::fs::write(place.at("inside.txt"), "someone else's").unwrap();
    assert_eq!(
        place.workspace.replace(&existing, b"mine"),
        Err(FileError::Changed)
    );
    let free = place.workspace.target("free.txt").unwrap();
    std::fs::write(place.at("free.txt"), "someone else's").unwrap();
    assert_eq!(
        place.workspace.replace(&free, b"mine"),
        Err(FileError::Changed)
    );
    let gone = place.workspace.target("sub/file.txt").unwrap();
    std::fs::remove_file(place.at("sub/file.txt")).unwrap();
    assert_eq!(
        place.workspace.replace(&gone, b"mine"),
        Err(FileError::Changed)
    );
    assert_eq!(place.read("inside.txt"), Ok("someone else's".into()));
    assert_eq!(place.read("free.txt"), Ok("someone else's".into()));
    assert_eq!(place.names("."), ["free.txt", "inside.txt", "sub"]);
}

#[test]
fn files_over_the_limit_are_refused() {
    let place = Place::new();
    std::fs::write(place.at("big"), "x".repeat(1001)).unwrap();
    assert_eq!(
        place.read("big"),
        Err(FileError::TooBig {
            size: 1001,
            limit: 1000
        })
    );
}

#[test]
fn names_that_are_no_text_are_listed_escaped() {
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xE9.txt");
    std::fs::write(place.at("sub/deep").join(name), "x").unwrap();
    let Ok(Found::Folder(folder)) = place.workspace.find("sub/deep") else {
        panic!("the folder can be listed")
    };
    assert_eq!(folder.entries[0].name, "caf\\xE9.txt");
    assert!(folder.entries[0].note.is_some());
}

#[test]
fn a_workspace_must_exist_and_be_absolute() {
    let open = |path: &Path| {
        Workspace::open(path, WorkspaceOptions::default())
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    let place = Place::new();
    assert_eq!(
        open(Path::new("relative")),
        Err(io::ErrorKind::InvalidInput)
    );
    assert_eq!(open(&place.at("none")), Err(io::ErrorKind::NotFound));
    assert_eq!(
        open(&place.at("inside.txt")),
        Err(io::ErrorKind::NotADirectory)
    );
}

/// Runs `attempt` while another thread keeps swapping `name` between a good link and a bad one: `least` times, and on
/// until one attempt got through the good link.
fn while_swapping(
    place: &Place,
    name: &str,
    links: [PathBuf; 2],
    least: usize,
    mut attempt: impl FnMut() -> bool,
) {
    let path = place.at(name);
    let spare = place.at("spare");
    symlink(&links[1], &path).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = crate::threads::spawn("swapper", 128 * 1024, {
        let stop = stop.clone();
        move || {
            for link in links.iter().cycle() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                symlink(link, &spare).unwrap();
                std::fs::rename(&spare, &path).unwrap();
            }
        }
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut through = false;
    let mut attempts = 0;
    while attempts < least || (!through && Instant::now() < deadline) {
        through |= attempt();
        attempts += 1;
    }
    stop.store(true, Ordering::Release);
    swapper.join_within(Duration::from_secs(60)).unwrap();
    assert!(through, "no attempt ever got through the good link");
}

#[test]
fn a_swapped_link_never_leads_a_reader_out() {
    let place = Place::new();
    let links = [
        PathBuf::from("inside.txt"),
        place.outer.path().join("secret.txt"),
    ];
    while_swapping(&place, "race", links, 1_000, || match place.read("race") {
        Ok(text) => {
            assert_eq!(text, "inside");
            true
        }
        Err(error) => {
            assert_eq!(error, FileError::Outside);
            false
        }
    });
}

#[test]
fn a_swapped_folder_never_leads_a_writer_out() {
    let place = Place::new();
    let victim = place.outer.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    let links = [PathBuf::from("sub"), victim.clone()];
    while_swapping(&place, "race", links, 200, || {
        let plain = place.write("race/out.txt", "x").is_ok();
        place.write("race/more/out.txt", "x").is_ok() || plain
    });
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn writers_of_one_file_do_not_overwrite_each_other_unseen() {
    let place = Arc::new(Place::new());
    place.write("count", "0").unwrap();
    let add = |place: &Place| {
        let mut added = 0;
        for _ in 0..50 {
            let target = place.workspace.target("count").unwrap();
            let seen = target.existing().unwrap().read_all(100).unwrap();
            let count: u32 = String::from_utf8(seen).unwrap().parse().unwrap();
            match place
                .workspace
                .replace(&target, (count + 1).to_string().as_bytes())
            {
                Ok(()) => added += 1,
                Err(error) => assert_eq!(error, FileError::Changed),
            }
        }
        added
    };
    let (tell, told) = crossbeam_channel::bounded(1);
    let other = crate::threads::spawn("writer", 256 * 1024, {
        let place = place.clone();
        move || tell.send(add(&place)).unwrap()
    })
    .unwrap();
    let mine: u32 = add(&place);
    let theirs = told.recv_timeout(Duration::from_secs(60)).unwrap();
    other.join_within(Duration::from_secs(60)).unwrap();
    assert_eq!(place.read("count"), Ok((mine + theirs).to_string()));
}

#[test]
fn writers_that_miss_the_same_folder_do_not_disturb_each_other() {
    let place = Place::new();
    for round in 0..200 {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (place, path) = (&place, format!("new-{round}/deeper/{n}.txt"));
                Box::new(move || place.write(&path, "made")) as Box<dyn FnOnce() -> _ + Send + '_>
            })
            .collect();
        let written = crate::threads::run_parallel("writer", 256 * 1024, 4, writers);
        assert_eq!(written, [Ok(()), Ok(()), Ok(()), Ok(())], "round {round}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_path_of_any_shape_leads_outside(paths in prop::collection::vec(
        prop::collection::vec(prop::sample::select(vec!["..", ".", "sub", "deep", "up", "abs", "in", "secret.txt", "inside.txt", "", "/", "\u{2025}", "..\\", "etc", "passwd"]), 1..8),
        20,
    )) {
        let place = Place::new();
        symlink("..", place.at("sub/up")).unwrap();
        symlink("../..", place.at("up")).unwrap();
        symlink(place.outer.path(), place.at("abs")).unwrap();
        symlink("sub/deep", place.at("in")).unwrap();
        for parts in paths {
            let path = parts.join("/");
            if let Ok(text) = place.read(&path) {
                prop_assert!(text == "inside" || text == "sub" || text == "made", "{}", path);
            }
            if place.write(&path, "made").is_ok() {
                prop_assert_eq!(place.read(&path), Ok("made".into()));
            }
        }
        let secret = std::fs::read_to_string(place.outer.path().join("secret.txt")).unwrap();
        prop_assert_eq!(secret, CANARY);
        prop_assert_eq!(place.names(".."), ["secret.txt", "work"]);
    }
}
