//! Connects to a gateway's WebSocket; used by every command that talks to one. Blocks for at most two time limits.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderValue, Uri, header};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, WebSocket};

use crate::config::Secret;

/// How long connecting may take, and the handshake after it.
const LIMIT: Duration = Duration::from_secs(5);
/// Enough for most frames at once; the library's own choice is eight times as much, made anew in each process.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Where a gateway is, asked anew for every connection: after a restart it may have another port.
pub struct Endpoint {
    /// Returns the `ws://` address.
    pub url: Box<dyn Fn() -> String + Send>,
    /// Returns the gateway's token, if there is one; asked only when the other end is this machine.
    pub token: Box<dyn Fn() -> Result<Option<Secret>, String> + Send>,
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

/// Connects to a `ws://` address. The token is sent to loopback addresses only. The socket does not block afterwards.
pub fn dial(
    url: &str,
    token: &dyn Fn() -> Result<Option<Secret>, String>,
) -> Result<WebSocket<TcpStream>, DialError> {
    let uri: Uri = url
        .parse()
        .ok()
        .filter(|uri: &Uri| uri.scheme_str() == Some("ws") && uri.host().is_some())
        .ok_or_else(|| DialError::BadUrl(url.to_owned()))?;
    let stream = connect(&uri, url)?;
    let mut request = url
        .into_client_request()
        .map_err(|_| DialError::BadUrl(url.to_owned()))?;
    let is_loopback = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    if is_loopback && let Some(token) = token().map_err(DialError::Token)? {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, bearer(&token)?);
    }
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let handshake = tungstenite::client::client_with_config(request, stream, Some(config));
    let (socket, _) = handshake.map_err(|error| match error {
        HandshakeError::Failure(error) => handshake_failure(url, error),
        HandshakeError::Interrupted(_) => unreachable(url, "no answer in time"),
    })?;
    let ready = socket.get_ref().set_nonblocking(true);
    ready
        .and_then(|()| socket.get_ref().set_read_timeout(None))
        .map_err(|error| unreachable(url, error))?;
    Ok(socket)
}

fn connect(uri: &Uri, url: &str) -> Result<TcpStream, DialError> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, uri.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|error| unreachable(url, error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => {
                // Only the handshake blocks.
                let ready = stream
                    .set_read_timeout(Some(LIMIT))
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
        error => unreachable(url, error),
    }
}

fn unreachable(url: &str, why: impl std::fmt::Display) -> DialError {
    DialError::Unreachable {
        url: url.to_owned(),
        why: why.to_string(),
    }
}
