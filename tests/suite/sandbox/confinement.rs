//! What a confined command cannot do. Each refusal has its positive control: the same works at level `full`.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use picobot::sandbox::{End, Level, SandboxError};

use super::{CEILING, Ground, has};

/// Checks that a command fails when confined and works when free.
fn check_refused(command: &str) {
    check_refused_with(|_| command.to_owned());
}

fn check_refused_with(command: impl Fn(&Ground) -> String) {
    for (ground, free) in [(Ground::new(), false), (Ground::full(), true)] {
        let secret = ground.outside.join("secret");
        std::fs::write(&secret, "planted").unwrap();
        let command = format!("outside={}; {}", ground.outside.display(), command(&ground));
        let outcome = ground.run(&command);
        assert_eq!(
            outcome.end == End::Exited(0),
            free,
            "{:?} {command}: {}",
            ground.sandbox.policy().level,
            outcome.output
        );
        assert!(free || !outcome.output.contains("planted"), "{command}");
    }
}

#[test]
fn files_outside_cannot_be_read() {
    check_refused("cat $outside/secret");
    check_refused("ls $outside");
    check_refused("ln -s $outside link && cat link/secret");
    check_refused("cat ../outside/secret");
    check_refused("cd $outside && cat secret");
    check_refused("cat /proc/self/root/$outside/secret");
    check_refused("ls /tmp");
    check_refused("ls /home");
}

#[test]
fn files_outside_cannot_be_written() {
    check_refused("echo x >$outside/new");
    check_refused("echo x >>$outside/secret");
    check_refused("rm $outside/secret");
    check_refused("mv $outside/secret .");
    check_refused("ln $outside/secret link");
    check_refused("mkdir $outside/folder");
    check_refused("truncate -s 0 $outside/secret");
    let ground = Ground::new();
    assert_ne!(ground.run("touch /usr/x-picobot-test").end, End::Exited(0));
    assert_ne!(ground.run("touch /etc/x-picobot-test").end, End::Exited(0));
}

#[test]
fn the_workspace_and_the_private_folders_are_writable() {
    let ground = Ground::new();
    ground.check(
        "set -e; mkdir -p a/b; echo 1 >a/b/f; mv a/b/f g; ln g h; ln -s g i; cp g $TMPDIR; mv $TMPDIR/g ~; cat ~/g i
         rm -r a; echo '#!/bin/sh' >run; echo 'echo ran' >>run; chmod +x run; ./run; echo x >/dev/null",
        End::Exited(0),
        "1\n1\nran\n",
    );
}

#[test]
fn read_paths_can_be_read_and_not_written() {
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("f"), "shared\n").unwrap();
    let ground = Ground::with(|policy| {
        policy.read_paths = vec![shared.path().into(), "/no/such/path".into()];
    });
    let path = shared.path().display();
    ground.check(&format!("cat {path}/f"), End::Exited(0), "shared\n");
    assert_ne!(ground.run(&format!("echo x >{path}/f")).end, End::Exited(0));
}

#[test]
fn the_gateway_and_the_supervisor_are_out_of_reach() {
    let gateway = std::process::id();
    check_refused(&format!("cat /proc/{gateway}/environ >/dev/null"));
    check_refused(&format!("readlink /proc/{gateway}/fd/0"));
    check_refused(&format!("kill -0 {gateway}"));
    check_refused("kill -0 $PPID");
    // Without a control: at level full only root could do most of these.
    let ground = Ground::new();
    for command in [
        "readlink /proc/$PPID/fd/1",
        "cat /proc/$PPID/environ",
        "kill -9 $PPID",
        "kill -STOP $PPID",
    ] {
        assert_ne!(ground.run(command).end, End::Exited(0), "{command}");
    }
}

/// A Python expression that must raise when confined.
fn python(code: &str) -> String {
    format!("/usr/bin/python3 -c '\nimport socket, os, ctypes\nfrom socket import *\n{code}'")
}

fn check_python_refused(code: &str) {
    check_refused(&python(code));
}

#[test]
fn the_network_cannot_be_reached() {
    if !has("/usr/bin/python3") {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp_port = tcp.local_addr().unwrap().port();
    let udp_port = udp.local_addr().unwrap().port();
    check_python_refused(&format!("create_connection((\"127.0.0.1\", {tcp_port}))"));
    check_python_refused(&format!(
        "socket(AF_INET, SOCK_DGRAM).sendto(b\"x\", (\"127.0.0.1\", {udp_port}))"
    ));
    check_python_refused("socket(AF_INET).bind((\"127.0.0.1\", 0))");
    check_python_refused("socket(AF_NETLINK, SOCK_RAW, 0)");
    check_refused(&format!("echo x >/dev/tcp/127.0.0.1/{tcp_port}"));
    check_refused(&format!("echo x >/dev/udp/127.0.0.1/{udp_port}"));
}

#[test]
fn local_sockets_cannot_be_reached() {
    if !has("/usr/bin/python3") {
        return;
    }
    check_refused_with(|ground| {
        let path = ground.workspace.join("stream");
        // Kept open by the leaked descriptor until the test ends.
        std::mem::forget(UnixListener::bind(&path).unwrap());
        python("socket(AF_UNIX).connect(\"stream\")")
    });
    check_refused_with(|ground| {
        let path = ground.workspace.join("datagram");
        std::mem::forget(UnixDatagram::bind(&path).unwrap());
        python("socketpair(AF_UNIX, SOCK_DGRAM)[0].sendmsg([b\"x\"], [], 0, \"datagram\")")
    });
    let name = format!("picobot-{}", uuid::Uuid::now_v7());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    check_python_refused(&format!("socket(AF_UNIX).connect(\"\\0{name}\")"));
}

#[test]
fn network_on_opens_the_internet_and_nothing_local() {
    if !has("/usr/bin/python3") {
        return;
    }
    let ground = Ground::with(|policy| policy.network = true);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let outcome = ground.run(&python(&format!(
        "create_connection((\"127.0.0.1\", {port})); print(gethostbyname(\"localhost\"))"
    )));
    assert_eq!(
        (outcome.end, outcome.output.as_str()),
        (End::Exited(0), "127.0.0.1\n")
    );
    assert!(!outcome.protection.network_off);
    let _listener = UnixListener::bind(ground.workspace.join("stream")).unwrap();
    for code in [
        "socket(AF_UNIX).connect(\"stream\")",
        "socket(AF_NETLINK, SOCK_RAW, 0)",
    ] {
        assert_ne!(ground.run(&python(code)).end, End::Exited(0), "{code}");
    }
}

#[test]
fn dangerous_calls_are_refused() {
    if !has("/usr/bin/python3") || !cfg!(target_arch = "x86_64") {
        return;
    }
    let ground = Ground::new();
    // Number, first argument, errno: ptrace, unshare, mount, keyctl, bpf, io_uring_setup, userfaultfd, clone with a new
    // user namespace, clone3, and getpid under its x32 number.
    let calls = [
        (101, 0, 1),
        (272, 0x1000_0000, 1),
        (165, 0, 1),
        (250, 0, 1),
        (321, 0, 1),
        (425, 1, 1),
        (323, 0, 1),
        (56, 0x1000_0000, 1),
        (435, 0, 38),
        (0x4000_0000 + 39, 0, 38),
        (39, 0, 0),
    ];
    for (number, argument, errno) in calls {
        let code = format!(
            "libc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n\
             print(ctypes.get_errno() if libc.syscall({number}, {argument}, 0, 0, 0, 0) < 0 else 0)"
        );
        ground.check(&python(&code), End::Exited(0), &format!("{errno}\n"));
    }
}

#[test]
fn protection_is_reported_as_it_is() {
    let confined = Ground::new().run("true").protection;
    assert!(confined.landlock_abi >= 1 && confined.seccomp && confined.network_off);
    assert_eq!(confined.scoped, confined.landlock_abi >= 6);
    let free = Ground::full().run("true").protection;
    assert_eq!(
        (free.landlock_abi, free.seccomp, free.network_off),
        (0, false, false)
    );
}

#[test]
fn level_off_runs_nothing() {
    let ground = Ground::with(|policy| policy.level = Level::Off);
    let call = ground.call("touch ran", CEILING);
    assert!(matches!(ground.error(&call), SandboxError::Off));
    assert!(!ground.workspace.join("ran").exists());
}
