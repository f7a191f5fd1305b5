//! What goes over the wire: address and headers. Bodies are tested beside `request`.

use super::*;

#[test]
fn address_and_headers() {
    for slash in ["", "/"] {
        let server = Server::start(vec![fine_stream()]);
        let mut settings = settings(&server);
        settings.base_url.push_str(slash);
        settings
            .extra_headers
            .push(("X-Title".to_owned(), Secret::new("PicoBot")));
        ask(&adapter(settings), &CancelToken::new());
        let request = &server.received()[0];
        assert!(
            request
                .head
                .starts_with("POST /v1/chat/completions HTTP/1.1\r\n")
        );
        let bearer = format!("Bearer {KEY}");
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
        assert_eq!(request.header("x-title"), Some("PicoBot"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert!(request.header("transfer-encoding").is_none());
    }
}

#[test]
fn keys_that_are_empty_or_replaced() {
    let server = Server::start(vec![fine_stream()]);
    let mut without = settings(&server);
    without.api_key = Secret::new("");
    ask(&adapter(without), &CancelToken::new());
    assert_eq!(server.received()[0].header("authorization"), None);

    let server = Server::start(vec![fine_stream()]);
    let mut own = settings(&server);
    own.extra_headers = vec![("Authorization".to_owned(), Secret::new("Basic abc"))];
    ask(&adapter(own), &CancelToken::new());
    let head = &server.received()[0].head;
    assert!(head.to_lowercase().contains("authorization: basic abc"));
    assert!(!head.contains(KEY));
}
