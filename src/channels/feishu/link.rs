//! The socket of the long connection: plain or TLS, one WebSocket on it. Connecting blocks with limits; after that
//! nothing blocks, and the owner waits in `poll`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderMap;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};
use url::Url;

use super::api::UNTRUSTED;
use crate::net::{Trust, distrust_io};

/// To connect, and between two pieces of a handshake.
const PATIENCE: Duration = Duration::from_secs(4);
/// Events larger than this come in pieces.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Trying again may help.
    #[error("{0}")]
    Retry(String),
    /// The service refuses this app; trying again soon would not help.
    #[error("{0}")]
    Refused(String),
}

/// Why a connection is no more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(String);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

/// What came in.
pub(super) enum Received {
    /// A binary message.
    Frame(Vec<u8>),
    /// Something that only shows that the other side lives.
    Life,
    /// Nothing more for now.
    Nothing,
}

/// An open connection.
pub(super) struct Link {
    socket: WebSocket<Stream>,
    wants_write: bool,
}

impl Link {
    /// Connects to an address of the endpoint call. Its query is a secret and is never logged.
    pub(super) fn connect(url: &str, trust: &Trust) -> Result<Self, ConnectError> {
        let retry = |error: &dyn std::fmt::Display| ConnectError::Retry(error.to_string());
        let parsed = Url::parse(url).map_err(|error| retry(&error))?;
        let host = parsed.host_str().ok_or_else(|| retry(&"no host"))?;
        let is_tls = match parsed.scheme() {
            "wss" => true,
            "ws" => false,
            _ => return Err(retry(&"the address is neither ws nor wss")),
        };
        let port = parsed.port().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = open(host, port).map_err(|error| retry(&error))?;
        let stream = if is_tls {
            let tls = start_tls(host, tcp, trust).map_err(|error| retry(&error))?;
            Stream::Tls(Box::new(tls))
        } else {
            Stream::Plain(tcp)
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(1 << 20)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .map_err(explain_handshake)?;
        let quiet = socket.get_ref().tcp().set_nonblocking(true);
        quiet.map_err(|error| retry(&error))?;
        Ok(Self {
            socket,
            wants_write: false,
        })
    }

    /// Reads one message if there is one. Call until nothing is left: TLS may hold more than the socket shows.
    pub(super) fn read(&mut self) -> Result<Received, Broken> {
        match self.socket.read() {
            Ok(Message::Binary(bytes)) => Ok(Received::Frame(bytes.to_vec())),
            Ok(Message::Close(frame)) => Err(Broken(match frame {
                Some(frame) => format!("closed by the service ({})", u16::from(frame.code)),
                None => "closed by the service".to_owned(),
            })),
            Ok(_) => Ok(Received::Life),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                Ok(Received::Nothing)
            }
            Err(error) => Err(Broken(error.to_string())),
        }
    }

    /// Sends a binary message; what the socket does not take now goes with [`Link::flush`].
    pub(super) fn send(&mut self, bytes: Vec<u8>) -> Result<(), Broken> {
        let sent = self.socket.write(Message::Binary(bytes.into()));
        match sent {
            Ok(()) => self.flush(),
            Err(error) => self.note(Err(error)),
        }
    }

    /// Goes on sending, answers to pings included.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        let flushed = self.socket.flush();
        self.note(flushed)
    }

    fn note(&mut self, result: Result<(), tungstenite::Error>) -> Result<(), Broken> {
        self.wants_write = false;
        match result {
            Ok(()) => Ok(()),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.wants_write = true;
                Ok(())
            }
            Err(error) => Err(Broken(error.to_string())),
        }
    }

    /// Tells whether to wait until the socket takes more.
    pub(super) fn wants_write(&self) -> bool {
        self.wants_write
    }

    /// Returns what to wait on.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().tcp().as_fd()
    }
}

/// An address of IP version 6 stands in brackets in a URL and nowhere else.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn open(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (bare(host), port).to_socket_addrs()?.take(4) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                tcp.set_read_timeout(Some(PATIENCE))?;
                tcp.set_write_timeout(Some(PATIENCE))?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Prepares the connection; the first message on it shakes hands.
fn start_tls(
    host: &str,
    tcp: TcpStream,
    trust: &Trust,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(trust.for_sockets())
        .with_no_client_auth();
    let name = ServerName::try_from(bare(host).to_owned()).map_err(|error| error.to_string())?;
    let client =
        ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(client, tcp))
}

fn explain_handshake<H: tungstenite::handshake::HandshakeRole>(
    error: HandshakeError<H>,
) -> ConnectError {
    match error {
        HandshakeError::Failure(tungstenite::Error::Http(response)) => {
            let status = response.status().as_u16();
            explain_refusal(status, response.headers())
        }
        HandshakeError::Failure(error) => {
            let distrust = match &error {
                tungstenite::Error::Io(error) => distrust_io(error),
                _ => None,
            };
            ConnectError::Retry(match distrust {
                Some(reason) => format!("{UNTRUSTED} ({reason})"),
                None => error.to_string(),
            })
        }
        HandshakeError::Interrupted(_) => ConnectError::Retry("no answer in time".to_owned()),
    }
}

/// The service tells why in headers of its own (`Handshake-Status`, `-Msg`, `-Autherrcode`).
fn explain_refusal(status: u16, headers: &HeaderMap) -> ConnectError {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name| header(name).and_then(|text| text.trim().parse::<i64>().ok());
    let said = header("handshake-msg").unwrap_or("no reason given");
    let (code, detail) = (number("handshake-status"), number("handshake-autherrcode"));
    let text = format!(
        "HTTP {status}, handshake status {}, detail {}: {said}",
        code.unwrap_or_default(),
        detail.unwrap_or_default()
    );
    match (code, detail) {
        (Some(403), _) => ConnectError::Refused(text),
        (Some(514), Some(1_000_040_350)) => {
            ConnectError::Refused(format!("too many connections of this app; {text}"))
        }
        _ => ConnectError::Retry(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let explain = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            explain_refusal(403, &headers)
        };
        let refused = |error: ConnectError| matches!(error, ConnectError::Refused(_));
        assert!(refused(explain(&[("handshake-status", "403")])));
        assert!(refused(explain(&[
            ("handshake-status", "514"),
            ("handshake-autherrcode", "1000040350"),
        ])));
        assert!(!refused(explain(&[("handshake-status", "514")])));
        assert!(!refused(explain(&[("handshake-status", "??")])));
        assert!(!refused(explain(&[])));
    }

    #[test]
    fn addresses_that_are_none() {
        for url in ["", "http://127.0.0.1", "ws://", "wss://127.0.0.1:1/x"] {
            assert!(Link::connect(url, &Trust::public()).is_err(), "{url}");
        }
    }
}
