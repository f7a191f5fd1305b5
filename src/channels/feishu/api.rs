//! The HTTP side of the service: one client, the access token, retries, and what error codes mean. Called from the
//! channel's threads; every call blocks with limits and ends early when the channel stops.
//!
//! A request that may have reached the service is repeated as it is: callers put an idempotency key (`uuid`) into what
//! must not happen twice.

use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::HeaderMap;
use ureq::tls::TlsConfig;

use super::codes::{self, Kind};
use crate::config::Secret;
use crate::net::{Trust, distrust};

/// One exchange, uploads and downloads apart.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// One upload or download.
const TRANSFER_LIMIT: Duration = Duration::from_secs(120);
/// Pauses before a call is repeated after a failure that may pass.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// Longest pause that the service may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A token is renewed this long before its end.
const TOKEN_MARGIN: Duration = Duration::from_secs(10 * 60);
/// Largest JSON answer read.
const MAX_ANSWER_BYTES: u64 = 8 << 20;
/// The least that is read of an answer.
const MIN_READ_BYTES: u64 = 64 * 1024;
const BUFFER_BYTES: usize = 16 * 1024;
/// Begins what is said of a service with a wrong certificate; the reason follows.
pub(super) const UNTRUSTED: &str =
    "its certificate is not accepted; ca_file names certificates of your own";

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The service answered with an error code.
    #[error("code {code}: {message}{}", explained(*code))]
    Refused {
        /// The code, such as 230002.
        code: i64,
        /// The service's words.
        message: String,
    },
    /// No usable answer after several tries.
    #[error("{0}")]
    Unreachable(String),
    /// The channel is stopping.
    #[error("the channel is stopping")]
    Stopping,
    /// The answer or file is larger than allowed.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
}

impl ApiError {
    /// Tells whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        self.kind() == Kind::Passing
    }

    /// Sorts an error by what can be done.
    pub(super) fn kind(&self) -> Kind {
        match self {
            ApiError::Refused { code, .. } => codes::kind(*code),
            ApiError::Unreachable(_) | ApiError::Stopping => Kind::Passing,
            ApiError::TooLarge(_) => Kind::Final,
        }
    }
}

/// What a code means, behind the service's own words.
fn explained(code: i64) -> String {
    match codes::meaning(code) {
        "" => String::new(),
        meaning => format!(" ({meaning})"),
    }
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Json(&'a Value),
    /// Boundary and bytes.
    Multipart(&'a str, &'a [u8]),
}

struct Token {
    text: String,
    good_until: Instant,
}

/// The service as one app sees it.
pub struct Api {
    agent: Agent,
    base: String,
    app_id: String,
    secret: Secret,
    token: Mutex<Option<Token>>,
    /// Closed when the channel stops; nothing is ever sent.
    stop: Receiver<()>,
}

/// One exchange's result.
struct Exchange {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Api {
    /// Makes a client; nothing is connected yet. `stop` ends waits when its senders are gone.
    pub fn new(
        base: &str,
        app_id: &str,
        secret: Secret,
        trust: &Trust,
        stop: Receiver<()>,
    ) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("picobot/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(4)
            .max_idle_connections_per_host(4)
            .tls_config(TlsConfig::builder().root_certs(trust.for_http()).build())
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_resolve(Some(Duration::from_secs(5)))
            .build();
        Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            app_id: app_id.to_owned(),
            secret,
            token: Mutex::default(),
            stop,
        }
    }

    /// Returns the app's id.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Ends calls that are under way.
    pub(super) fn shut(&self) {
        self.agent.clone().shutdown();
    }

    /// Makes a call with the access token; returns the answer's JSON, whose `code` is 0.
    pub(super) fn call(&self, method: &str, path: &str, body: Body<'_>) -> Result<Value, ApiError> {
        let exchange = self.with_token(method, path, body, MAX_ANSWER_BYTES)?;
        parse(&exchange)
    }

    /// Downloads a file of at most so many bytes.
    pub(super) fn download(&self, path: &str, limit: u64) -> Result<Vec<u8>, ApiError> {
        // Room for a refusal, which is longer than the shortest file.
        let read_limit = limit.max(MIN_READ_BYTES);
        let exchange = self.with_token("GET", path, Body::None, read_limit)?;
        let header = |name| exchange.headers.get(name).and_then(|v| v.to_str().ok());
        let is_json = header("content-type").is_some_and(|kind| kind.contains("json"));
        if exchange.status != 200 || (is_json && header("content-disposition").is_none()) {
            parse(&exchange)?;
            let text = format!("HTTP {} without a file", exchange.status);
            return Err(ApiError::Unreachable(text));
        }
        if exchange.body.len() as u64 > limit {
            return Err(ApiError::TooLarge(limit));
        }
        Ok(exchange.body)
    }

    /// Asks for the address of a long connection. Needs no token.
    pub(super) fn endpoint(&self) -> Result<Value, ApiError> {
        let body = json!({"AppID": self.app_id, "AppSecret": self.secret.expose()});
        let exchange = self.exchange("POST", "/callback/ws/endpoint", Body::Json(&body), None)?;
        parse(&exchange)
    }

    /// Fetches a token although one may be at hand; shows whether the credentials are right.
    pub fn check_credentials(&self) -> Result<(), ApiError> {
        *self.lock_token() = None;
        self.token(None).map(|_| ())
    }

    fn with_token(
        &self,
        method: &str,
        path: &str,
        body: Body<'_>,
        limit: u64,
    ) -> Result<Exchange, ApiError> {
        let mut failed_token: Option<String> = None;
        let mut pauses = PAUSES.into_iter();
        loop {
            let attempt = self.token(failed_token.as_deref()).and_then(|token| {
                let exchange = self.exchange_limited(method, path, body, Some(&token), limit)?;
                Ok((token, exchange))
            });
            let pause = match attempt {
                Ok((token, exchange)) => match fault(&exchange) {
                    Fault::None => return Ok(exchange),
                    // Only a token that failed is thrown away, and only once: a second refusal is no matter of age.
                    Fault::Token if failed_token.is_none() => {
                        failed_token = Some(token);
                        continue;
                    }
                    Fault::Token | Fault::Refused => return Ok(exchange),
                    Fault::Busy(wish) => match pauses.next() {
                        Some(pause) => wish.unwrap_or(pause).min(MAX_PAUSE),
                        None => return Ok(exchange),
                    },
                },
                Err(error @ ApiError::Unreachable(_)) => match pauses.next() {
                    Some(pause) => {
                        log::debug!("{method} {path}: {error}; trying again");
                        pause
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            };
            self.pause(pause)?;
        }
    }

    /// Waits, unless the channel stops.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), ApiError> {
        match self.stop.recv_timeout(pause) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(ApiError::Stopping),
        }
    }

    fn lock_token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a token other than the one that failed. Fetched under the lock: who comes second finds a fresh one.
    fn token(&self, failed: Option<&str>) -> Result<String, ApiError> {
        let mut cached = self.lock_token();
        if let Some(token) = &*cached
            && token.good_until > Instant::now()
            && failed != Some(&token.text)
        {
            return Ok(token.text.clone());
        }
        let body = json!({"app_id": self.app_id, "app_secret": self.secret.expose()});
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        let answer = parse(&self.exchange("POST", path, Body::Json(&body), None)?)?;
        let text = answer["tenant_access_token"].as_str().unwrap_or_default();
        if text.is_empty() {
            return Err(ApiError::Unreachable("the token is missing".to_owned()));
        }
        let life = Duration::from_secs(answer["expire"].as_u64().unwrap_or(0).min(7200));
        let margin = TOKEN_MARGIN.min(life / 2);
        *cached = Some(Token {
            text: text.to_owned(),
            good_until: Instant::now() + (life - margin).max(Duration::from_secs(1)),
        });
        Ok(text.to_owned())
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Body<'_>,
        token: Option<&str>,
    ) -> Result<Exchange, ApiError> {
        self.exchange_limited(method, path, body, token, MAX_ANSWER_BYTES)
    }

    fn exchange_limited(
        &self,
        method: &str,
        path: &str,
        body: Body<'_>,
        token: Option<&str>,
        limit: u64,
    ) -> Result<Exchange, ApiError> {
        let unreachable = |error: &dyn std::fmt::Display| ApiError::Unreachable(error.to_string());
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        } else {
            request = request.header("locale", "zh");
        }
        let bytes: Option<(String, Vec<u8>)> = match body {
            Body::None => None,
            Body::Json(value) => Some((
                "application/json; charset=utf-8".to_owned(),
                value.to_string().into_bytes(),
            )),
            Body::Multipart(boundary, bytes) => Some((
                format!("multipart/form-data; boundary={boundary}"),
                bytes.to_vec(),
            )),
        };
        let is_transfer = limit != MAX_ANSWER_BYTES || matches!(body, Body::Multipart(..));
        let time = if is_transfer {
            TRANSFER_LIMIT
        } else {
            CALL_LIMIT
        };
        let run = |built: Result<ureq::http::Request<Vec<u8>>, ureq::http::Error>| {
            let built = built.map_err(|error| unreachable(&error))?;
            let configured = self
                .agent
                .configure_request(built)
                .timeout_global(Some(time))
                .build();
            self.agent.run(configured).map_err(|error| failed(&error))
        };
        let response = match bytes {
            None => {
                let built = request.body(()).map_err(|error| unreachable(&error))?;
                let configured = self
                    .agent
                    .configure_request(built)
                    .timeout_global(Some(time))
                    .build();
                self.agent.run(configured).map_err(|error| failed(&error))?
            }
            Some((kind, bytes)) => run(request.header("content-type", kind).body(bytes))?,
        };
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        body.into_reader()
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreachable(&error))?;
        if bytes.len() as u64 > limit {
            return Err(ApiError::TooLarge(limit));
        }
        if let Some(id) = head.headers.get("x-tt-logid").and_then(|v| v.to_str().ok()) {
            log::trace!(
                "{method} {path}: HTTP {}, log id {id}",
                head.status.as_u16()
            );
        }
        Ok(Exchange {
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes,
        })
    }
}

fn failed(error: &ureq::Error) -> ApiError {
    ApiError::Unreachable(match distrust(error) {
        Some(reason) => format!("{UNTRUSTED} ({reason})"),
        None => error.to_string(),
    })
}

enum Fault {
    None,
    /// The token is not accepted.
    Token,
    /// Too busy or too fast; how long to wait, if it said so.
    Busy(Option<Duration>),
    Refused,
}

/// Judges by the code in the body, whatever the status.
fn fault(exchange: &Exchange) -> Fault {
    let code = code_of(&exchange.body);
    match code {
        Some(99_991_663 | 99_991_664 | 99_991_665 | 99_991_668 | 99_991_671 | 99_991_677) => {
            Fault::Token
        }
        Some(99_991_400) => Fault::Busy(wish(&exchange.headers)),
        Some(230_020 | 11_232 | 11_233 | 230_049) => Fault::Busy(None),
        _ if exchange.status == 429 => Fault::Busy(wish(&exchange.headers)),
        _ if exchange.status >= 500 => Fault::Busy(None),
        Some(0) | None => Fault::None,
        Some(_) => Fault::Refused,
    }
}

fn code_of(body: &[u8]) -> Option<i64> {
    if body.first() != Some(&b'{') || body.len() > 64 * 1024 {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    value.get("code")?.as_i64()
}

/// Reads how long the service wants to be left alone; seconds, perhaps with a fraction.
fn wish(headers: &HeaderMap) -> Option<Duration> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let text = header("x-ogw-ratelimit-reset").or_else(|| header("retry-after"))?;
    let secs: f64 = text.trim().parse().ok()?;
    let fit = (0.0..=3600.0).contains(&secs);
    fit.then(|| Duration::from_secs_f64(secs.max(0.1)))
}

fn parse(exchange: &Exchange) -> Result<Value, ApiError> {
    let value: Option<Value> = serde_json::from_slice(&exchange.body).ok();
    let Some(value) = value.filter(Value::is_object) else {
        let text = format!("HTTP {} with an answer that is no JSON", exchange.status);
        return Err(ApiError::Unreachable(text));
    };
    match value.get("code").and_then(Value::as_i64) {
        Some(0) => Ok(value),
        Some(code) => {
            let message = plain(value["msg"].as_str().unwrap_or("no reason given"));
            let refused = ApiError::Refused { code, message };
            // A gateway in front of the service, or the service in trouble: only a code that we know counts for more.
            let is_outage = exchange.status >= 500 || exchange.status == 429;
            if is_outage && refused.kind() == Kind::Final {
                let text = format!("HTTP {}, {refused}", exchange.status);
                return Err(ApiError::Unreachable(text));
            }
            Err(refused)
        }
        None => Err(ApiError::Unreachable(format!(
            "HTTP {} with an answer without a code",
            exchange.status
        ))),
    }
}

/// Foreign words for our log: one line, not too long.
fn plain(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(300).collect()
}

#[cfg(test)]
mod tests;
