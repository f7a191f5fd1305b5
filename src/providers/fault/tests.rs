//! Error bodies as services send them, with the class each must get.

use super::*;

fn failure(status: u16, body: &str) -> Failure {
    Fault::from_body(status, body.as_bytes()).failure(Hints::default(), &[])
}

fn check(status: u16, body: &str, class: &str, again: bool) {
    let failure = failure(status, body);
    assert_eq!(failure.error.class().0, class, "{status} {body}");
    assert_eq!(failure.again != Again::Never, again, "{status} {body}");
}

#[test]
fn classes() {
    let rows: &[(u16, &str, &str, bool)] = &[
        (
            400,
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}"#,
            "bad_request",
            false,
        ),
        (
            400,
            r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens"}}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"error":{"code":"invalid_parameter_error","message":"Range of input length should be [1, 129024]"},"request_id":"1"}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"error":{"code":"1261","message":"Prompt 超长"}}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_ctx":4096}}"#,
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"object":"error","message":"The prompt is longer than the maximum model length of 4096","code":400}"#,
            "context_too_long",
            false,
        ),
        (
            500,
            r#"{"error":"input length 9000 exceeds the window"}"#,
            "context_too_long",
            false,
        ),
        (413, "", "context_too_long", false),
        (
            413,
            "<html><head><title>413 Request Entity Too Large</title></head></html>",
            "context_too_long",
            false,
        ),
        (
            400,
            r#"{"error":{"message":"Access denied, account is in good standing required","code":"Arrearage"}}"#,
            "auth",
            false,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            "auth",
            false,
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided"}}"#,
            "auth",
            false,
        ),
        (401, "", "auth", false),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance"}}"#,
            "auth",
            false,
        ),
        (
            403,
            r#"{"error":{"code":"AccountOverdueError","message":"overdue"}}"#,
            "auth",
            false,
        ),
        (403, "<html>blocked</html>", "auth", false),
        (
            404,
            r#"{"error":{"message":"model not found","type":"invalid_request_error"}}"#,
            "not_found",
            false,
        ),
        (404, "404 page not found", "not_found", false),
        (405, "", "bad_request", false),
        (408, "", "overloaded", true),
        (409, "", "overloaded", true),
        (
            422,
            r#"{"detail":[{"loc":["body","messages"],"msg":"field required"}]}"#,
            "bad_request",
            false,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached for requests","type":"requests","code":"rate_limit_exceeded"}}"#,
            "rate_limited",
            true,
        ),
        (
            429,
            r#"{"error":{"message":"Request too large for model on tokens per min","type":"tokens"}}"#,
            "rate_limited",
            true,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
            "auth",
            false,
        ),
        (
            429,
            r#"{"error":{"code":"1302","message":"too fast"}}"#,
            "rate_limited",
            true,
        ),
        (
            429,
            r#"{"error":{"code":"1113","message":"balance"}}"#,
            "auth",
            false,
        ),
        (
            429,
            r#"{"error":{"code":"1305","message":"busy"}}"#,
            "overloaded",
            true,
        ),
        (429, "", "rate_limited", true),
        (429, "not json", "rate_limited", true),
        (500, "", "overloaded", true),
        (
            500,
            r#"{"error":{"message":"boom","type":"invalid_request_error"}}"#,
            "overloaded",
            true,
        ),
        (501, "", "bad_request", false),
        (
            502,
            "<html><title>502 Bad Gateway</title></html>",
            "overloaded",
            true,
        ),
        (
            503,
            r#"{"error":{"message":"x","type":"engine_overloaded_error"}}"#,
            "overloaded",
            true,
        ),
        (504, "", "overloaded", true),
        (520, "", "overloaded", true),
        (
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            "overloaded",
            true,
        ),
    ];
    for (status, body, class, again) in rows {
        check(*status, body, class, *again);
    }
}

#[test]
fn refused_images() {
    for (status, message) in [
        (
            400,
            "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
        ),
        (400, "Could not process image"),
        (
            400,
            "At least one of the image dimensions exceed max allowed size: 8000 pixels",
        ),
        (
            400,
            "messages.2.content.0.image.source.base64: Image does not match the provided media type image/png",
        ),
        (
            400,
            "You uploaded an unsupported image. Please make sure your image is below 20 MB in size",
        ),
        (400, "Invalid image data."),
        (
            400,
            "The image data you provided does not represent a valid image.",
        ),
        (
            400,
            "Invalid content type. image_url is only supported by certain models.",
        ),
        (
            400,
            "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant `image_url`, expected `text`",
        ),
        (400, "This model does not support image input"),
        (400, "Image inputs are not supported by this model."),
        (404, "No endpoints found that support image input"),
        (400, "qwen3-32b is not a multimodal model"),
        (400, "At most 0 image(s) may be provided in one request."),
        (
            500,
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        ),
        (500, "this model is missing data required for image input"),
        (400, "Unable to process input image. Please retry or report"),
        (
            400,
            "The image length and width do not meet the model restrictions.",
        ),
        (400, "图片输入格式/解析错误"),
        (422, "unsupported image format"),
        (0, "Could not process image"),
    ] {
        let body =
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}});
        check(status, &body.to_string(), "image_refused", false);
    }
    let coded = r#"{"error":{"message":"no","code":"image_parse_error"}}"#;
    check(400, coded, "image_refused", false);
    for (status, message, class) in [
        (401, "Could not process image", "auth"),
        (429, "Invalid image", "rate_limited"),
        (400, "the image generation tool is unknown", "bad_request"),
        (
            400,
            "prompt is too long: 210000 tokens, images included",
            "context_too_long",
        ),
    ] {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        assert_eq!(failure(status, &body).error.class().0, class, "{message}");
    }
}

#[test]
fn content_filters() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content.","type":"data_inspection_failed"}}"#,
        ),
        (
            400,
            r#"{"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"The response was filtered due to the prompt triggering the content management policy","code":"content_filter","status":400}}"#,
        ),
        (
            400,
            r#"{"error":{"code":"InputTextSensitiveContentDetected","message":"The request failed because the input text may contain sensitive information."}}"#,
        ),
    ] {
        check(status, body, "filtered", false);
    }
    check(403, r#"{"error":"content filter"}"#, "auth", false);
}

#[test]
fn errors_inside_good_answers() {
    let rows: &[(&str, &str, bool)] = &[
        (
            r#"{"error":{"message":"Provider returned error","code":502}}"#,
            "overloaded",
            true,
        ),
        (
            r#"{"error":{"message":"slow down","code":429}}"#,
            "rate_limited",
            true,
        ),
        (
            r#"{"error":{"message":"no credit","code":402}}"#,
            "auth",
            false,
        ),
        (
            r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            "overloaded",
            true,
        ),
        (
            r#"{"error":{"type":"invalid_request_error","message":"no"}}"#,
            "bad_request",
            false,
        ),
        (r#"{"error":"something broke"}"#, "overloaded", true),
        (
            r#"{"object":"error","message":"bad template","code":400}"#,
            "bad_request",
            false,
        ),
        (
            r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"maximum context length is 8192"}}}"#,
            "context_too_long",
            false,
        ),
    ];
    for (body, class, again) in rows {
        let value = serde_json::from_str(body).unwrap();
        let failure = Fault::inside_answer(&value).failure(Hints::default(), &[]);
        assert_eq!(failure.error.class().0, *class, "{body}");
        assert_eq!(failure.again != Again::Never, *again, "{body}");
    }
}

#[test]
fn headers_go_before_tables() {
    let fault = Fault::from_body(400, b"");
    let hints = Hints {
        after: Some(Duration::from_secs(3)),
        again: Some(true),
    };
    assert_eq!(
        fault.failure(hints, &[]).again,
        Again::After(Some(Duration::from_secs(3)))
    );
    let never = Hints {
        after: None,
        again: Some(false),
    };
    assert_eq!(
        Fault::from_body(503, b"").failure(never, &[]).again,
        Again::Never
    );
}

#[test]
fn pauses() {
    assert_eq!(parse_pause("2"), Some(Duration::from_secs(2)));
    assert_eq!(parse_pause(" 0.5 "), Some(Duration::from_millis(500)));
    assert_eq!(
        parse_pause("Wed, 21 Oct 2015 07:28:00 GMT"),
        Some(Duration::ZERO)
    );
    let later = parse_pause("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
    assert!(later > Duration::from_secs(3600));
    for odd in ["", "soon", "-1", "NaN", "1e400"] {
        assert_eq!(parse_pause(odd), None, "{odd}");
    }
}

#[test]
fn details_are_short_and_hold_no_secrets() {
    let key = Secret::new("topsecret-key");
    let body = format!(
        r#"{{"error":{{"message":"key topsecret-key and\nsk-abcdefghijklmnop are wrong {}"}}}}"#,
        "好".repeat(500)
    );
    let ProviderError::Auth(detail) = Fault::from_body(401, body.as_bytes())
        .failure(Hints::default(), &[&key])
        .error
    else {
        panic!("a refused key is an auth error");
    };
    assert!(detail.starts_with("HTTP 401: key *** and *** are wrong"));
    assert_eq!(detail.chars().count(), MAX_DETAIL_CHARS + 1);
}

#[test]
fn pages_are_reduced_to_their_title() {
    let ProviderError::Overloaded(detail) =
        failure(502, "<html><HEAD><Title> Bad\nGateway </Title>İ<p>long").error
    else {
        panic!("502 is a failing service");
    };
    assert_eq!(detail, "HTTP 502: a web page: Bad Gateway");
}
