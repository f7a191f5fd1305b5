//! A hundred thousand hostile paths, while a rival swaps folders for links: nothing outside is read, named or written.

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

#[test]
fn a_hundred_thousand_paths_lead_nowhere() {
    let outer = tempfile::tempdir().unwrap();
    let (root, outside) = (outer.path().join("work"), outer.path().join("outside"));
    std::fs::create_dir_all(root.join("sub/deep")).unwrap();
    std::fs::create_dir_all(outside.join("sub/deep")).unwrap();
    for folder in ["", "sub/", "sub/deep/"] {
        std::fs::write(outside.join(folder).join(ONLY_OUTSIDE), CANARY).unwrap();
        std::fs::write(outside.join(folder).join("secret.txt"), CANARY).unwrap();
        std::fs::write(outside.join(folder).join("inside.txt"), CANARY).unwrap();
        std::fs::write(outside.join(folder).join("file.txt"), CANARY).unwrap();
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
    let workspace = Workspace::open(&root, WorkspaceOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    let before = listing(&outside);
    std::thread::scope(|scope| {
        #[allow(clippy::disallowed_methods)] // A rival that must run beside the test's own thread.
        scope.spawn(|| {
            let (flip, aside, link) = (root.join("flip"), root.join("aside"), root.join("link"));
            while !stop.load(Ordering::Relaxed) {
                // Each may lose against the test's own writes.
                let _ = std::fs::rename(&flip, &aside);
                let _ = std::fs::rename(&link, &flip);
                let _ = std::fs::rename(&flip, &link);
                let _ = std::fs::rename(&aside, &flip);
            }
        });
        let mut noise = Noise(7);
        let mut escaped = Vec::new();
        for n in 0..PATHS {
            let path = path(&mut noise, outer.path().to_str().unwrap());
            match workspace.find(&path) {
                Ok(Found::File(file)) => {
                    let content = file.read_all(1_000).unwrap_or_default();
                    if content == CANARY.as_bytes() {
                        escaped.push(path.clone());
                    }
                }
                Ok(Found::Folder(folder)) => {
                    if folder
                        .entries
                        .iter()
                        .any(|entry| entry.name == ONLY_OUTSIDE)
                    {
                        escaped.push(path.clone());
                    }
                }
                Err(error) => {
                    if error.to_string().contains(ONLY_OUTSIDE) {
                        escaped.push(path.clone());
                    }
                }
            }
            if n % 25 == 0
                && let Ok(target) = workspace.target(&path)
            {
                // What is written must be inside; the look at the outside below decides.
                let _ = workspace.replace(&target, b"taken");
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(escaped.is_empty(), "{} escaped: {escaped:?}", escaped.len());
    });
    assert_eq!(listing(&outside), before, "something outside was changed");
    let beside: Vec<_> = std::fs::read_dir(outer.path()).unwrap().collect();
    assert_eq!(beside.len(), 3, "{beside:?}");
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
