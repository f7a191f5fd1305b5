//! A request head, from bytes to a decision. Pure; no sockets and no clock.
//!
//! Who may enter by token or user is not decided here, only what was asked and whether it was asked rightly.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::limits::{HEAD_BYTES, HEADERS};
use super::page::Answer;
use super::post::{BODY_BYTES, PostHead};
use super::rules::Rules;

/// What the bytes so far amount to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The head goes on.
    More,
    /// The head is complete, or so wrong that the rest does not matter.
    Ready(Decision),
}

/// What is to be done about a request.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Decision {
    /// Answer and close.
    Answer(Answer),
    /// Show the health page.
    Health {
        /// Without its body.
        head_only: bool,
    },
    /// Become a WebSocket, if the client may.
    Upgrade(Upgrade),
    /// Read the body and hand it on.
    Post(PostHead),
}

/// A well-formed request for a WebSocket.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Upgrade {
    /// `Sec-WebSocket-Key`.
    pub(super) key: String,
    /// What it said about itself.
    pub(super) credentials: Credentials,
    /// Length of the head; what follows are frames.
    pub(super) head_bytes: usize,
}

/// The `Authorization` header.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Credentials {
    /// No such header.
    None,
    /// A bearer token, not compared yet.
    Bearer(Vec<u8>),
    /// More than one header, or not a bearer token.
    Malformed,
}

/// Reads the head at the start of `bytes`; begins anew each time.
pub(super) fn read(bytes: &[u8], rules: &Rules) -> Step {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(head_bytes)) if head_bytes <= HEAD_BYTES => {
            let head_only = request.method == Some("HEAD");
            Step::Ready(match decide(&request, head_bytes, rules) {
                Ok(decision) => decision,
                Err(answer) => Decision::Answer(answer.without_body(head_only)),
            })
        }
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES => Step::More,
        Ok(_) => Step::Ready(Decision::Answer(too_large())),
        Err(Error::TooManyHeaders) => Step::Ready(Decision::Answer(too_large())),
        Err(Error::Version) => Step::Ready(Decision::Answer(Answer::text(
            505,
            "Only HTTP/1.0 and HTTP/1.1 are spoken here",
        ))),
        Err(_) => Step::Ready(Decision::Answer(bad("Not a valid HTTP request"))),
    }
}

/// Tells whether a blank line ends a head somewhere in `bytes`.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

fn too_large() -> Answer {
    Answer::text(431, "The request head is too large")
}

fn bad(sentence: &str) -> Answer {
    Answer::text(400, sentence)
}

fn decide(
    request: &httparse::Request<'_, '_>,
    head_bytes: usize,
    rules: &Rules,
) -> Result<Decision, Answer> {
    let lines = Lines(request.headers);
    let target = request.path.unwrap_or_default();
    if !target.starts_with('/') {
        return Err(bad("Only paths are accepted as the request target"));
    }
    check_caller(&lines, rules)?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let method = request.method.unwrap_or_default();
    if rules.takes_posts(path) {
        return match method {
            "POST" => read_post(path, &lines, head_bytes).map(Decision::Post),
            _ => Err(wrong_method().with("Allow", "POST")),
        };
    }
    check_no_body(&lines)?;
    match (path, method) {
        ("/health", "GET" | "HEAD") => Ok(Decision::Health {
            head_only: method == "HEAD",
        }),
        ("/ws", "GET") => read_upgrade(request.version, &lines, head_bytes).map(Decision::Upgrade),
        ("/health", _) => Err(wrong_method().with("Allow", "GET, HEAD")),
        ("/ws", _) => Err(wrong_method().with("Allow", "GET")),
        _ => Err(Answer::text(404, "Not found; there are /health and /ws")),
    }
}

fn wrong_method() -> Answer {
    Answer::text(405, "Method not allowed")
}

fn check_caller(lines: &Lines<'_>, rules: &Rules) -> Result<(), Answer> {
    match lines.single("Host") {
        Single::One(host) if rules.host_allowed(host) => {}
        _ => return Err(Answer::text(403, "Host not allowed")),
    }
    match lines.single("Origin") {
        Single::None => Ok(()),
        Single::One(origin) if rules.origin_allowed(origin) => Ok(()),
        _ => Err(Answer::text(403, "Origin not allowed")),
    }
}

fn check_no_body(lines: &Lines<'_>) -> Result<(), Answer> {
    let no_length = matches!(
        lines.single("Content-Length"),
        Single::None | Single::One(b"0")
    );
    if no_length && lines.single("Transfer-Encoding") == Single::None {
        Ok(())
    } else {
        Err(bad("A request body is not accepted"))
    }
}

fn read_post(path: &str, lines: &Lines<'_>, head_bytes: usize) -> Result<PostHead, Answer> {
    if lines.single("Transfer-Encoding") != Single::None {
        return Err(bad("Only bodies with a Content-Length are accepted"));
    }
    let length = match lines.single("Content-Length") {
        Single::One(digits) => std::str::from_utf8(digits).ok(),
        _ => None,
    };
    let fit = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = length
        .filter(fit)
        .and_then(|digits| digits.parse::<usize>().ok());
    let body_bytes = length.ok_or_else(|| Answer::text(411, "A Content-Length is needed"))?;
    if body_bytes > BODY_BYTES {
        return Err(Answer::text(413, "The body is too large"));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = lines.0.iter();
    Ok(PostHead {
        path: path.to_owned(),
        headers: headers
            .map(|header| {
                (
                    header.name.to_ascii_lowercase(),
                    text(header.value.trim_ascii()),
                )
            })
            .collect(),
        head_bytes,
        body_bytes,
    })
}

fn read_upgrade(
    version: Option<u8>,
    lines: &Lines<'_>,
    head_bytes: usize,
) -> Result<Upgrade, Answer> {
    let asks = lines.lists("Upgrade", "websocket") && lines.lists("Connection", "upgrade");
    if version != Some(1) || !asks {
        return Err(upgrade_required("This address speaks WebSocket only"));
    }
    if lines.single("Sec-WebSocket-Version") != Single::One(b"13") {
        return Err(upgrade_required("Only WebSocket version 13 is supported"));
    }
    let key = match lines.single("Sec-WebSocket-Key") {
        Single::One(key) if is_key(key) => String::from_utf8_lossy(key).into_owned(),
        _ => return Err(bad("Sec-WebSocket-Key is missing or not valid")),
    };
    Ok(Upgrade {
        key,
        credentials: credentials(lines),
        head_bytes,
    })
}

fn upgrade_required(sentence: &str) -> Answer {
    Answer::text(426, sentence).with("Sec-WebSocket-Version", "13")
}

/// Base64 of 16 bytes (RFC 6455, section 4.1).
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else {
        return false;
    };
    digits.len() == 22
        && digits
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn credentials(lines: &Lines<'_>) -> Credentials {
    match lines.single("Authorization") {
        Single::None => Credentials::None,
        Single::Many => Credentials::Malformed,
        Single::One(value) => match value.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                Credentials::Bearer(token.trim_ascii().to_vec())
            }
            _ => Credentials::Malformed,
        },
    }
}

/// The header lines of one request.
struct Lines<'a>(&'a [Header<'a>]);

/// How often a header that may come once did come.
#[derive(PartialEq, Eq, Debug)]
enum Single<'a> {
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Lines<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    fn single(&self, name: &str) -> Single<'a> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Single::None,
            (Some(value), None) => Single::One(value),
            (Some(_), Some(_)) => Single::Many,
        }
    }

    /// Tells whether a comma-separated header holds a word.
    fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WS: &str = "Host: localhost:1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn rules() -> Rules {
        let rules = Rules::new(1, &[], &["https://app.example".to_owned()]).unwrap();
        rules.with_posts(&["/hook".to_owned()])
    }

    #[test]
    fn posts_need_a_known_path_a_length_and_a_host() {
        let long = format!(
            "POST /hook HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: {}\r\n\r\n",
            BODY_BYTES + 1
        );
        for (head, expected) in [
            (
                "POST /hook HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 5\r\n\r\n",
                202,
            ),
            (
                "POST /hook?x=1 HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 0\r\n\r\n",
                202,
            ),
            ("POST /hook HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 411),
            (
                "POST /hook HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: +5\r\n\r\n",
                411,
            ),
            (
                "POST /hook HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                411,
            ),
            (
                "POST /hook HTTP/1.1\r\nHost: localhost:1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            (long.as_str(), 413),
            ("GET /hook HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
            (
                "POST /hook/x HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 5\r\n\r\n",
                400,
            ),
            (
                "POST /hook HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\n",
                403,
            ),
        ] {
            assert_eq!(status(head), expected, "{head}");
        }
    }

    fn run(head: &str) -> Step {
        read(head.as_bytes(), &rules())
    }

    /// The status a head is answered with; 101 for a WebSocket, 200 for the health page.
    fn status(head: &str) -> u16 {
        match run(head) {
            Step::More => panic!("incomplete: {head}"),
            Step::Ready(Decision::Answer(answer)) => answer.status,
            Step::Ready(Decision::Health { .. }) => 200,
            Step::Ready(Decision::Upgrade(_)) => 101,
            Step::Ready(Decision::Post(_)) => 202,
        }
    }

    #[test]
    fn requests_and_their_answers() {
        for (request, expected) in [
            ("GET /health HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 200),
            ("GET /health?x=1 HTTP/1.0\r\nHost: localhost:1\r\n\r\n", 200),
            ("HEAD /health HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 200),
            ("GET /health HTTP/1.1\nHost: localhost:1\n\n", 200),
            (
                "GET /health HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 0\r\n\r\n",
                200,
            ),
            ("POST /health HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
            ("POST /ws HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 404),
            ("GET /health/ HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 404),
            ("GET //health HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 404),
            ("GET /health HTTP/2.0\r\nHost: localhost:1\r\n\r\n", 505),
            ("GET /health HTTP/1.1\r\n\r\n", 403),
            (
                "GET /health HTTP/1.1\r\nHost: localhost:1\r\nHost: localhost:1\r\n\r\n",
                403,
            ),
            ("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
            (
                "GET http://localhost:1/health HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
                400,
            ),
            ("OPTIONS * HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 400),
            (
                "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
                400,
            ),
            ("OPTIONS /ws HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
            (
                "GET /health HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 5\r\n\r\n",
                400,
            ),
            (
                "GET /health HTTP/1.1\r\nHost: localhost:1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("GET /health HTTP/1.1\r\nHost : localhost:1\r\n\r\n", 400),
            (
                "GET /health HTTP/1.1\r\nHost: localhost:1\r\n folded\r\n\r\n",
                400,
            ),
            ("GET /health\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1} hello", 400),
        ] {
            assert_eq!(status(request), expected, "{request}");
        }
    }

    #[test]
    fn origins_are_refused_unless_listed_on_every_path() {
        for path in ["/health", "/ws"] {
            for (origin, expected_refusal) in [
                ("Origin: null\r\n", true),
                ("Origin: https://evil.example\r\n", true),
                ("Origin:\r\n", true),
                (
                    "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
                    true,
                ),
                ("Origin: https://APP.example\r\n", false),
                ("", false),
            ] {
                let head = format!("GET {path} HTTP/1.1\r\n{origin}{WS}\r\n");
                assert_eq!(status(&head) == 403, expected_refusal, "{head}");
            }
        }
    }

    #[test]
    fn upgrades() {
        let whole = format!("GET /ws HTTP/1.1\r\n{WS}\r\n");
        assert_eq!(
            run(&format!("{whole}frames")),
            Step::Ready(Decision::Upgrade(Upgrade {
                key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
                credentials: Credentials::None,
                head_bytes: whole.len(),
            }))
        );
        for (from, to, expected) in [
            ("HTTP/1.1", "HTTP/1.0", 426),
            ("Upgrade: websocket\r\n", "", 426),
            ("Upgrade: websocket", "Upgrade: h2c", 426),
            ("Upgrade: websocket", "Upgrade: h2c, WebSocket", 101),
            ("keep-alive, Upgrade", "keep-alive", 426),
            ("Version: 13", "Version: 8", 426),
            (
                "Version: 13",
                "Version: 13\r\nSec-WebSocket-Version: 13",
                426,
            ),
            ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short==", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!==", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQAA", 400),
        ] {
            assert_eq!(status(&whole.replace(from, to)), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn authorization_is_read_strictly() {
        for (line, expected) in [
            ("", Credentials::None),
            (
                "Authorization: Bearer abc\r\n",
                Credentials::Bearer(b"abc".to_vec()),
            ),
            (
                "authorization: bearer  abc \r\n",
                Credentials::Bearer(b"abc".to_vec()),
            ),
            ("Authorization: Bearer\r\n", Credentials::Malformed),
            ("Authorization: Basic abc\r\n", Credentials::Malformed),
            ("Authorization:\r\n", Credentials::Malformed),
            (
                "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
                Credentials::Malformed,
            ),
        ] {
            match run(&format!("GET /ws HTTP/1.1\r\n{line}{WS}\r\n")) {
                Step::Ready(Decision::Upgrade(upgrade)) => {
                    assert_eq!(upgrade.credentials, expected, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn size_limits() {
        let many = "X: y\r\n".repeat(HEADERS - 1);
        let head = format!("GET /health HTTP/1.1\r\nHost: localhost:1\r\n{many}");
        assert_eq!(status(&format!("{head}\r\n")), 200);
        assert_eq!(status(&format!("{head}X: y\r\n\r\n")), 431);

        let start = "GET /health HTTP/1.1\r\nHost: localhost:1\r\nX: ";
        let fill = "y".repeat(HEAD_BYTES - start.len() - 4);
        let exact = format!("{start}{fill}\r\n\r\n");
        assert_eq!(exact.len(), HEAD_BYTES);
        assert_eq!(status(&exact), 200);
        assert_eq!(status(&format!("{start}{fill}y\r\n\r\n")), 431);
        assert_eq!(status(&format!("{start}{fill}yyyyy")), 431);
        assert_eq!(run(start), Step::More);
    }

    #[test]
    fn a_head_request_gets_no_body_with_any_answer() {
        let head = "HEAD /nowhere HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
        let Step::Ready(Decision::Answer(answer)) = run(head) else {
            panic!("no answer");
        };
        assert!(answer.render().ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_decision_and_never_an_upgrade(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let step = read(&bytes, &rules());
            let enters = matches!(step, Step::Ready(Decision::Upgrade(_) | Decision::Health { .. }));
            prop_assert!(!enters);
        }

        #[test]
        fn a_cut_head_is_incomplete_until_its_end(cut in 0usize..200) {
            let whole = format!("GET /ws HTTP/1.1\r\n{WS}\r\n");
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(run(&whole[..cut]), Step::More);
            prop_assert!(!has_end(&whole.as_bytes()[..cut]));
            prop_assert!(has_end(whole.as_bytes()));
        }
    }
}
