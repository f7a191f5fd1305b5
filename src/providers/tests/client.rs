//! The client against raw sockets: reuse, cancelling in every state, limits, reminders.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::net::*;
use crate::providers::testing::{
    CEILING, SSE_HEAD, Server, Step, chunk, json, read_request, response,
};
use crate::threads::{self, CancelToken};

/// Somebody who never wants to be reminded.
struct Patient;

impl Patience for Patient {
    fn due(&self) -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn remind(&mut self, _now: Instant) {
        panic!("nobody waits for an hour here");
    }
}

fn post(
    http: &Http,
    url: &str,
    limits: &Limits,
    cancel: &CancelToken,
    patience: &mut Patient,
) -> Result<Vec<u8>, HttpError> {
    let post = Post {
        url,
        headers: &[("x-test", "1")],
        body: b"{}",
    };
    let mut answer = http.post(&post, limits, cancel, patience)?;
    let mut body = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match answer.read(&mut buffer, patience)? {
            0 => return Ok(body),
            count => body.extend_from_slice(&buffer[..count]),
        }
    }
}

fn get(server: &Server, limits: &Limits) -> Result<Vec<u8>, HttpError> {
    post(
        &Http::new(),
        &server.url(),
        limits,
        &CancelToken::new(),
        &mut Patient,
    )
}

#[test]
fn five_calls_use_one_connection() {
    let server = Server::start(vec![json(200, "{\"a\":1}"); 5]);
    let http = Http::new();
    for _ in 0..5 {
        let body = post(
            &http,
            &server.url(),
            &Limits::default(),
            &CancelToken::new(),
            &mut Patient,
        );
        assert_eq!(body.unwrap(), b"{\"a\":1}");
    }
    assert_eq!(server.connections(), 1);
    let request = &server.received()[0];
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let agent = concat!("picobot/", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-test"), Some("1"));
    assert_eq!(request.body, b"{}");
}

#[test]
fn different_limits_share_connections() {
    let server = Server::start(vec![json(200, "{}"); 2]);
    let http = Http::new();
    for first_byte in [4, 5] {
        let limits = Limits {
            first_byte: Duration::from_secs(first_byte),
            ..Limits::default()
        };
        let cancel = CancelToken::new();
        let body = post(&http, &server.url(), &limits, &cancel, &mut Patient);
        assert!(body.is_ok());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn error_statuses_and_redirects_are_answers() {
    for status in [302, 404, 500] {
        let server = Server::start(vec![vec![Step::Send(response(
            status,
            "location: http://127.0.0.1:1/\r\n",
            "body",
        ))]]);
        assert_eq!(get(&server, &Limits::default()).unwrap(), b"body");
        assert_eq!(server.received().len(), 1);
    }
}

/// Cancels once the server has the request; returns when the server saw the client go.
fn check_cancel(script: Vec<Step>) {
    let server = Server::start(vec![script, json(200, "{}")]);
    let cancel = CancelToken::new();
    let asked = server.asked.clone();
    let canceller = {
        let cancel = cancel.clone();
        threads::spawn("canceller", 128 * 1024, move || {
            asked.recv_timeout(CEILING).unwrap();
            cancel.cancel();
        })
        .unwrap()
    };
    let http = Http::new();
    let result = post(
        &http,
        &server.url(),
        &Limits::default(),
        &cancel,
        &mut Patient,
    );
    assert_eq!(result, Err(HttpError::Cancelled));
    server.gone.recv_timeout(CEILING).unwrap();
    canceller.join_within(CEILING).unwrap();
    // The client is as good as new.
    let again = post(
        &http,
        &server.url(),
        &Limits::default(),
        &CancelToken::new(),
        &mut Patient,
    );
    assert_eq!(again.unwrap(), b"{}");
}

#[test]
fn cancel_while_waiting_for_the_head() {
    check_cancel(vec![Step::Hold]);
}

#[test]
fn cancel_in_a_silent_stream() {
    check_cancel(vec![
        Step::Send(SSE_HEAD.to_vec()),
        Step::Send(chunk(b"data: a\n\n")),
        Step::Hold,
    ]);
}

#[test]
fn cancel_in_a_busy_stream() {
    check_cancel(vec![
        Step::Send(SSE_HEAD.to_vec()),
        Step::Endless(chunk(b": busy\n\n")),
    ]);
}

#[test]
fn cancel_in_a_body_without_length() {
    check_cancel(vec![
        Step::Send(b"HTTP/1.1 200 OK\r\n\r\nsome".to_vec()),
        Step::Hold,
    ]);
}

#[test]
fn cancel_in_a_stalled_tls_handshake() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let cancel = CancelToken::new();
    let stalled = {
        let cancel = cancel.clone();
        threads::spawn("stalled", 128 * 1024, move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(CEILING)).unwrap();
            let mut hello = [0; 4096];
            assert!(stream.read(&mut hello).unwrap() > 0);
            cancel.cancel();
            while stream.read(&mut hello).unwrap() > 0 {}
        })
        .unwrap()
    };
    let result = post(
        &Http::new(),
        &url,
        &Limits::default(),
        &cancel,
        &mut Patient,
    );
    assert_eq!(result, Err(HttpError::Cancelled));
    stalled.join_within(CEILING).unwrap();
}

#[test]
fn a_cancelled_token_sends_nothing() {
    let server = Server::start(vec![json(200, "{}")]);
    let cancel = CancelToken::new();
    cancel.cancel();
    let result = post(
        &Http::new(),
        &server.url(),
        &Limits::default(),
        &cancel,
        &mut Patient,
    );
    assert_eq!(result, Err(HttpError::Cancelled));
    assert!(server.received().is_empty());
}

#[test]
fn limits_end_the_waiting() {
    let short = Duration::from_millis(50);
    let head = || Step::Send(SSE_HEAD.to_vec());
    let piece = || Step::Send(chunk(b"data: a\n\n"));
    let with = |change: fn(&mut Limits, Duration)| {
        let mut limits = Limits::default();
        change(&mut limits, short);
        limits
    };
    let rows = [
        (
            vec![Step::Hold],
            with(|limits, short| limits.first_byte = short),
            Limit::FirstByte,
        ),
        (
            vec![head(), Step::Hold],
            with(|limits, short| limits.first_byte = short),
            Limit::FirstByte,
        ),
        (
            vec![head(), piece(), Step::Hold],
            with(|limits, short| limits.idle = short),
            Limit::Idle,
        ),
        (
            vec![head(), piece(), Step::Hold],
            with(|limits, short| limits.data = short),
            Limit::Data,
        ),
        (
            vec![head(), piece(), Step::Hold],
            with(|limits, short| limits.total = short),
            Limit::Total,
        ),
    ];
    for (script, limits, expected) in rows {
        let server = Server::start(vec![script]);
        let result = get(&server, &limits);
        assert_eq!(result, Err(HttpError::Timeout(expected, short)));
        server.gone.recv_timeout(CEILING).unwrap();
    }
}

#[test]
fn reminders_come_while_waiting_for_the_head_and_for_the_body() {
    /// Stops the call at the third reminder.
    struct ThreeTimes(CancelToken, Instant, usize);
    impl Patience for ThreeTimes {
        fn due(&self) -> Instant {
            self.1
        }
        fn remind(&mut self, now: Instant) {
            self.1 = now + Duration::from_millis(5);
            self.2 += 1;
            if self.2 == 3 {
                self.0.cancel();
            }
        }
    }
    let starts: [&[Step]; 2] = [&[], &[Step::Send(SSE_HEAD.to_vec())]];
    for start in starts {
        let server = Server::start(vec![[start, &[Step::Hold]].concat()]);
        let cancel = CancelToken::new();
        let mut patience = ThreeTimes(cancel.clone(), Instant::now(), 0);
        let post = Post {
            url: &server.url(),
            headers: &[],
            body: b"{}",
        };
        let result = Http::new()
            .post(&post, &Limits::default(), &cancel, &mut patience)
            .and_then(|mut answer| answer.read(&mut [0; 16], &mut patience));
        assert_eq!(result, Err(HttpError::Cancelled));
        assert_eq!(patience.2, 3);
        server.gone.recv_timeout(CEILING).unwrap();
    }
}

#[test]
fn a_reminder_does_not_disturb_a_slow_answer() {
    let (go, wait) = crossbeam_channel::bounded(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let slow = threads::spawn("slow", 128 * 1024, move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        // A request left unread would turn the close below into a reset.
        read_request(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nconte").unwrap();
        wait.recv_timeout(CEILING).unwrap();
        stream.write_all(b"nt-length: 4\r\n\r\ndo").unwrap();
        wait.recv_timeout(CEILING).unwrap();
        stream.write_all(b"ne").unwrap();
    })
    .unwrap();
    /// Lets the server go on at each reminder.
    struct GoOn(crossbeam_channel::Sender<()>, Instant);
    impl Patience for GoOn {
        fn due(&self) -> Instant {
            self.1
        }
        fn remind(&mut self, now: Instant) {
            self.1 = now + Duration::from_millis(20);
            let _ = self.0.try_send(());
        }
    }
    let mut patience = GoOn(go, Instant::now());
    let post = Post {
        url: &url,
        headers: &[],
        body: b"{}",
    };
    let mut answer = Http::new()
        .post(
            &post,
            &Limits::default(),
            &CancelToken::new(),
            &mut patience,
        )
        .unwrap();
    assert_eq!(answer.read_start(100, &mut patience).unwrap(), b"done");
    slow.join_within(CEILING).unwrap();
}

#[test]
fn what_cannot_be_reached_or_sent_is_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let http = Http::new();
    let send = |url: &str, headers: &[(&str, &str)]| {
        let post = Post {
            url,
            headers,
            body: b"{}",
        };
        let mut patience = Patient;
        http.post(
            &post,
            &Limits::default(),
            &CancelToken::new(),
            &mut patience,
        )
        .map(|answer| answer.status())
    };
    let refused = send(&format!("http://127.0.0.1:{port}/"), &[]);
    assert!(matches!(
        refused,
        Err(HttpError::Network { stale: false, .. })
    ));
    for url in ["", "not a url", "127.0.0.1", "/v1", "ftp://127.0.0.1/"] {
        assert!(
            matches!(send(url, &[]), Err(HttpError::Invalid(_))),
            "{url:?}: {:?}",
            send(url, &[])
        );
    }
    let odd_key = send("http://127.0.0.1:1/", &[("authorization", "Bearer a\nb")]);
    assert!(matches!(odd_key, Err(HttpError::Invalid(_))));
}

#[test]
fn bodies_are_capped() {
    let limits = Limits {
        response_bytes: 100_000,
        ..Limits::default()
    };
    let server = Server::start(vec![
        vec![
            Step::Send(SSE_HEAD.to_vec()),
            Step::Endless(chunk(&[b'x'; 1000])),
        ],
        json(200, &"x".repeat(100_000)),
    ]);
    assert_eq!(get(&server, &limits), Err(HttpError::TooLarge));
    server.gone.recv_timeout(CEILING).unwrap();
    assert_eq!(get(&server, &limits).unwrap().len(), 100_000);
}

#[test]
fn a_stale_connection_is_told_apart_from_a_dead_service() {
    let server = Server::start(vec![json(200, "{}"), vec![Step::Close], vec![Step::Close]]);
    let http = Http::new();
    let send = || {
        post(
            &http,
            &server.url(),
            &Limits::default(),
            &CancelToken::new(),
            &mut Patient,
        )
    };
    send().unwrap();
    assert!(matches!(
        send(),
        Err(HttpError::Network { stale: true, .. })
    ));
    assert!(matches!(
        send(),
        Err(HttpError::Network { stale: false, .. })
    ));
}
