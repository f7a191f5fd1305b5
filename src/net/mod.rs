//! The HTTP client of model services and web tools: every wait limited and stoppable. Model services share one agent and
//! its connections; a web tool makes one for each hop, which connects only to the addresses that were checked.
//!
//! Calls run and block on the turn that asks; `CancelToken::cancel` shuts the socket of the running call from any thread.
//! TLS roots are loaded at the first https call. A service with certificates of its own gets a client of its own. No
//! redirects, no proxies, no inflating, no retries, and no knowledge of any wire format. Tested with the providers.

mod resolve;
mod transport;
mod trust;
mod watch;

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{Connector, RustlsConnector};
use ureq::{Agent, Body, BodyReader};

use crate::threads::CancelToken;

pub(crate) use resolve::look_up;
pub use trust::Trust;
pub(crate) use trust::{distrust, distrust_io};
pub(crate) use watch::Patience;
use watch::{Exchange, Live};

/// Per direction and connection; the client's default of 128 KiB is its largest cost under many calls at once.
const BUFFER_BYTES: usize = 16 * 1024;
/// A burst of turns to one service keeps this many connections for the next burst.
const IDLE_PER_HOST: usize = 8;
/// Over all hosts.
const IDLE_CONNECTIONS: usize = 16;
/// Below the keep-alive time of the usual front servers, so that a reused connection is seldom dead.
const IDLE_AGE: Duration = Duration::from_secs(30);
/// Looking a name up is the same for every service.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// How long and how much one call to a model service may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// TCP connect and TLS handshake together.
    pub connect: Duration,
    /// From the request to the response head, and from there to the first byte of the body.
    pub first_byte: Duration,
    /// Between two pieces of the body; comments and pings count as pieces.
    pub idle: Duration,
    /// Between two data events, comments and pings not counted.
    pub data: Duration,
    /// The whole exchange.
    pub total: Duration,
    /// From the last piece of an answer to its end mark, which some services leave out.
    pub trailer: Duration,
    /// From the end mark to the end of the body; when it is over the connection is not used again.
    pub tail: Duration,
    /// Size of the response body in bytes.
    pub response_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(90),
            data: Duration::from_secs(10 * 60),
            total: Duration::from_secs(30 * 60),
            trailer: Duration::from_secs(5),
            tail: Duration::from_millis(50),
            response_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Limits {
    fn of(&self, limit: Limit) -> Duration {
        match limit {
            Limit::Resolve => RESOLVE_LIMIT,
            Limit::Connect => self.connect,
            Limit::FirstByte => self.first_byte,
            Limit::Idle => self.idle,
            Limit::Data => self.data,
            Limit::Total => self.total,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    Resolve,
    Connect,
    FirstByte,
    Idle,
    Data,
    Total,
}

/// Why an exchange failed below the level of HTTP status codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HttpError {
    /// The turn was stopped.
    Cancelled,
    /// A limit was reached.
    Timeout(Limit, Duration),
    /// No connection, or it broke.
    Network {
        detail: String,
        /// The connection came from the pool and the server may have closed it before the request came.
        stale: bool,
    },
    /// The service's certificate is not accepted.
    Untrusted(String),
    /// The address or a header cannot be sent.
    Invalid(String),
    /// The body is longer than the limit.
    TooLarge,
}

/// A request with a JSON body.
pub(crate) struct Post<'a> {
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The shared client; clones share the connections.
#[derive(Clone)]
pub struct Http {
    agent: Agent,
}

/// Any request.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: Option<&'a [u8]>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Makes a client that trusts the usual public authorities. Cheap: nothing is resolved, connected or loaded yet.
    pub fn new() -> Self {
        Self::build(
            RootCerts::WebPki,
            "identity",
            resolve::Addresses::new(RESOLVE_LIMIT),
        )
    }

    /// Makes a client that trusts nobody but the certificates in a PEM text, authorities or single servers.
    ///
    /// Errors with a few words on what is wrong with the text.
    pub fn trusting(pem: &[u8]) -> Result<Self, String> {
        Ok(Self::build(
            Trust::only(pem)?.for_http(),
            "identity",
            resolve::Addresses::new(RESOLVE_LIMIT),
        ))
    }

    /// Makes a client that connects to these addresses and no others, whatever the host is called; answers may come
    /// compressed with gzip and are given as they come.
    pub(crate) fn pinned(addresses: Vec<SocketAddr>) -> Self {
        Self::build(RootCerts::WebPki, "gzip", resolve::Pinned(addresses))
    }

    fn build(roots: RootCerts, accept_encoding: &'static str, resolver: impl Resolver) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("picobot/", env!("CARGO_PKG_VERSION")))
            .accept_encoding(accept_encoding)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_PER_HOST)
            .max_idle_age(IDLE_AGE)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let connector =
            ().chain(transport::AbortTcp::default())
                .chain(RustlsConnector::default())
                .chain(transport::Connected);
        Self {
            agent: Agent::with_parts(config, connector, resolver),
        }
    }

    /// Sends a request and waits for the response head.
    pub(crate) fn post(
        &self,
        post: &Post<'_>,
        limits: &Limits,
        cancel: &CancelToken,
        patience: &mut dyn Patience,
    ) -> Result<Answer, HttpError> {
        let mut request = self
            .agent
            .post(post.url)
            .header("content-type", "application/json");
        for (name, value) in post.headers {
            request = request.header(*name, *value);
        }
        Self::exchange(limits, cancel, patience, || request.send(post.body))
    }

    /// Sends any request and waits for the response head.
    pub(crate) fn call(
        &self,
        call: &Call<'_>,
        limits: &Limits,
        cancel: &CancelToken,
        patience: &mut dyn Patience,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let invalid = |_| HttpError::Invalid("the address or a header cannot be sent".to_owned());
        match call.body {
            Some(body) => {
                let request = request.body(body).map_err(invalid)?;
                Self::exchange(limits, cancel, patience, || self.agent.run(request))
            }
            None => {
                let request = request.body(()).map_err(invalid)?;
                Self::exchange(limits, cancel, patience, || self.agent.run(request))
            }
        }
    }

    fn exchange(
        limits: &Limits,
        cancel: &CancelToken,
        patience: &mut dyn Patience,
        send: impl FnOnce() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, HttpError> {
        let mut exchange = Exchange::new(limits, cancel);
        let mut live = Live {
            exchange: &mut exchange,
            patience,
        };
        let sent = watch::lend(&mut live, send);
        match sent {
            Ok(response) => {
                exchange.head_received();
                Ok(Answer::new(response, exchange, limits.response_bytes))
            }
            Err(error) => Err(explain(error, &exchange)),
        }
    }
}

/// Decides what a client error means; the exchange knows better than the error's text.
fn explain(error: ureq::Error, exchange: &Exchange) -> HttpError {
    if exchange.cancelled() {
        return HttpError::Cancelled;
    }
    if let Some((limit, length)) = exchange.tripped() {
        return HttpError::Timeout(limit, length);
    }
    let network = |detail: String| HttpError::Network {
        detail,
        stale: exchange.maybe_stale(),
    };
    if let Some(reason) = trust::distrust(&error) {
        return HttpError::Untrusted(reason);
    }
    match error {
        ureq::Error::Timeout(_) => HttpError::Timeout(Limit::Resolve, RESOLVE_LIMIT),
        // Addresses and headers may hold keys, so the client's own words are left out.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => HttpError::Invalid(
            "base_url is no web address, or the key or a header holds characters that cannot be sent"
                .to_owned(),
        ),
        // A name that cannot be found has nothing to do with an old connection.
        ureq::Error::HostNotFound => HttpError::Network {
            detail: "host not found".to_owned(),
            stale: false,
        },
        other => network(other.to_string()),
    }
}

/// A response whose body is still to be read.
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    body: BodyReader<'static>,
    exchange: Exchange,
    left: usize,
}

impl Answer {
    fn new(response: Response<Body>, exchange: Exchange, left: usize) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.into_with_config().limit(u64::MAX).reader(),
            exchange,
            left,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Returns a header's value if it is there and plain text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the headers that are plain text, names in lower case.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let plain = self.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        plain.collect()
    }

    /// Reads what is there, waiting for at least one byte; 0 is the end of the body.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        patience: &mut dyn Patience,
    ) -> Result<usize, HttpError> {
        let mut live = Live {
            exchange: &mut self.exchange,
            patience,
        };
        let body = &mut self.body;
        let read = watch::lend(&mut live, || body.read(buffer));
        if self.exchange.cancelled() {
            return Err(HttpError::Cancelled);
        }
        let count = read.map_err(|error| explain(error.into(), &self.exchange))?;
        if count > self.left {
            return Err(HttpError::TooLarge);
        }
        self.left -= count;
        self.exchange.body_received();
        Ok(count)
    }

    /// Notes that a data event arrived, so that the limit for data starts anew.
    pub(crate) fn data_received(&mut self) {
        self.exchange.data_received();
    }

    /// Notes that only the end mark is missing, so that a service that never sends it does not hold the turn.
    pub(crate) fn answer_received(&mut self) {
        self.exchange.trailer();
    }

    /// Reads the start of an error body, at most `cap` bytes; what breaks the reading is not an error here.
    pub(crate) fn read_start(
        &mut self,
        cap: usize,
        patience: &mut dyn Patience,
    ) -> Result<Vec<u8>, HttpError> {
        let mut bytes = vec![0; cap];
        let mut filled = 0;
        while filled < cap {
            match self.read(&mut bytes[filled..], patience) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(HttpError::Cancelled) => return Err(HttpError::Cancelled),
                Err(_) => break,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Ends the exchange after a complete answer: if the body ends soon, its connection serves the next call.
    pub(crate) fn finish(mut self, patience: &mut dyn Patience) {
        self.exchange.tail();
        let mut rest = [0; 64];
        // Anything but the end of the body drops the connection together with `self`.
        let _ = self.read(&mut rest, patience);
    }
}
