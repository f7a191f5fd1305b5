//! Who may open a WebSocket: a token, or a loopback peer of our own user. Runs on `gateway-io`;
//! asks the kernel at most once a client, which does not block.
//!
//! Late answers to wrong tokens are only decided here; waiting is the event loop's business.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

use super::head::Credentials;
use super::limits::FREE_TRIES;
use super::sockdiag;

/// When a client needs the token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthMode {
    /// Loopback clients of our own user need none; everybody else does.
    Auto,
    /// Every client does.
    Token,
}

/// What the guard says of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It may enter.
    Welcome {
        /// It presented the token.
        trusted: bool,
    },
    /// It has to present the token.
    TokenNeeded,
    /// Its token is wrong.
    WrongToken {
        /// Answer late: there were too many wrong ones.
        late: bool,
    },
}

/// Knows the token by its hash and counts wrong ones.
pub(super) struct Guard {
    mode: AuthMode,
    token: [u8; 32],
    uid: u32,
    wrong: u32,
}

impl Guard {
    /// Makes a guard for this process's user.
    pub(super) fn new(mode: AuthMode, token: &Secret) -> Self {
        Self {
            mode,
            token: Sha256::digest(token.expose()).into(),
            uid: rustix::process::geteuid().as_raw(),
            wrong: 0,
        }
    }

    /// Decides about the client at `peer`, connected to our socket `local`.
    pub(super) fn judge(
        &mut self,
        credentials: &Credentials,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Verdict {
        match credentials {
            Credentials::Bearer(token) if self.is_right(token) => {
                Verdict::Welcome { trusted: true }
            }
            Credentials::Bearer(_) | Credentials::Malformed => {
                self.wrong = self.wrong.saturating_add(1);
                Verdict::WrongToken {
                    late: self.wrong > FREE_TRIES,
                }
            }
            Credentials::None if self.is_ourselves(peer, local) => {
                Verdict::Welcome { trusted: false }
            }
            Credentials::None => Verdict::TokenNeeded,
        }
    }

    fn is_right(&self, token: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(token).into();
        self.token.ct_eq(&presented).into()
    }

    fn is_ourselves(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        if self.mode != AuthMode::Auto || !is_loopback(peer) {
            return false;
        }
        match sockdiag::owner(peer, local) {
            Ok(uid) => uid == self.uid,
            Err(error) => {
                log::debug!("cannot tell the user of a loopback client: {error}");
                false
            }
        }
    }
}

/// Tells whether a peer is on this machine.
pub(super) fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn guard(mode: AuthMode) -> Guard {
        Guard::new(mode, &Secret::new("right"))
    }

    fn bearer(token: &str) -> Credentials {
        Credentials::Bearer(token.as_bytes().to_vec())
    }

    const LATE: Verdict = Verdict::WrongToken { late: true };
    const WRONG: Verdict = Verdict::WrongToken { late: false };
    const TRUSTED: Verdict = Verdict::Welcome { trusted: true };

    #[test]
    fn wrong_tokens_get_slow_and_the_right_one_never_does() {
        let mut guard = guard(AuthMode::Auto);
        let somewhere = "192.0.2.1:5".parse().unwrap();
        let mut judge = |credentials: &Credentials| guard.judge(credentials, somewhere, somewhere);
        for wrong in ["", "Right", "right ", "r"] {
            assert_eq!(judge(&bearer(wrong)), WRONG);
        }
        assert_eq!(judge(&Credentials::Malformed), WRONG);
        assert_eq!(judge(&bearer("righu")), LATE);
        assert_eq!(judge(&bearer("right")), TRUSTED);
        assert_eq!(judge(&Credentials::Malformed), LATE);
        assert_eq!(judge(&Credentials::None), Verdict::TokenNeeded);
    }

    #[test]
    fn our_own_user_on_loopback_needs_no_token_in_auto_mode_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let peer = client.local_addr().unwrap();
        let _accepted = listener.accept().unwrap();

        let untrusted = Verdict::Welcome { trusted: false };
        let none = Credentials::None;
        assert_eq!(guard(AuthMode::Auto).judge(&none, peer, local), untrusted);
        assert_eq!(
            guard(AuthMode::Token).judge(&none, peer, local),
            Verdict::TokenNeeded
        );
        assert_eq!(
            guard(AuthMode::Auto).judge(&bearer("x"), peer, local),
            WRONG
        );

        let mut stranger = guard(AuthMode::Auto);
        stranger.uid ^= 1;
        assert_eq!(stranger.judge(&none, peer, local), Verdict::TokenNeeded);

        drop(client);
        assert_eq!(
            guard(AuthMode::Auto).judge(&none, peer, local),
            Verdict::TokenNeeded
        );
    }

    #[test]
    fn loopback_includes_mapped_addresses() {
        for (peer, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("[::ffff:192.0.2.1]:1", false),
            ("10.0.0.1:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(is_loopback(peer.parse().unwrap()), expected, "{peer}");
        }
    }
}
