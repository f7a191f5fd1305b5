//! Scripted escapes: none may succeed at level `workspace`, and each must at `full`, which shows that it is one.
//!
//! The gateway is played by this test binary again, with secrets in its environment and open files, so that it is the
//! commands' real ancestor. All scripts of a level run in one call, one after the other.

mod table;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use picobot::sandbox::{Call, End, Level, Sandbox, init_gateway};
use picobot::threads::CancelToken;
use rustix::process::getuid;

use super::{assert_none_left, has, policy};
use table::Escape;

const ROLE: &str = "PICOBOT_TEST_ESCAPES";
const ALL: [&[Escape]; 6] = [
    table::FILES,
    table::DATABASE,
    table::WRITES,
    table::PROCESSES,
    table::NETWORK,
    table::KERNEL,
];

/// When an escape must succeed at level `full`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Control {
    Always,
    /// Where the tests run as root.
    Root,
    /// Where root has this path or this machine has this feature.
    Needs(&'static str),
    /// Not applicable, for this reason.
    Never(&'static str),
}

impl Control {
    /// Returns why an escape need not succeed at level `full` here.
    fn not_applicable(self) -> Option<String> {
        let root = getuid().is_root();
        match self {
            Control::Always => None,
            Control::Root if root && cfg!(target_arch = "x86_64") => None,
            Control::Root => Some("only root could".to_owned()),
            Control::Never(reason) => Some(reason.to_owned()),
            Control::Needs("x86_64") if cfg!(target_arch = "x86_64") => None,
            Control::Needs("ipv6") if TcpListener::bind("[::1]:0").is_ok() => None,
            Control::Needs("userns") if shell("unshare -U true") => None,
            Control::Needs("af_alg")
                if shell("/usr/bin/python3 -c 'import socket; socket.socket(38, 5, 0)'") =>
            {
                None
            }
            Control::Needs(path) if path.starts_with("/lib") && has(path) => None,
            Control::Needs(path)
                if path.starts_with("/dev") && root && fs::File::open(path).is_ok() =>
            {
                None
            }
            Control::Needs(path) if !path.starts_with("/dev") && has(path) && root => None,
            Control::Needs(what) => Some(format!("no {what} here")),
        }
    }
}

fn shell(command: &str) -> bool {
    let quiet = || Stdio::null();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdout(quiet()).stderr(quiet());
    shell.status().unwrap().success()
}

/// What the scripts look for, and the servers that they must not reach.
struct Prison {
    root: tempfile::TempDir,
    visible: tempfile::TempDir,
    victim: Child,
    env: BTreeMap<&'static str, String>,
    _servers: (Vec<TcpListener>, UdpSocket, Vec<UnixListener>, UnixDatagram),
}

impl Prison {
    fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("picobot-prison-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let (work, out) = (root.path().join("workspace"), root.path().join("outside"));
        for folder in ["workspace/data/more", "outside/home/.ssh", "temp"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in [
            "outside/secret",
            "outside/movable",
            "outside/appended",
            "outside/emptied",
            "outside/removed",
            "outside/gateway.token",
            "outside/home/.ssh/id_ed25519",
            "workspace/picobot.db",
            "workspace/picobot.db-wal",
            "workspace/picobot.db-shm",
            "workspace/data/more/deep.db",
        ] {
            fs::write(root.path().join(file), "planted\n").unwrap();
        }
        fs::write(out.join("script"), "true\n").unwrap();
        fs::copy("/bin/true", out.join("program")).unwrap();
        plant_set_user_id(&work.join("suid-id"));

        let name = uuid::Uuid::now_v7().simple().to_string();
        let visible = tempfile::Builder::new()
            .prefix("x")
            .tempdir_in("/tmp")
            .unwrap();
        fs::create_dir(format!("/tmp/picobot-escape-{name}")).unwrap();
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let unix = vec![
            UnixListener::bind(out.join("docker.sock")).unwrap(),
            UnixListener::bind(work.join("local.sock")).unwrap(),
            UnixListener::bind_addr(&abstract_address).unwrap(),
        ];
        let datagram = UnixDatagram::bind(work.join("datagram.sock")).unwrap();
        let tcp: Vec<TcpListener> = ["127.0.0.1:0", "127.169.254.169:0", "[::1]:0"]
            .iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        let port = |n: usize| {
            tcp.get(n)
                .map_or(0, |tcp| tcp.local_addr().unwrap().port())
                .to_string()
        };
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let victim = Command::new("/bin/cat")
            .env("SECRET", "planted")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let home = std::env::var("REAL_HOME").or_else(|_| std::env::var("HOME"));
        let env = BTreeMap::from([
            ("OUT", path(&out)),
            ("WORK", path(&work)),
            ("REAL_HOME", home.unwrap_or_else(|_| "/root".to_owned())),
            ("PORT", port(0)),
            ("META_PORT", port(1)),
            ("PORT6", port(2)),
            ("UDP_PORT", udp.local_addr().unwrap().port().to_string()),
            ("ABSTRACT", name.clone()),
            ("IPC", path(&fs::read_link("/proc/self/ns/ipc").unwrap())),
            ("VICTIM", victim.id().to_string()),
            ("MARKER", format!("marker-{name}")),
        ]);
        Self {
            root,
            visible,
            victim,
            env,
            _servers: (tcp, udp, unix, datagram),
        }
    }

    /// Runs all escapes at a level; returns the names of those that succeeded.
    fn run(&self, level: &str) -> Vec<String> {
        let scripts = self.root.path().join("workspace/escapes");
        fs::create_dir(&scripts).unwrap();
        for (number, (_, script, _)) in escapes().enumerate() {
            fs::write(scripts.join(format!("{number:03}")), table::source(script)).unwrap();
        }
        let secret = fs::File::open(self.root.path().join("outside/secret")).unwrap();
        // Through a shell that leaves a file open for everybody behind it.
        let gateway = Command::new("/bin/bash")
            .args(["-c", "exec \"$0\" \"$@\" 37<&0"])
            .arg(std::env::current_exe().unwrap())
            .args([
                "sandbox::escapes::plays_the_gateway",
                "--exact",
                "--nocapture",
            ])
            .env(ROLE, self.root.path())
            .env("LEVEL", level)
            .env("SECRET", "planted")
            .envs(&self.env)
            .stdin(secret)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = gateway.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert_none_left(&self.env["MARKER"]);
        let names: Vec<&str> = escapes().map(|(name, ..)| *name).collect();
        let ran = text
            .lines()
            .filter(|line| line.starts_with("tried "))
            .count();
        assert_eq!(ran, names.len(), "{text}");
        text.lines()
            .filter_map(|line| line.strip_prefix("tried ")?.strip_suffix(" 0"))
            .map(|number| names[number.parse::<usize>().unwrap()].to_owned())
            .collect()
    }
}

impl Drop for Prison {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = fs::remove_dir(format!("/tmp/picobot-escape-{}", self.env["ABSTRACT"]));
        debug_assert!(self.visible.path().exists());
    }
}

/// Only root can give a program away.
fn plant_set_user_id(path: &Path) {
    fs::copy("/usr/bin/id", path).unwrap();
    if getuid().is_root() {
        std::os::unix::fs::chown(path, Some(1), None).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).unwrap();
    }
}

fn escapes() -> impl Iterator<Item = &'static Escape> {
    ALL.into_iter().flatten()
}

/// Plays the gateway when the test below asks for it; passes at once otherwise.
#[test]
fn plays_the_gateway() {
    let Some(root) = std::env::var_os(ROLE).map(PathBuf::from) else {
        return;
    };
    init_gateway().unwrap();
    let workspace = root.join("workspace");
    let mut policy = policy(&root.join("temp"));
    if std::env::var("LEVEL").unwrap() == "full" {
        policy.level = Level::Full;
    }
    policy.private = [
        "picobot.db",
        "picobot.db-wal",
        "picobot.db-shm",
        "data/more/deep.db",
    ]
    .map(|name| workspace.join(name))
    .to_vec();
    let driver = "exec 2>/dev/null; export SUPERVISOR=$PPID
        for script in escapes/*; do
            timeout -k 1 20 bash $script >/dev/null 2>&1
            echo tried ${script#escapes/} $?
        done";
    let names = [
        "OUT",
        "WORK",
        "REAL_HOME",
        "PORT",
        "META_PORT",
        "PORT6",
        "UDP_PORT",
        "ABSTRACT",
        "IPC",
        "VICTIM",
        "MARKER",
    ];
    let mut env: Vec<_> = names
        .iter()
        .map(|name| (name.into(), std::env::var_os(name).unwrap()))
        .collect();
    env.push(("GW".into(), std::process::id().to_string().into()));
    let call = Call {
        workspace: &workspace,
        cwd: &workspace,
        argv: ["/bin/bash", "-c", driver].map(Into::into).to_vec(),
        env,
        deadline: Duration::from_secs(300),
        output_cap: 64 * 1024,
    };
    let outcome = Sandbox::new(policy)
        .run(&call, &CancelToken::new(), &mut |_| {})
        .unwrap();
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    assert_eq!(outcome.survivors, 0);
    println!("\n{}", outcome.output);
}

#[test]
fn no_escape_succeeds_and_each_is_one() {
    if !has("/usr/bin/python3") {
        return;
    }
    assert!(escapes().count() >= 80, "{}", escapes().count());
    let escaped = Prison::new().run("workspace");
    assert_eq!(escaped, Vec::<String>::new());
    let controls = Prison::new().run("full");
    let mut unproven = Vec::new();
    let mut n_proven = 0;
    for (name, _, control) in escapes() {
        match control.not_applicable() {
            None if controls.iter().any(|proven| proven == name) => n_proven += 1,
            None => unproven.push(*name),
            Some(reason) => println!("not applicable: {name}: {reason}"),
        }
    }
    assert_eq!(unproven, [""; 0], "no escapes even at level full");
    let n_tried = escapes().count();
    println!("{n_tried} escapes, {n_proven} proven at level full, 0 succeeded");
}

/// The same as an ordinary user, where the tests run as root.
#[test]
fn no_escape_succeeds_for_an_ordinary_user() {
    if !getuid().is_root() || !has("/usr/bin/setpriv") {
        return;
    }
    let ran = Command::new("/usr/bin/setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "sandbox::escapes::no_escape_succeeds_and_each_is_one",
            "--exact",
            "--nocapture",
        ])
        .env("REAL_HOME", "/home")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{text}");
    assert!(text.contains("0 succeeded"), "{text}");
}
