//! Who gets in: tokens, users, late refusals.

use super::*;
use std::process::Command;

#[test]
fn our_own_user_gets_in_untrusted_and_the_token_makes_trusted() {
    let rig = Rig::new();
    let _plain = rig.connect();
    assert!(matches!(rig.next(), Told::Connected(_, false)));
    let _trusted = rig.try_connect(Some(TOKEN)).unwrap();
    assert!(matches!(rig.next(), Told::Connected(_, true)));
    assert_eq!(rig.refused(Some("wrong")), 401);
}

#[test]
fn the_token_mode_lets_nobody_in_without_it() {
    let rig = Rig::with(|setup| setup.config.auth = AuthMode::Token);
    let answer = rig.ask(&rig.upgrade_head());
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    assert!(answer.contains("WWW-Authenticate: Bearer\r\n"), "{answer}");
    assert!(!answer.contains(TOKEN));
    let _client = rig.try_connect(Some(TOKEN)).unwrap();
    assert!(matches!(rig.next(), Told::Connected(_, true)));
    assert!(rig.health().starts_with("HTTP/1.1 200 "));
}

#[test]
fn another_user_needs_the_token() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can act as somebody else.
    }
    let rig = Rig::new();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf '{}' >&3; head -n1 <&3",
        rig.addr.port(),
        rig.upgrade_head().replace("\r\n", "\\r\\n"),
    );
    let answer = Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "bash", "-c", &script])
        .output()
        .unwrap();
    let line = String::from_utf8_lossy(&answer.stdout);
    assert_eq!(line.trim_end(), "HTTP/1.1 401 Unauthorized");
    assert!(rig.told.is_empty());
}

#[test]
fn wrong_tokens_wait_while_everybody_else_is_served() {
    let rig = Rig::with(|setup| setup.times.wrong_token = 10 * CEILING);
    for _ in 0..limits::FREE_TRIES {
        assert_eq!(rig.refused(Some("wrong")), 401);
    }
    let mut late = rig.raw();
    let head = rig
        .upgrade_head()
        .replace("\r\n\r\n", "\r\nAuthorization: Bearer wrong\r\n\r\n");
    late.write_all(head.as_bytes()).unwrap();
    let _right = rig.try_connect(Some(TOKEN)).unwrap();
    let _own_user = rig.connect();
    assert!(rig.health().starts_with("HTTP/1.1 200 "));
    late.set_nonblocking(true).unwrap();
    let early = late.read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_late_refusal_does_come() {
    let rig = Rig::with(|setup| setup.times.wrong_token = Duration::from_millis(20));
    for _ in 0..2 * limits::FREE_TRIES {
        assert_eq!(rig.refused(Some("wrong")), 401);
    }
}
