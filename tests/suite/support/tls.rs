//! TLS in front of a plain service on loopback, with the self-signed certificate of `tests/fixtures/tls`.
//!
//! One thread accepts, one moves the bytes of each connection both ways; they end when either side closes, or with the
//! process. Knows nothing of HTTP and nothing of the rest of this folder: the measurements use it too.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

const STACK: usize = 256 * 1024;

/// Returns the path of the certificate that a client must trust.
pub(crate) fn certificate() -> PathBuf {
    fixture("certificate.pem")
}

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    folder.join(name)
}

/// A running front.
pub(crate) struct TlsFront {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl TlsFront {
    /// Starts a front for the plain service at a port of this machine.
    pub(crate) fn start(behind: u16) -> Self {
        let config = Arc::new(config());
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        start_thread(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let config = config.clone();
                start_thread(move || {
                    // An error is the other side's doing: a refused certificate, or a connection that broke.
                    let _ = serve(client, behind, config);
                });
            }
        });
        Self { port, connections }
    }

    /// Returns the address in front of a path.
    pub(crate) fn origin(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Returns how many clients have connected so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[allow(clippy::disallowed_methods)] // Shared with a program that uses nothing of the library.
fn start_thread(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .unwrap();
}

fn config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(certificate()).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("key.pem")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

fn serve(mut client: TcpStream, behind: u16, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", behind))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let moved = move_bytes(&mut client, &mut server, &mut tls);
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    moved
}

fn move_bytes(
    client: &mut TcpStream,
    server: &mut TcpStream,
    tls: &mut ServerConnection,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        while tls.wants_write() {
            tls.write_tls(client)?;
        }
        let (from_client, from_server) = wait(client, server)?;
        if from_client {
            if tls.read_tls(client)? == 0 {
                return Ok(());
            }
            let state = tls.process_new_packets().map_err(io::Error::other);
            // What a failed handshake has to say goes out first.
            while tls.wants_write() {
                tls.write_tls(client)?;
            }
            let mut left = state?.plaintext_bytes_to_read();
            while left > 0 {
                let count = tls.reader().read(&mut buffer)?;
                server.write_all(&buffer[..count])?;
                left -= count;
            }
        }
        if from_server {
            let count = server.read(&mut buffer)?;
            if count == 0 {
                tls.send_close_notify();
                while tls.wants_write() {
                    tls.write_tls(client)?;
                }
                return Ok(());
            }
            tls.writer().write_all(&buffer[..count])?;
        }
    }
}

/// Waits until one of the two has something to read, or has closed.
fn wait(client: &TcpStream, server: &TcpStream) -> io::Result<(bool, bool)> {
    let mut fds = [
        PollFd::new(client, PollFlags::IN),
        PollFd::new(server, PollFlags::IN),
    ];
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let is_up = |fd: &PollFd<'_>| !fd.revents().is_empty();
    Ok((is_up(&fds[0]), is_up(&fds[1])))
}
