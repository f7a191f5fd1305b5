//! The web tools against servers on loopback that the guard is told to allow, and everything that it must not reach.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::threads::{self, CancelToken};
use crate::tools::testing::Bench;
use crate::tools::{Effects, Registry, Tool, ToolError};

/// Answers each request with what a function makes of its text.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, ended) = (connections.clone(), stop.clone());
        threads::spawn("web-server", 256 * 1024, move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(mut stream) = stream else { continue };
                let request = read_request(&mut stream);
                // The client may have gone.
                let _ = stream.write_all(&answer(&request));
            }
        })
        .unwrap();
        Self {
            address,
            connections,
            stop,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://web.test:{}{path}", self.address.port())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn redirect(to: &str) -> Vec<u8> {
    moved("302 Found", to)
}

fn moved(status: &str, to: &str) -> Vec<u8> {
    answer(status, &format!("location: {to}\r\n"), b"")
}

/// Gives `*.test` the address of loopback, and what it was told for other names.
struct Names(Mutex<Lookup>);

type Lookup = Box<dyn FnMut(&str) -> Vec<IpAddr> + Send>;

impl Names {
    fn loopback() -> Arc<Self> {
        Self::of(|_| vec![Ipv4Addr::LOCALHOST.into()])
    }

    fn of(answer: impl FnMut(&str) -> Vec<IpAddr> + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Box::new(answer))))
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str, port: u16, _: &CancelToken) -> Result<Vec<SocketAddr>, String> {
        let addresses = (self.0.lock().unwrap())(host);
        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }
}

/// Both tools, allowed to reach `web.test` and any port.
struct Web {
    bench: Bench,
    tools: Registry,
}

impl Web {
    fn new() -> Self {
        Self::with(Names::loopback(), &["web.test"])
    }

    fn with(resolver: Arc<dyn Resolve>, allowed: &[&str]) -> Self {
        let (fetch, request) = tools(WebSettings {
            allow_private: allowed.iter().map(|host| (*host).to_owned()).collect(),
            ports: vec![(1, u16::MAX)],
            resolver: Some(resolver),
            ..WebSettings::default()
        });
        let tools: [Arc<dyn Tool>; 2] = [Arc::new(fetch), Arc::new(request)];
        Self {
            bench: Bench::new(),
            tools: Registry::new(tools),
        }
    }

    fn call(&self, name: &str, arguments: &Value) -> Result<String, ToolError> {
        self.bench.call_in(&self.tools, name, arguments)
    }

    fn ok(&self, name: &str, arguments: Value) -> String {
        match self.call(name, &arguments) {
            Ok(text) => text,
            Err(error) => panic!("{name} {arguments}: {error}"),
        }
    }

    fn err(&self, name: &str, arguments: Value) -> String {
        match self.call(name, &arguments) {
            Ok(text) => panic!("{name} {arguments} worked: {text}"),
            Err(error) => error.to_string(),
        }
    }
}

#[test]
fn a_page_is_read_in_pieces_with_one_download() {
    let long: String = (0..3_000)
        .map(|n| format!("<p>paragraph {n}</p>"))
        .collect();
    let server = Server::start(move |_| {
        let page =
            format!("<title>A page</title><main><h1>Head</h1><a href=/x>link</a>{long}</main>");
        answer("200 OK", "content-type: text/html\r\n", page.as_bytes())
    });
    let web = Web::new();
    let url = server.url("/dir/");
    let first = web.ok("web_fetch", json!({"url": url}));
    assert!(
        first.starts_with(&format!(
            "<untrusted-b0 source=\"{url}\">\nTitle: A page\n\n# Head\n"
        )),
        "{first:.200}"
    );
    assert!(first.contains(&format!("[link]({})", server.url("/x"))));
    assert!(
        first.contains("</untrusted-b0>\n[characters 0–12000 of "),
        "{first}"
    );
    let second = web.ok("web_fetch", json!({"url": url, "offset": 12_000}));
    assert!(second.contains("paragraph") && second.contains("[characters 12000–24000 of "));
    assert_eq!(server.connections(), 1);
    let error = web.err("web_fetch", json!({"url": url, "offset": 10_000_000}));
    assert!(error.contains("so nothing is at"), "{error}");
    web.ok("web_fetch", json!({"url": url}));
    assert_eq!(
        server.connections(),
        2,
        "who starts anew gets what is there now"
    );
}

#[test]
fn what_is_no_page_is_named() {
    let server = Server::start(|request| {
        if request.starts_with("GET /pdf") {
            return answer(
                "200 OK",
                "content-type: application/pdf\r\n",
                b"%PDF-1.7 ...",
            );
        }
        if request.starts_with("GET /gbk") {
            let body = encoding_rs::GBK
                .encode("<html><meta charset=gb2312><title>标题</title>中文网页")
                .0
                .into_owned();
            return answer("200 OK", "content-type: text/html\r\n", &body);
        }
        if request.starts_with("GET /empty") {
            return answer(
                "200 OK",
                "content-type: text/html\r\n",
                b"<script>x()</script>",
            );
        }
        answer(
            "404 Not Found",
            "content-type: text/html\r\n",
            b"<h1>No such page</h1>",
        )
    });
    let web = Web::new();
    let error = web.err("web_fetch", json!({"url": server.url("/pdf")}));
    assert!(
        error.contains("is no page: a PDF document, 12 bytes"),
        "{error}"
    );
    let page = web.ok("web_fetch", json!({"url": server.url("/gbk")}));
    assert!(page.contains("Title: 标题\n\n中文网页"), "{page}");
    let error = web.err("web_fetch", json!({"url": server.url("/missing")}));
    assert!(error.contains("answered 404. # No such page"), "{error}");
    assert!(
        web.ok("web_fetch", json!({"url": server.url("/empty")}))
            .contains("may need JavaScript")
    );
}

#[test]
fn an_api_is_called_with_what_was_given() {
    let server = Server::start(|request| {
        answer(
            "201 Created",
            "content-type: application/json\r\netag: \"7\"\r\n",
            request.as_bytes(),
        )
    });
    let web = Web::new();
    let shown = web.ok(
        "http_request",
        json!({"url": server.url("/a?x=1"), "method": "PUT", "headers": {"X-Key": "k", "Accept": "a/b"}, "query": {"名": "值", "n": 2}, "json": {"a": [1, "二"]}}),
    );
    assert!(
        shown.starts_with("HTTP 201 · PUT http://web.test:"),
        "{shown}"
    );
    for part in [
        "PUT /a?x=1&n=2&%E5%90%8D=%E5%80%BC HTTP/1.1",
        "x-key: k",
        "accept: a/b",
        "accept-encoding: gzip",
        "content-type: application/json",
        "{\"a\":[1,\"二\"]}",
        "etag: \"7\"",
        "<untrusted-b0 source=",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let shown = web.ok(
        "http_request",
        json!({"url": server.url("/"), "body": "plain"}),
    );
    assert!(
        shown.contains("POST / HTTP/1.1") && shown.contains("text/plain; charset=utf-8"),
        "{shown}"
    );
    let shown = web.ok(
        "http_request",
        json!({"url": server.url("/"), "method": "DELETE"}),
    );
    assert!(shown.contains("DELETE / HTTP/1.1"), "{shown}");
}

#[test]
fn reading_and_changing_are_told_apart() {
    let web = Web::new();
    let tool = web.tools.get("http_request").unwrap();
    let effects = |method: &str| tool.effects(&json!({"url": "https://a.test", "method": method}));
    assert_eq!(effects("GET"), Effects::ReadOnly);
    assert_eq!(effects("HEAD"), Effects::ReadOnly);
    assert_eq!(effects("POST"), Effects::SideEffect);
    let with_body = json!({"url": "https://a.test", "method": "GET", "body": "x"});
    assert_eq!(tool.effects(&with_body), Effects::SideEffect);
    let action_of = |url: &str, method: &str| {
        let arguments = json!({"url": url, "method": method});
        tool.action(&arguments, &web.bench.workspace)
    };
    let action = action_of("HTTPS://A.Test.:8443/x", "POST");
    assert_eq!(action.host.as_deref(), Some("a.test"));
    assert_eq!(action.subject.as_deref(), Some("POST https://a.test:8443"));
    assert!(matches!(action.standing, crate::tools::Standing::Ask(_)));
    let action = action_of("a.test", "POST");
    assert_eq!(action.subject.as_deref(), Some("POST https://a.test:443"));
    let action = action_of("https://a.test", "GET");
    assert_eq!(action.standing, crate::tools::Standing::Allow);
}

#[test]
fn redirects_are_followed_with_care() {
    let other = Server::start(|request| {
        answer("200 OK", "content-type: text/plain\r\n", request.as_bytes())
    });
    let target = format!("http://other.test:{}/end", other.address.port());
    let server = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/other" => redirect(&target),
        "/kept" => moved("307 Temporary Redirect", &target),
        "/same" => redirect("/end"),
        "/loop" => redirect("/loop"),
        "/file" => redirect("file:///etc/passwd"),
        _ => answer("200 OK", "content-type: text/plain\r\n", request.as_bytes()),
    });
    let web = Web::with(Names::loopback(), &["web.test", "other.test"]);
    let headers = json!({"Authorization": "Bearer secret", "X-Token": "secret", "Accept": "a/b"});
    let post = |path: &str| json!({"url": server.url(path), "method": "POST", "headers": headers, "body": "b"});
    let shown = web.ok("http_request", post("/other"));
    assert!(
        shown.contains("GET /end HTTP/1.1") && shown.contains("accept: a/b"),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
    let refused = web.err("http_request", post("/kept"));
    assert!(
        refused.contains("another machine or port: http://other.test"),
        "{refused}"
    );
    let mut get = json!({"url": server.url("/kept"), "headers": headers});
    assert!(web.ok("http_request", get.clone()).contains("GET /end"));
    get["method"] = json!("DELETE");
    assert!(
        web.err("http_request", get.clone())
            .contains("Nothing was sent there")
    );
    let shown = web.ok("http_request", post("/same"));
    assert!(shown.contains("authorization: Bearer secret"), "{shown}");
    assert!(
        web.err("http_request", post("/loop"))
            .contains("more than 5 redirects")
    );
    assert!(
        web.err("http_request", post("/file"))
            .contains("only http and https")
    );
}

#[test]
fn bombs_and_endless_bodies_end() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b'x'; 64 << 20]).unwrap();
    let bomb = packed.finish().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all("压缩的文字".as_bytes()).unwrap();
    let small = packed.finish().unwrap();
    let server = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/bomb" => answer(
            "200 OK",
            "content-encoding: gzip\r\ncontent-type: text/plain\r\n",
            &bomb,
        ),
        "/gzip" => answer(
            "200 OK",
            "content-encoding: gzip\r\ncontent-type: text/plain\r\n",
            &small,
        ),
        "/brotli" => answer("200 OK", "content-encoding: br\r\n", b"xxxx"),
        "/short" => {
            let mut whole = answer("200 OK", "content-type: text/plain\r\n", b"so far and more");
            whole.truncate(whole.len() - 9);
            whole
        }
        "/garbage" => b"no http at all\r\n\r\n".to_vec(),
        "/headers" => answer("200 OK", &format!("x: {}\r\n", "y".repeat(100_000)), b"x"),
        _ => answer(
            "200 OK",
            "content-type: text/plain\r\n",
            &vec![b'a'; 6 << 20],
        ),
    });
    let web = Web::new();
    let get = |path: &str| json!({"url": server.url(path)});
    assert!(
        web.err("http_request", get("/bomb"))
            .contains("a hundred times")
    );
    assert!(web.ok("http_request", get("/gzip")).contains("压缩的文字"));
    assert!(
        web.err("http_request", get("/brotli"))
            .contains("packed with \"br\"")
    );
    assert!(
        web.err("http_request", get("/garbage"))
            .contains("cannot be reached")
    );
    assert!(
        web.err("http_request", get("/headers"))
            .contains("cannot be reached")
    );
    for tool in ["http_request", "web_fetch"] {
        let shown = web.ok(tool, get("/short"));
        assert!(shown.contains("so far"), "{shown}");
        assert!(shown.contains("the connection ended"), "{shown}");
    }
    let shown = web.ok("http_request", get("/large"));
    assert!(shown.contains("5.2 MB (cut)"), "{shown:.200}");
}

#[test]
fn stopping_ends_a_call_that_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://web.test:{}/", listener.local_addr().unwrap().port());
    let web = Web::new();
    let cancel = web.bench.cancel.clone();
    let stopped = threads::spawn("stopper", 128 * 1024, move || {
        // The call has come; it gets no answer.
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        cancel.cancel();
        let mut rest = [0; 16];
        let closed = stream.read(&mut rest).unwrap_or(0);
        assert_eq!(closed, 0);
    })
    .unwrap();
    assert_eq!(
        web.call("http_request", &json!({"url": url})),
        Err(ToolError::Cancelled)
    );
    stopped.join_within(Duration::from_secs(60)).unwrap();
}

#[test]
fn bad_arguments_say_what_to_do() {
    let web = Web::new();
    for (arguments, words) in [
        (json!({}), "url is missing"),
        (json!({"url": ""}), "empty"),
        (json!({"url": "http://"}), "no web address"),
        (json!({"url": "http://[::1"}), "no web address"),
        (json!({"url": "ftp://web.test/"}), "only http and https"),
        (
            json!({"url": "http://me:pw@web.test/"}),
            "user name or password",
        ),
        (
            json!({"url": "http://web.test/", "headers": {"a b": "c"}}),
            "no header name",
        ),
        (
            json!({"url": "http://web.test/", "headers": {"a": "b\r\nc: d"}}),
            "line ends",
        ),
        (
            json!({"url": "http://web.test/", "headers": {"Host": "x"}}),
            "cannot be set",
        ),
        (
            json!({"url": "http://web.test/", "json": {}, "body": ""}),
            "not both",
        ),
        (
            json!({"url": "http://web.test/", "method": "BREW"}),
            "method",
        ),
        (
            json!({"url": "http://web.test/", "body": "x".repeat(1 << 20 | 1)}),
            "more than 1048576",
        ),
        (json!({"url": "http://web.test:1/"}), "cannot be reached"),
    ] {
        let error = web.err("http_request", arguments.clone());
        assert!(error.contains(words), "{arguments:.100}: {error}");
    }
    let (fetch, _) = tools(WebSettings::default());
    let tools: [Arc<dyn Tool>; 1] = [Arc::new(fetch)];
    let tools = Registry::new(tools);
    let error = web.bench.call_in(
        &tools,
        "web_fetch",
        &json!({"url": "http://example.com:22/"}),
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("port 22 is not open to tools")
    );
}

/// Addresses that no tool may reach.
const FORBIDDEN: [[u8; 4]; 28] = [
    [127, 0, 0, 1],
    [127, 0, 0, 2],
    [127, 1, 2, 3],
    [127, 255, 255, 254],
    [0, 0, 0, 0],
    [0, 1, 2, 3],
    [10, 0, 0, 1],
    [10, 255, 255, 255],
    [100, 64, 0, 1],
    [100, 100, 100, 200],
    [100, 127, 255, 254],
    [169, 254, 0, 1],
    [169, 254, 169, 254],
    [172, 16, 0, 1],
    [172, 20, 10, 5],
    [172, 31, 255, 254],
    [192, 0, 0, 1],
    [192, 0, 2, 1],
    [192, 88, 99, 1],
    [192, 168, 0, 1],
    [192, 168, 255, 254],
    [198, 18, 0, 1],
    [198, 19, 255, 254],
    [198, 51, 100, 1],
    [203, 0, 113, 1],
    [224, 0, 0, 1],
    [240, 0, 0, 1],
    [255, 255, 255, 255],
];

/// All the ways in which an address is written to get past a check.
fn spellings(ip: [u8; 4], port: u16) -> Vec<String> {
    let [a, b, c, d] = ip;
    let number = u32::from_be_bytes(ip);
    let wide = |text: &str| -> String {
        text.chars()
            .map(|ch| match ch {
                '0'..='9' => char::from_u32(ch as u32 - '0' as u32 + 0xFF10).unwrap(),
                '.' => '。',
                other => other,
            })
            .collect()
    };
    let percent: String = format!("{a}.{b}.{c}.{d}")
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let (high, low) = (number >> 16, number & 0xFFFF);
    let (not_high, not_low) = (!number >> 16, !number & 0xFFFF);
    let hosts = [
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{number}"),
        format!("{number}."),
        format!("0x{number:x}"),
        format!("0X{number:08X}"),
        format!("0{number:o}"),
        format!("000{number:o}"),
        format!("{a}.{}", number & 0xFF_FFFF),
        format!("{a}.{b}.{}", number & 0xFFFF),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0{a:o}.{b}.0x{c:x}.{d}"),
        format!("0x{a:x}.{}", number & 0xFF_FFFF),
        format!("0{a:o}.{b}.{}", number & 0xFFFF),
        wide(&format!("{a}.{b}.{c}.{d}")),
        wide(&number.to_string()),
        format!("{a}．{b}．{c}．{d}"),
        percent,
        format!("{a}.{b}.{c}.%{:02x}", b'0' + d % 10)
            .replace(&format!("%{:02x}", b'0' + d % 10), &d.to_string()),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{high:x}:{low:x}]"),
        format!("[0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[::ffff:0:{high:x}:{low:x}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:808:808::{not_high:x}:{not_low:x}]"),
        format!("[2606:4700::5efe:{high:x}:{low:x}]"),
        format!("[2606:4700::200:5efe:{high:x}:{low:x}]"),
    ];
    let mut out = Vec::new();
    for host in hosts {
        out.push(format!("http://{host}:{port}/"));
        out.push(format!("http:\\\\{host}:{port}\\"));
        out.push(format!("hTTp://{host}:{port}?x=http://example.com"));
    }
    out.push(format!("http://example.com@{a}.{b}.{c}.{d}:{port}/"));
    out.push(format!("http://example.com:80@{number}:{port}/"));
    out.push(format!("http:/{a}.{b}.{c}.{d}:{port}/"));
    out.push(format!("http:{a}.{b}.{c}.{d}:{port}/"));
    out.push(format!("ht\ntp://{a}.{b}\t.{c}.{d}:{port}/"));
    out.push(format!(" \t{a}.{b}.{c}.{d}:{port}/ "));
    out
}

/// Names that mean this machine or its network.
fn names(port: u16) -> Vec<String> {
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "loc%61lhost",
        "ｌｏｃａｌｈｏｓｔ",
        "metadata.google.internal",
        "printer.local",
        "[::1]",
        "[::]",
        "[0:0::1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "[fec0::1]",
        "[2001:db8::1]",
    ]
    .iter()
    .map(|host| format!("http://{host}:{port}/"))
    .collect()
}

/// All spellings of all forbidden addresses, and names that mean them.
fn forbidden_spellings(port: u16) -> Vec<String> {
    let addresses = FORBIDDEN.iter().flat_map(|ip| spellings(*ip, port));
    addresses.chain(names(port)).collect()
}

#[test]
fn no_spelling_of_a_forbidden_address_is_reached() {
    let forbidden = Server::start(|_| answer("200 OK", "", b"reached"));
    let port = forbidden.address.port();
    let all = forbidden_spellings(port);
    assert!(all.len() >= 2_000, "{}", all.len());
    // Directly.
    let web = Web::new();
    for spelling in &all {
        let result = web.call("http_request", &json!({"url": spelling}));
        assert!(result.is_err(), "{spelling}: {result:?}");
    }
    // Behind a redirect of a server that may be reached.
    let targets: Vec<String> = all.iter().filter_map(|text| location(text)).collect();
    assert!(targets.len() >= 2_000, "{}", targets.len());
    let sent = targets.clone();
    let server = Server::start(move |request| {
        let n: usize = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        redirect(&sent[n])
    });
    for (n, target) in targets.iter().enumerate() {
        let result = web.call(
            "http_request",
            &json!({"url": server.url(&format!("/{n}"))}),
        );
        assert!(result.is_err(), "{target}: {result:?}");
    }
    assert_eq!(server.connections(), targets.len());
    assert_eq!(forbidden.connections(), 0, "something was reached");
}

/// The address that each spelling means, wrapped as it is; a name server can give all of these.
fn meant(all: &[String]) -> Vec<IpAddr> {
    let ip = |text: &String| match url::Url::parse(text.trim()).ok()?.host()? {
        url::Host::Ipv4(ip) => Some(ip.into()),
        url::Host::Ipv6(ip) => Some(ip.into()),
        url::Host::Domain(_) => None,
    };
    all.iter().filter_map(ip).collect()
}

#[test]
fn no_name_leads_to_a_forbidden_address_at_any_look() {
    let forbidden = Server::start(|_| answer("200 OK", "", b"reached"));
    let port = forbidden.address.port();
    let all = forbidden_spellings(port);
    let meant = meant(&all);
    assert!(meant.len() >= 2_000, "{}", meant.len());
    // What the name server says at each look, and how often it was asked.
    let said = Arc::new(Mutex::new((Vec::new(), 0)));
    let shared = said.clone();
    let web = Web::with(
        Names::of(move |_| {
            let mut said = shared.lock().unwrap();
            let (answers, looks): &mut (Vec<Vec<IpAddr>>, usize) = &mut said;
            *looks += 1;
            answers[*looks - 1].clone()
        }),
        &["first.test"],
    );
    let say = |answers: Vec<Vec<IpAddr>>| *said.lock().unwrap() = (answers, 0);
    let looks = || said.lock().unwrap().1;
    let origin = Server::start(move |request| {
        if request.starts_with("GET /moved") {
            return redirect(&format!("http://rebind.test:{port}/again"));
        }
        answer("200 OK", "", b"origin")
    });
    let here = vec![origin.address.ip()];
    let first = |path: &str| json!({"url": origin.url(path).replace("web.test", "first.test")});
    let second = json!({"url": format!("http://rebind.test:{port}/")});
    let public: IpAddr = "1.1.1.1".parse().unwrap();
    for &ip in &meant {
        // Alone, and on either side of a public address.
        for addresses in [vec![ip], vec![public, ip], vec![ip, public]] {
            say(vec![addresses]);
            let error = web.err("web_fetch", second.clone());
            let words = "Refused: rebind.test leads to a private";
            assert!(error.starts_with(words), "{ip}: {error}");
        }
        // At the second look, behind a redirect.
        say(vec![here.clone(), vec![ip]]);
        let error = web.err("web_fetch", first("/moved"));
        let words = "Refused: rebind.test leads to a private";
        assert!(error.contains(words), "{ip}: {error}");
        // At a look between the check and the connect: there is none.
        say(vec![here.clone(), vec![ip]]);
        let text = web.ok("http_request", first("/"));
        assert!(text.contains("origin"), "{ip}: {text}");
        assert_eq!(looks(), 1);
    }
    assert_eq!(origin.connections(), 2 * meant.len());
    assert_eq!(forbidden.connections(), 0, "something was reached");
}

#[test]
fn the_same_spellings_reach_what_is_allowed() {
    // The control of the two tests above: without the guard's list each of these connects.
    let server = Server::start(|_| answer("200 OK", "", b"reached"));
    let port = server.address.port();
    let own: Vec<String> = spellings([127, 0, 0, 1], port)
        .into_iter()
        .chain(names(port))
        .collect();
    let web = Web::with(
        Names::loopback(),
        &["127.0.0.0/8", "localhost", "a.localhost"],
    );
    // What names no scheme is asked over TLS, which this server does not speak; most addresses in IPv6 reach nothing
    // without a translator on the way, after some seconds each.
    let arrives = |text: &&String| {
        text.starts_with('h') && (!text.contains('[') || text.to_lowercase().contains("ffff:7f"))
    };
    for text in own.iter().filter(arrives) {
        let _ = web.call("http_request", &json!({"url": text}));
    }
    let n = server.connections();
    assert!(n >= 75, "{n} of {}", own.len());
}

/// Writes a spelling as a header can hold it; `None` if it leads back to the server that sends it.
fn location(spelling: &str) -> Option<String> {
    let target: String = spelling
        .bytes()
        .map(|byte| match byte {
            b'!'..=b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let base = url::Url::parse("http://web.test:9/1").unwrap();
    let back = base
        .join(&target)
        .is_ok_and(|url| url.host_str() == Some("web.test"));
    (!back).then_some(target)
}

#[test]
fn the_gateways_own_port_is_never_reached() {
    let gateway = Server::start(|_| answer("200 OK", "", b"reached"));
    let port = gateway.address.port();
    let (fetch, _) = tools(WebSettings {
        allow_private: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        ports: vec![(1, u16::MAX)],
        own_port: port,
        resolver: Some(Names::loopback()),
    });
    let all: [Arc<dyn Tool>; 1] = [Arc::new(fetch)];
    let all = Registry::new(all);
    let bench = Bench::new();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = json!({"url": format!("http://{host}:{port}/")});
        assert!(bench.call_in(&all, "web_fetch", &url).is_err());
    }
    assert_eq!(gateway.connections(), 0);
}
