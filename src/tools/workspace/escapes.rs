//! A hundred thousand hostile paths, while a rival swaps folders for links: nothing outside is read, named or written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const CANARY: &str = "outside canary";
/// A name that no path spells: who knows it has looked outside.
const ONLY_OUTSIDE: &str = "canary-name.txt";
const PATHS: usize = 100_000;
/// What hostile paths are made of.
const PIECES: [&str; 30] = [
    "..",
    ".",
    "",
    "sub",
    "deep",
    "up",
    "root",
    "magic",
    "absolute",
    "relative",
    "flip",
    "loop",
    "secret.txt",
    "etc",
    "passwd",
    "...",
    "..\\",
    "%2e%2e",
    "~",
    "proc",
    "self",
    "fd",
    "cwd",
    "inside.txt",
    "file.txt",
    "new",
    "‥",
    "．．",
    "hole",
    "outside",
];

/// Repeatable noise.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn path(noise: &mut Noise, outside: &str) -> String {
    let mut parts = Vec::new();
    for _ in 0..=noise.below(7) {
        parts.push(PIECES[noise.below(PIECES.len())]);
    }
    let path = parts.join(["/", "//", "/./"][noise.below(3)]);
    match noise.below(8) {
        0 => format!("/{path}"),
        1 => format!("{outside}/{path}"),
        2 => format!("{path}/"),
        _ => path,
    }
}

/// The workspace `work`, the folder `outside` beside it, and links between them.
struct Ground {
    outer: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let (root, outside) = (outer.path().join("work"), outer.path().join("outside"));
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::create_dir_all(outside.join("sub/deep")).unwrap();
        for folder in ["", "sub/", "sub/deep/"] {
            for name in [ONLY_OUTSIDE, "secret.txt", "inside.txt", "file.txt"] {
                std::fs::write(outside.join(folder).join(name), CANARY).unwrap();
            }
        }
        std::fs::write(outer.path().join("secret.txt"), CANARY).unwrap();
        std::fs::write(root.join("inside.txt"), "inside").unwrap();
        std::fs::write(root.join("sub/file.txt"), "sub").unwrap();
        for (link, target) in [
            ("absolute", outside.to_str().unwrap()),
            ("relative", "../outside"),
            ("up", ".."),
            ("root", "/"),
            ("magic", "/proc/self/root"),
            ("loop", "loop"),
            ("sub/up", "../.."),
            ("hole", "../outside/secret.txt"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        std::fs::create_dir(root.join("flip")).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        Self {
            outer,
            root,
            outside,
        }
    }

    /// Runs something while a rival swaps the folder `flip` for a link to the outside and back.
    fn while_flipping<T>(&self, body: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            #[allow(clippy::disallowed_methods)]
            // A rival that must run beside the test's own thread.
            scope.spawn(|| {
                let [flip, aside, link] =
                    ["flip", "aside", "link"].map(|name| self.root.join(name));
                while !stop.load(Ordering::Relaxed) {
                    // Each may lose against the test's own writes.
                    let _ = std::fs::rename(&flip, &aside);
                    let _ = std::fs::rename(&link, &flip);
                    let _ = std::fs::rename(&flip, &link);
                    let _ = std::fs::rename(&aside, &flip);
                }
            });
            let result = body();
            stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Looks at so many paths by a function, which returns what it read or saw named; returns the paths that escaped.
    fn escapes(
        &self,
        n_paths: usize,
        look: impl Fn(usize, &str) -> Option<Vec<u8>>,
    ) -> Vec<String> {
        let mut noise = Noise(7);
        let outside = self.outer.path().to_str().unwrap();
        let paths = (0..n_paths).map(|n| (n, path(&mut noise, outside)));
        paths
            .filter(|(n, path)| {
                let seen = look(*n, path).unwrap_or_default();
                [CANARY, ONLY_OUTSIDE]
                    .iter()
                    .any(|sign| seen.windows(sign.len()).any(|part| part == sign.as_bytes()))
            })
            .map(|(_, path)| path)
            .collect()
    }
}

/// Looks as the file tools do.
fn look(workspace: &Workspace, path: &str) -> Vec<u8> {
    match workspace.find(path) {
        Ok(Found::File(file)) => file.read_all(1_000).unwrap_or_default(),
        Ok(Found::Folder(folder)) => {
            let names = folder.entries.iter().map(|entry| entry.name.as_str());
            names.collect::<Vec<_>>().join("\n").into_bytes()
        }
        Err(error) => error.to_string().into_bytes(),
    }
}

#[test]
fn a_hundred_thousand_paths_lead_nowhere() {
    let ground = Ground::new();
    let before = listing(&ground.outside);
    for stepwise in [false, true] {
        let mut workspace = Workspace::open(&ground.root, WorkspaceOptions::default()).unwrap();
        workspace.stepwise |= stepwise;
        // The second way is for old kernels, and simpler.
        let n_paths = if stepwise { PATHS / 10 } else { PATHS };
        let escaped = ground.while_flipping(|| {
            ground.escapes(n_paths, |n, path| {
                let seen = look(&workspace, path);
                if n % 25 == 0
                    && let Ok(target) = workspace.target(path)
                {
                    // What is written must be inside; the look at the outside below decides.
                    let _ = workspace.replace(&target, b"taken");
                }
                Some(seen)
            })
        });
        assert!(escaped.is_empty(), "{} escaped: {escaped:?}", escaped.len());
    }
    assert_eq!(
        listing(&ground.outside),
        before,
        "something outside was changed"
    );
    let beside: Vec<_> = std::fs::read_dir(ground.outer.path()).unwrap().collect();
    assert_eq!(beside.len(), 3, "{beside:?}");
}

#[test]
fn the_same_paths_escape_where_nothing_holds_them() {
    let ground = Ground::new();
    // Without any check.
    let escaped = ground.escapes(PATHS, |_, path| {
        let path = ground.root.join(path);
        let names = std::fs::read_dir(&path).map(|folder| {
            let names = folder.flatten().map(|entry| entry.file_name());
            names.collect::<Vec<_>>().join(OsStr::new("\n")).into_vec()
        });
        names.or_else(|_| std::fs::read(&path)).ok()
    });
    assert!(escaped.len() > 1_000, "{}", escaped.len());
    // With a check before the open, which the rival outruns; it may take it a while on a busy machine.
    let inside = ground.root.canonicalize().unwrap();
    let raced = ground.while_flipping(|| {
        (0..10_000_000).any(|_| {
            let path = ground.root.join("flip/secret.txt");
            let folder = ground.root.join("flip").canonicalize();
            let checked = folder.is_ok_and(|folder| folder.starts_with(&inside));
            checked && std::fs::read(&path).is_ok_and(|content| content == CANARY.as_bytes())
        })
    });
    assert!(raced, "the rival never won");
}

/// Everything below a folder with its content.
fn listing(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(listing(&path));
        } else {
            out.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    out.sort();
    out
}
