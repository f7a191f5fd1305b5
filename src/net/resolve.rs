//! Host names to addresses, with a time limit and a way out: a look-up never holds a stopped turn.
//!
//! Called on the turn that asks. Written addresses need no look-up; names are looked up on a short-lived `resolve` thread,
//! because the system's resolver cannot be interrupted, and are remembered for a minute. No DNS client of its own.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use super::{HttpError, Limit, watch};
use crate::threads::{self, CancelToken};

/// How long an answer is used again; short, because a service may move.
const REMEMBER: Duration = Duration::from_secs(60);
/// The hosts of a configuration are few; more than this means something is odd and the oldest goes.
const MAX_REMEMBERED: usize = 32;
/// A look-up and a cancel: the channel can never fill.
const ANSWERS: usize = 2;
/// Enough for the system's resolver.
const STACK_BYTES: usize = 256 * 1024;
/// More addresses than this are not tried.
const MAX_ADDRESSES: usize = 16;

struct Remembered {
    target: String,
    addresses: Vec<SocketAddr>,
    at: Instant,
}

enum Answer {
    Resolved(io::Result<Vec<SocketAddr>>),
    Cancelled,
}

/// Resolves host names within `limit`.
pub(super) struct Addresses {
    limit: Duration,
    remembered: Mutex<Vec<Remembered>>,
}

impl Addresses {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            remembered: Mutex::default(),
        }
    }

    fn recall(&self, target: &str) -> Option<Vec<SocketAddr>> {
        let mut remembered = self.lock();
        remembered.retain(|entry| entry.at.elapsed() < REMEMBER);
        remembered
            .iter()
            .find(|entry| entry.target == target)
            .map(|entry| entry.addresses.clone())
    }

    fn remember(&self, target: &str, addresses: &[SocketAddr]) {
        let mut remembered = self.lock();
        remembered.retain(|entry| entry.target != target);
        if remembered.len() == MAX_REMEMBERED {
            remembered.remove(0);
        }
        remembered.push(Remembered {
            target: target.to_owned(),
            addresses: addresses.to_vec(),
            at: Instant::now(),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Remembered>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, target: &str) -> Result<Vec<SocketAddr>, Error> {
        if let Some(addresses) = self.recall(target) {
            return Ok(addresses);
        }
        let cancel = watch::ask(|watch| watch.cancel().clone());
        let addresses = resolve(target, self.limit, cancel.as_ref())?;
        self.remember(target, &addresses);
        Ok(addresses)
    }
}

/// Looks a name up; ends early when the token is cancelled. Blocks for `limit` at most.
pub(crate) fn look_up(
    host: &str,
    port: u16,
    limit: Duration,
    cancel: &CancelToken,
) -> Result<Vec<SocketAddr>, HttpError> {
    resolve(&format!("{host}:{port}"), limit, Some(cancel)).map_err(|error| match error {
        _ if cancel.is_cancelled() => HttpError::Cancelled,
        Error::Timeout(_) => HttpError::Timeout(Limit::Resolve, limit),
        _ => HttpError::Network {
            detail: "host not found".to_owned(),
            stale: false,
        },
    })
}

fn resolve(
    target: &str,
    limit: Duration,
    cancel: Option<&CancelToken>,
) -> Result<Vec<SocketAddr>, Error> {
    let (answers, answer) = bounded(ANSWERS);
    let stop = answers.clone();
    let _guard = cancel.map(|cancel| {
        cancel.on_cancel(move || {
            // A full channel holds an answer already.
            let _ = stop.try_send(Answer::Cancelled);
        })
    });
    start(target.to_owned(), answers)?;
    wait(&answer, limit)
}

fn wait(answer: &Receiver<Answer>, limit: Duration) -> Result<Vec<SocketAddr>, Error> {
    match answer.recv_timeout(limit) {
        Ok(Answer::Resolved(Ok(addresses))) if addresses.is_empty() => Err(Error::HostNotFound),
        Ok(Answer::Resolved(Ok(addresses))) => Ok(addresses),
        Ok(Answer::Resolved(Err(_))) => Err(Error::HostNotFound),
        Ok(Answer::Cancelled) => Err(Error::Other("cancelled".into())),
        Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(Timeout::Resolve)),
        Err(RecvTimeoutError::Disconnected) => Err(Error::HostNotFound),
    }
}

/// Gives the same addresses for every host.
#[derive(Debug)]
pub(super) struct Pinned(pub(super) Vec<SocketAddr>);

impl Resolver for Pinned {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut resolved = self.empty();
        for address in self.0.iter().take(MAX_ADDRESSES) {
            resolved.push(*address);
        }
        Ok(resolved)
    }
}

/// Starts a look-up that outlives an impatient caller; it ends when the system's resolver does.
fn start(target: String, answers: Sender<Answer>) -> Result<(), Error> {
    threads::spawn("resolve", STACK_BYTES, move || {
        let result = target.to_socket_addrs().map(Iterator::collect);
        // The caller may have gone.
        let _ = answers.try_send(Answer::Resolved(result));
    })
    .map(drop)
    .map_err(Error::Io)
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addresses")
    }
}

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or_else(|| bad_uri(uri))?;
        let port = uri
            .port_u16()
            .or_else(|| default_port(uri.scheme_str()?))
            .ok_or_else(|| bad_uri(uri))?;
        let written: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
        let addresses = match written {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => self.look_up(&format!("{host}:{port}"))?,
        };
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        Ok(resolved)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

fn bad_uri(uri: &Uri) -> Error {
    Error::BadUri(uri.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(addresses: &Addresses, uri: &str) -> Result<Vec<SocketAddr>, Error> {
        let uri: Uri = uri.parse().unwrap();
        let found = addresses.resolve(&uri, &Config::default(), NextTimeout::default())?;
        Ok(found.iter().copied().collect())
    }

    #[test]
    fn written_addresses_need_no_look_up() {
        let addresses = Addresses::new(Duration::ZERO);
        let v4 = resolved(&addresses, "http://127.0.0.1:8080/v1").unwrap();
        assert_eq!(v4, ["127.0.0.1:8080".parse().unwrap()]);
        let v6 = resolved(&addresses, "https://[::1]/v1").unwrap();
        assert_eq!(v6, ["[::1]:443".parse().unwrap()]);
    }

    #[test]
    fn names_are_remembered() {
        let addresses = Addresses::new(Duration::from_secs(5));
        let first = resolved(&addresses, "http://localhost/").unwrap();
        assert!(first.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
        assert_eq!(addresses.recall("localhost:80"), Some(first));
        assert_eq!(addresses.recall("localhost:81"), None);
    }

    #[test]
    fn memory_is_bounded() {
        let addresses = Addresses::new(Duration::ZERO);
        for n in 0..100 {
            addresses.remember(&format!("host-{n}:1"), &[]);
        }
        assert_eq!(addresses.lock().len(), MAX_REMEMBERED);
    }
}
