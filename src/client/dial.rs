//! Connects to a gateway's WebSocket; used by every command that talks to one. Blocks for at most two time limits.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::http::{HeaderValue, Uri, header};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, WebSocket};

use super::socket::{Socket, start_tls};
use crate::config::Secret;

/// How long connecting may take, and the handshake after it.
const LIMIT: Duration = Duration::from_secs(5);
/// Enough for most frames at once; the library's own choice is eight times as much, made anew in each process.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Where a gateway is, asked anew for every connection: after a restart it may have another port.
pub struct Endpoint {
    /// Returns the `ws://` or `wss://` address.
    pub url: Box<dyn Fn() -> String + Send>,
    /// What is shown to it, and how it is known.
    pub access: Access,
}

/// Returns a token for an address; the token of this machine's gateway is for [`Reached::ThisMachine`] only.
pub type TokenFor = Box<dyn Fn(&str, Reached) -> Result<Option<Secret>, String> + Send>;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    /// A program of this machine.
    ThisMachine,
    /// Another machine, as far as can be seen.
    Elsewhere,
}

/// What a client shows to a gateway, and how it knows one.
pub struct Access {
    /// Returns the token to show, if there is one, for an address and who was reached there.
    pub token: TokenFor,
    /// The only certificates to trust for `wss://`, in PEM form; else the public authorities.
    pub ca_file: Option<PathBuf>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is not one of a gateway.
    #[error("{0} is not a gateway URL")]
    BadUrl(String),
    /// Nobody listens there.
    #[error("no gateway at {0}")]
    NobodyThere(String),
    /// Something is in the way, or the other side is no gateway.
    #[error("no gateway at {url}: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        why: String,
    },
    /// The token was refused, or is needed and not known.
    #[error("the gateway at {0} refused the token")]
    Refused(String),
    /// The token file cannot be used.
    #[error("{0}")]
    Token(String),
}

impl DialError {
    /// Says why in a few words, without the address, which is on the screen already.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::BadUrl(_) => {
                "that is not a gateway URL, it looks like ws://127.0.0.1:19876/ws".to_owned()
            }
            Self::NobodyThere(_) => "no gateway runs there".to_owned(),
            Self::Unreachable { why, .. } => format!("no gateway: {why}"),
            Self::Refused(_) => "the gateway refused the token, see client.token".to_owned(),
            Self::Token(why) => why.clone(),
        }
    }
}

/// Reads the address of a gateway.
fn gateway_uri(url: &str) -> Result<Uri, DialError> {
    url.parse()
        .ok()
        .filter(|uri: &Uri| matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some())
        .ok_or_else(|| DialError::BadUrl(url.to_owned()))
}

/// Checks an address without connecting: [`DialError::BadUrl`] for one that can never be a gateway's.
pub fn check_url(url: &str) -> Result<(), DialError> {
    gateway_uri(url).map(|_| ())
}

/// Returns the port of a `ws://` address on this machine's loopback; a gateway could be started there.
pub fn loopback_port(url: &str) -> Option<u16> {
    let uri = gateway_uri(url).ok()?;
    let host = bare_host(&uri);
    let is_loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    let is_plain = uri.scheme_str() == Some("ws");
    (is_plain && is_loopback).then(|| uri.port_u16().unwrap_or(80))
}

/// Connects to a `ws://` or `wss://` address. The socket does not block afterwards.
pub fn dial(url: &str, access: &Access) -> Result<WebSocket<Socket>, DialError> {
    let uri = gateway_uri(url)?;
    let is_tls = uri.scheme_str() == Some("wss");
    let host = bare_host(&uri);
    let tcp = connect(
        host,
        uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
        url,
    )?;
    let mut request = url
        .into_client_request()
        .map_err(|_| DialError::BadUrl(url.to_owned()))?;
    let reached = match tcp.peer_addr() {
        Ok(peer) if peer.ip().is_loopback() => Reached::ThisMachine,
        _ => Reached::Elsewhere,
    };
    let token = (access.token)(url, reached).map_err(DialError::Token)?;
    if let Some(token) = token {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, bearer(&token)?);
    }
    let socket = if is_tls {
        start_tls(host, tcp, access.ca_file.as_deref()).map_err(|why| unreachable(url, why))?
    } else {
        Socket::Plain(tcp)
    };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let handshake = tungstenite::client::client_with_config(request, socket, Some(config));
    let (socket, _) = handshake.map_err(|error| match error {
        HandshakeError::Failure(error) => handshake_failure(url, error),
        HandshakeError::Interrupted(_) => unreachable(url, "no answer in time"),
    })?;
    let tcp = socket.get_ref().tcp();
    tcp.set_nonblocking(true)
        .and_then(|()| tcp.set_read_timeout(None))
        .and_then(|()| tcp.set_write_timeout(None))
        .map_err(|error| unreachable(url, error))?;
    Ok(socket)
}

fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

fn connect(host: &str, port: u16, url: &str) -> Result<TcpStream, DialError> {
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| unreachable(url, error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => {
                // Only the handshake blocks.
                let ready = stream
                    .set_read_timeout(Some(LIMIT))
                    .and_then(|()| stream.set_write_timeout(Some(LIMIT)))
                    .and_then(|()| stream.set_nodelay(true));
                return ready
                    .map(|()| stream)
                    .map_err(|error| unreachable(url, error));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            DialError::NobodyThere(url.to_owned())
        }
        Some(error) => unreachable(url, error),
        None => unreachable(url, "the host has no address"),
    })
}

fn bearer(token: &Secret) -> Result<HeaderValue, DialError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| DialError::Token("the token cannot be sent in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn handshake_failure(url: &str, error: Error) -> DialError {
    match error {
        Error::Http(response) if response.status() == 401 => DialError::Refused(url.to_owned()),
        Error::Http(response) => unreachable(url, format!("it answered {}", response.status())),
        error => unreachable(url, explain(&error)),
    }
}

/// Says in a few words what went wrong with a connection.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => {
            "the gateway closed the connection".to_owned()
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection broke".to_owned()
        }
        Error::Protocol(error) => format!("the other side breaks the protocol: {error}"),
        Error::Utf8(_) => "the other side sends text that is not UTF-8".to_owned(),
        Error::Capacity(_) => "the other side sends more than can be taken".to_owned(),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                format!("its certificate is not accepted ({reason:?}); see client.ca_file")
            }
            _ => error.to_string(),
        },
        error => error.to_string(),
    }
}

fn unreachable(url: &str, why: impl std::fmt::Display) -> DialError {
    DialError::Unreachable {
        url: url.to_owned(),
        why: why.to_string(),
    }
}
