//! What goes over the wire: address and headers. Bodies are tested beside `request`.

use super::*;

#[test]
fn both_forms_of_the_address() {
    for (form, path) in [
        ("", "/v1/messages"),
        ("/", "/v1/messages"),
        ("/v1", "/v1/messages"),
        ("/v1/", "/v1/messages"),
        ("/anthropic", "/anthropic/v1/messages"),
        ("/api/anthropic/v1", "/api/anthropic/v1/messages"),
    ] {
        let server = Server::start(vec![KIT.fine(true)]);
        let mut settings = KIT.settings(&server);
        let origin = settings.base_url.strip_suffix("/v1").unwrap().to_owned();
        settings.base_url = format!("{origin}{form}");
        ask(&adapter(settings), &CancelToken::new());
        let head = &server.received()[0].head;
        assert!(
            head.starts_with(&format!("POST {path} HTTP/1.1\r\n")),
            "{form}: {head}"
        );
    }
}

#[test]
fn headers() {
    let server = Server::start(vec![KIT.fine(true)]);
    let mut settings = KIT.settings(&server);
    settings.extra_headers = vec![("anthropic-beta".to_owned(), Secret::new("x-1"))];
    ask(&adapter(settings), &CancelToken::new());
    let request = &server.received()[0];
    assert_eq!(request.header("x-api-key"), Some(KEY));
    assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(request.header("anthropic-beta"), Some("x-1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.json()["stream"], true);
}

#[test]
fn configured_headers_replace_ours() {
    let rows = [
        ("Authorization", "Bearer abc"),
        ("X-Api-Key", "other"),
        ("Anthropic-Version", "2026-10-21"),
    ];
    for (name, value) in rows {
        let server = Server::start(vec![KIT.fine(true)]);
        let mut own = KIT.settings(&server);
        own.extra_headers = vec![(name.to_owned(), Secret::new(value))];
        ask(&adapter(own), &CancelToken::new());
        let request = &server.received()[0];
        assert_eq!(request.header(name), Some(value));
        let count = request
            .head
            .to_lowercase()
            .matches(&name.to_lowercase())
            .count();
        assert_eq!(count, 1, "{}", request.head);
        assert_eq!(request.head.contains(KEY), name == "Anthropic-Version");
    }
    let server = Server::start(vec![KIT.fine(true)]);
    let mut without = KIT.settings(&server);
    without.api_key = Secret::new("");
    ask(&adapter(without), &CancelToken::new());
    assert_eq!(server.received()[0].header("x-api-key"), None);
}
