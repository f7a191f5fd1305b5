//! The rows of the matrix: what a service does, and how the turn must end.
//!
//! A row is the same for both formats and both ways of answering unless the format has no such thing; what differs in
//! spelling is made by the scripted model.

use serde_json::{Value, json};

use crate::support::script::{Answer, Call};

/// How a turn must end.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With this answer.
    Says(&'static str),
    /// With an answer that ends like this.
    Ends(&'static str),
    /// With an error of this code whose sentence holds this.
    Fails(&'static str, &'static str),
}

/// A row.
pub(super) struct Situation {
    /// Its name, also that of its chat.
    pub(super) name: &'static str,
    /// What the service does, request by request.
    pub(super) answers: Box<dyn Fn() -> Vec<Answer>>,
    /// How the turn ends.
    pub(super) outcome: Outcome,
}

use Outcome::{Ends, Fails, Says};

const CUT: &str = "\n\n[cut off]";
const LIMIT: &str = "[cut off at the model's output limit; write 'continue' to go on]";
const EMPTY: &str = "The model gave an empty answer. Ask again, or in other words.";
const DECLINED: &str = "The model declined to answer this. None of it is sent to the model again.";

/// Returns every row for a format and a way of answering.
pub(super) fn all(kind: &str, streams: bool) -> Vec<Situation> {
    let mut rows = Rows(Vec::new());
    bodies(&mut rows);
    framing(&mut rows, streams);
    calls(&mut rows, kind, streams);
    broken(&mut rows, kind, streams);
    refusals(&mut rows);
    if kind == "openai" {
        only_chat(&mut rows, streams);
    } else {
        only_messages(&mut rows, streams);
    }
    rows.0
}

struct Rows(Vec<Situation>);

impl Rows {
    fn add(
        &mut self,
        name: &'static str,
        answers: impl Fn() -> Vec<Answer> + 'static,
        outcome: Outcome,
    ) {
        self.0.push(Situation {
            name,
            answers: Box::new(answers),
            outcome,
        });
    }

    /// A row of one answer.
    fn one(&mut self, name: &'static str, answer: impl Fn() -> Answer + 'static, outcome: Outcome) {
        self.add(name, move || vec![answer()], outcome);
    }

    /// A failure, behind which the service works again.
    fn passing(&mut self, name: &'static str, answer: impl Fn() -> Answer + 'static) {
        let answers = move || vec![answer(), Answer::text("here again")];
        self.add(name, answers, Says("here again"));
    }

    /// A round of calls, then an answer.
    fn round(&mut self, name: &'static str, answer: impl Fn() -> Answer + 'static) {
        let answers = move || vec![answer(), Answer::text("it is done")];
        self.add(name, answers, Says("it is done"));
    }
}

/// A response whose body ends with the connection.
fn response(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body.as_ref()].concat()
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", body)
}

/// The same body in chunks of one byte.
fn byte_by_byte(body: &str) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for byte in body.bytes() {
        out.extend([b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    out.extend(b"0\r\n\r\n");
    out
}

/// Leaves out the events that hold a text.
fn without_events(body: &str, text: &str) -> String {
    body.split_inclusive("\n\n")
        .filter(|event| !event.contains(text))
        .collect()
}

fn calculator(id: &str, arguments: &str) -> Call {
    Call::with_text(id, "calculator", arguments)
}

fn sum() -> Call {
    calculator("call_1", r#"{"expression":"6*7"}"#)
}

/// Good answers of every content.
fn bodies(rows: &mut Rows) {
    let text = |text: &'static str| move || Answer::text(text);
    rows.one("text", text("hello there"), Says("hello there"));
    let wide = "你好，世界 🦀 é\u{200b}";
    rows.one("wide text", text(wide), Says(wide));
    let controls = "a\u{0}b\u{1b}[31m\u{202e}c";
    rows.one("control characters", text(controls), Says(controls));
    rows.one("no text", || Answer::calls([]).finish("stop"), Says(EMPTY));
    rows.one("blank text", text(" \n\t "), Ends(EMPTY));
    rows.one(
        "reasoning and text",
        || Answer::text("so it is").thinking("hm 好", "sig"),
        Says("so it is"),
    );
    rows.one(
        "only reasoning",
        || Answer::calls([]).thinking("hm", "sig").finish("stop"),
        Says(EMPTY),
    );
    rows.one(
        "output limit",
        || Answer::text("half of").finish("length"),
        Ends(LIMIT),
    );
    rows.one(
        "an unknown reason",
        || Answer::text("tired").finish("eos"),
        Says("tired"),
    );
    rows.one(
        "tool_calls without calls",
        || Answer::text("none").finish("tool_calls"),
        Says("none"),
    );
    rows.one(
        "a refusal",
        || Answer::calls([]).finish("refusal"),
        Says(DECLINED),
    );
    rows.one(
        "a refusal in words",
        || Answer::text("I would rather not.").finish("refusal"),
        Says("I would rather not.\n\nThe model declined to answer this. None of it is sent to the model again."),
    );
}

/// Good answers in odd wrappings.
fn framing(rows: &mut Rows, streams: bool) {
    let plain = || Answer::text("好 as ever");
    let mut one = |name, make: fn(&str) -> Vec<u8>| {
        rows.one(name, move || plain().reshaped(make), Says("好 as ever"));
    };
    one("byte by byte", byte_by_byte);
    one("a body without a length", |body| ok(body));
    one("a byte order mark", |body| ok(format!("\u{feff}{body}")));
    one("blank lines first", |body| ok(format!("\n\n \n{body}")));
    one("a wrong content type", |body| {
        response("200 OK\r\ncontent-type: text/html; charset=gbk", body)
    });
    one("another good status", |body| response("201 Created", body));
    one("unknown fields", |body| {
        ok(body.replace("{\"id\"", "{\"news\":[{\"x\":1}],\"id\""))
    });
    one("no usage", |body| ok(body.replace("\"usage\"", "\"used\"")));
    one("odd usage", |body| {
        ok(body
            .replace("\"output_tokens\":", "\"output_tokens\":-")
            .replace("\"completion_tokens\":", "\"completion_tokens\":-"))
    });
    one("absurd usage", |body| {
        ok(body.replace("_tokens\":", "_tokens\":9000000000000000"))
    });
    rows.one(
        "invalid UTF-8",
        || {
            Answer::text("a?b").reshaped(|body| {
                let mut bytes = body.as_bytes().to_vec();
                let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
                bytes[at] = 0xFF;
                ok(bytes)
            })
        },
        Says("a\u{fffd}b"),
    );
    if !streams {
        return;
    }
    let mut one = |name, make: fn(&str) -> Vec<u8>| {
        rows.one(name, move || plain().reshaped(make), Says("好 as ever"));
    };
    one("CRLF", |body| ok(body.replace('\n', "\r\n")));
    one("CR", |body| ok(body.replace('\n', "\r")));
    one("comments", |body| {
        ok(body.replace("\n\n", "\n\n: keep-alive\n\n"))
    });
    one("no blank line at the end", |body| ok(body.trim_end()));
    one("no end mark", |body| {
        let body = body.replace("data: [DONE]\n\n", "");
        ok(without_events(&body, "message_stop"))
    });
    one("an end mark but no reason", |body| {
        let body = without_events(body, "\"finish_reason\":\"stop\"");
        ok(without_events(&body, "message_delta"))
    });
    one("nothing counts behind the end", |body| {
        ok(format!("{body}data: {{oops\n\n"))
    });
    one("unknown events", |body| {
        ok(body.replace(
            "\n\n",
            "\n\nevent: news\ndata: {\"type\":\"news\",\"choices\":[]}\n\n",
        ))
    });
}

/// Tool calls, legal and not.
fn calls(rows: &mut Rows, kind: &str, streams: bool) {
    let one = |call: fn() -> Call| move || Answer::calls([call()]);
    rows.round("a call", one(sum));
    rows.round("a call with text", || {
        Answer::calls([sum()]).saying("Let me see.")
    });
    rows.round("a call and reasoning", || {
        Answer::calls([sum()]).thinking("hm", "sig")
    });
    rows.round("a call with stop", || Answer::calls([sum()]).finish("stop"));
    rows.round("two calls", || {
        Answer::calls([sum(), calculator("call_2", r#"{"expression":"1+1"}"#)])
    });
    rows.round("equal ids", || Answer::calls([sum(), sum()]));
    rows.round(
        "an empty id",
        one(|| calculator("", r#"{"expression":"1"}"#)),
    );
    rows.round(
        "an odd id",
        one(|| calculator("functions.f:0 好", r#"{"expression":"1"}"#)),
    );
    rows.round("empty arguments", one(|| calculator("c", "")));
    rows.round(
        "broken arguments",
        one(|| calculator("c", "{\"expression\": \"6*")),
    );
    rows.round("a list for arguments", one(|| calculator("c", "[1,2]")));
    rows.round("a number for arguments", one(|| calculator("c", "7")));
    rows.round("a text for arguments", one(|| calculator("c", "\"6*7\"")));
    rows.round("null for arguments", one(|| calculator("c", "null")));
    rows.round(
        "wrong types in arguments",
        one(|| calculator("c", r#"{"expression":{"a":[]}}"#)),
    );
    rows.round("arguments without bottom", || {
        let deep = format!(
            "{{\"expression\":{}1{}}}",
            "[".repeat(5_000),
            "]".repeat(5_000)
        );
        Answer::calls([calculator("c", &deep)])
    });
    rows.round(
        "an unknown tool",
        one(|| Call::new("c", "no_such_tool", json!({}))),
    );
    rows.round(
        "a made-up name",
        one(|| Call::new("c", "functions.计算 器", json!({}))),
    );
    rows.round("a name without end", || {
        Answer::calls([Call::new("c", &"x".repeat(10_000), json!({}))])
    });
    rows.round("a hundred calls", || {
        let calls = (0..100).map(|n| {
            let arguments = json!({"expression": format!("{n}+1")}).to_string();
            calculator(&format!("c{n}"), &arguments)
        });
        Answer::calls(calls)
    });
    if streams || kind == "openai" {
        // A plain message holds its input as JSON: half a call cannot be told there.
        rows.round("half a call at the limit", || {
            Answer::calls([calculator("c", "{\"expression\": \"6*")]).finish("length")
        });
    }
    rows.round("arguments without end", || {
        let long = json!({"expression": "1+".repeat(200_000)}).to_string();
        Answer::calls([calculator("c", &long)]).saying("Well.")
    });
}

/// Answers that are none.
fn broken(rows: &mut Rows, kind: &str, streams: bool) {
    let raw = |bytes: Vec<u8>| move || Answer::raw(&bytes);
    let unclear = || Fails("provider", "cannot be understood");
    rows.one("garbage", raw(ok("%PDF-1.4 \u{1}\u{2}")), unclear());
    rows.one("garbage JSON", raw(ok("{\"choices\": [{]")), unclear());
    rows.one("garbage events", raw(ok("data: {oops\n\n")), unclear());
    rows.one("a list", raw(ok("[]")), unclear());
    rows.one("an empty object", raw(ok("{}")), unclear());
    rows.one("a number", raw(ok("7")), unclear());
    rows.one("a text", raw(ok("\"hello\"")), unclear());
    rows.one(
        "a page",
        raw(response(
            "200 OK\r\ncontent-type: text/html",
            "<html><body>Sign in</body></html>",
        )),
        Fails("provider", "web page"),
    );
    rows.passing("an empty body", raw(ok("")));
    rows.passing("a closed connection", raw(Vec::new()));
    rows.passing("half a head", raw(b"HTTP/1.1 200 OK\r\ncont".to_vec()));
    rows.passing(
        "a body that is too short",
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"cho".to_vec()),
    );
    rows.passing("only comments", raw(ok(": hi\n\n: there\n\n")));
    rows.passing("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    rows.one(
        "a long answer",
        || Answer::text(&format!("{} ", "x".repeat(99_999)).repeat(105)).reshaped(|body| ok(body)),
        Ends(CUT),
    );
    let long_line = || Answer::raw(&ok("data: ")).endless("x".repeat(65_536));
    rows.one("a line without end", long_line, unclear());
    let blanks = || Answer::raw(&ok("")).endless(" ".repeat(65_536));
    rows.one("blanks without end", blanks, unclear());
    let comments = || Answer::raw(&ok("")).endless(": hi\n\n".repeat(10_000));
    rows.one("comments without end", comments, unclear());
    if streams {
        rows.one(
            "cut off behind text",
            || {
                Answer::text("one two three").reshaped(|body| {
                    let end = body.find("three").unwrap();
                    ok(&body[..end])
                })
            },
            Ends(CUT),
        );
        rows.passing("cut off before text", || {
            Answer::text("one two").cut_after(60)
        });
        let half_call = || {
            Answer::calls([sum()]).reshaped(|body| {
                let end = body.find("6*").unwrap_or(body.len());
                ok(&body[..end])
            })
        };
        rows.passing("cut off in a call", half_call);
        rows.one(
            "an error behind text",
            || {
                Answer::text("one two").reshaped(|body| {
                    let end = body.find("two").unwrap();
                    let start = body[..end].rfind("data:").unwrap();
                    let start = body[..start].rfind("\n\n").unwrap() + 2;
                    ok(format!(
                        "{}data: {{\"error\":{{\"message\":\"boom\"}}}}\n\n",
                        &body[..start]
                    ))
                })
            },
            Ends(CUT),
        );
        let more = match kind {
            "openai" => json!({"choices": [{"delta": {"content": "more and more "}}]}),
            _ => {
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "more and more "}})
            }
        };
        let more = format!("data: {more}\n\n").repeat(100);
        rows.one(
            "text without end",
            move || {
                let start = |body: &str| ok(&body[..body.find("\n\n").unwrap() + 2]);
                Answer::text("x").reshaped(start).endless(more.clone())
            },
            Ends(CUT),
        );
        rows.one(
            "silence in the middle",
            || Answer::text("one two three").held_after(4, &crate::support::gate::Gate::new()),
            Ends(CUT),
        );
    }
    rows.one(
        "silence",
        || Answer::text("never").held(&crate::support::gate::Gate::new()),
        Fails("timeout", "did not answer"),
    );
}

/// Errors, by status and by words.
fn refusals(rows: &mut Rows) {
    let error = |status: u16, message: &'static str| move || Answer::error(status, message);
    let provider = |text| Fails("provider", text);
    rows.one(
        "400",
        error(400, "no such thing"),
        provider("refused the request: HTTP 400: no such thing"),
    );
    rows.one(
        "401",
        error(401, "bad key"),
        Fails("auth", "refused the key or the account"),
    );
    rows.one(
        "402",
        error(402, "pay first"),
        Fails("auth", "refused the key or the account"),
    );
    rows.one(
        "403",
        error(403, "not here"),
        Fails("auth", "refused the key or the account"),
    );
    rows.one("404", error(404, "no such model"), provider("model_id"));
    rows.one("413", error(413, "too large"), provider("grown too long"));
    rows.one("422", error(422, "no"), provider("refused the request"));
    rows.one(
        "too long",
        error(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        provider("grown too long"),
    );
    rows.one(
        "quota",
        error(429, "You exceeded your current quota"),
        Fails("auth", "balance"),
    );
    rows.one(
        "a long wait",
        || Answer::error(429, "slow down").header("retry-after", "3000"),
        provider("Try again in 3000 s."),
    );
    let soon = |status| move || Answer::error(status, "busy").header("retry-after-ms", "1");
    rows.passing("a short wait", soon(429));
    rows.passing("500", soon(500));
    rows.passing("503", soon(503));
    rows.passing("529", soon(529));
    rows.add(
        "500 in vain",
        move || (0..4).map(|_| soon(500)()).collect(),
        provider("overloaded or failing"),
    );
    rows.passing("a page with 502", || {
        let head = "502 Bad Gateway\r\ncontent-type: text/html\r\nretry-after: 0";
        Answer::raw(&response(
            head,
            "<html><title>502 Bad Gateway</title></html>",
        ))
    });
    rows.one(
        "a page with 403",
        || {
            Answer::raw(&response(
                "403 Forbidden",
                "<html><title>No\nentry</title></html>",
            ))
        },
        Fails("auth", "a web page: No entry"),
    );
    rows.one(
        "a redirect",
        || Answer::raw(&response("307 X\r\nlocation: http://127.0.0.1:1/", "")),
        provider("set base_url"),
    );
    rows.one(
        "an error with 200",
        || Answer::raw(&ok(r#"{"error":{"message":"bad key","code":401}}"#)),
        Fails("auth", "bad key"),
    );
    rows.one(
        "an error event with 200",
        || {
            Answer::raw(&ok(
                "data: {\"error\":{\"message\":\"no\",\"code\":404}}\n\n",
            ))
        },
        provider("does not know"),
    );
    rows.one(
        "a long error",
        || Answer::raw(&response("400 X", "好".repeat(1024 * 1024))),
        provider("…"),
    );
    rows.one(
        "an error without end",
        || Answer::raw(&response("400 X", "")).endless("no ".repeat(10_000)),
        provider("refused the request"),
    );
    rows.one(
        "a content filter",
        || Answer::error(400, "Input data may contain inappropriate content."),
        provider("/new starts another dialog."),
    );
    rows.one(
        "a key in an error",
        || Answer::error(400, "the key test-key is odd"),
        provider("the key *** is odd"),
    );
    rows.passing("a parameter is refused", || {
        Answer::error(
            400,
            "max_tokens: 1024 > 1000, which is the maximum allowed number of output tokens",
        )
    });
}

/// What only chat completions can do.
fn only_chat(rows: &mut Rows, streams: bool) {
    rows.one(
        "thinking in the text",
        || Answer::text("<think>hm, \n well</think>\n\nso it is"),
        Says("so it is"),
    );
    let whole = |message: Value, reason: &str| {
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        ok(json!({"id": "x", "choices": [choice]}).to_string())
    };
    let raw = |bytes: Vec<u8>| move || Answer::raw(&bytes);
    let call =
        json!({"id": "a", "function": {"name": "calculator", "arguments": {"expression": "1"}}});
    rows.one(
        "content null",
        raw(whole(json!({"content": null}), "stop")),
        Says(EMPTY),
    );
    rows.one(
        "no choices",
        raw(ok(r#"{"id":"x","choices":[]}"#)),
        Fails("provider", "cannot be understood"),
    );
    rows.one(
        "choices null",
        raw(ok(r#"{"id":"x","choices":null}"#)),
        Fails("provider", "cannot be understood"),
    );
    let two = json!({"content": null, "tool_calls": [call, call]});
    rows.round("arguments that are an object", raw(whole(two, "stop")));
    rows.one(
        "content in parts",
        raw(whole(
            json!({"content": [{"type": "text", "text": "in parts"}]}),
            "stop",
        )),
        Says("in parts"),
    );
    rows.one(
        "no list of calls",
        raw(whole(json!({"content": "none", "tool_calls": []}), "stop")),
        Says("none"),
    );
    rows.one(
        "filtered",
        || Answer::calls([]).finish("content_filter"),
        Says(DECLINED),
    );
    if streams {
        let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]}).to_string();
        let piece = |index: u64, id: &str, name: &str, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            delta(json!({"tool_calls": [{"index": index, "id": id, "function": function}]}))
        };
        let stream = |events: &[String]| {
            let lines = events.iter().map(|event| format!("data: {event}\n\n"));
            ok(lines
                .chain(["data: [DONE]\n\n".to_owned()])
                .collect::<String>())
        };
        let one = r#"{"expression":"1"}"#;
        rows.round(
            "all calls numbered 0",
            raw(stream(&[
                piece(0, "a", "calculator", one),
                piece(0, "b", "calculator", one),
            ])),
        );
        rows.round(
            "a repeated name",
            raw(stream(&[
                piece(0, "a", "calculator", ""),
                piece(0, "", "calculator", "{\"expression\""),
                piece(0, "", "", ":\"1\"}"),
            ])),
        );
        rows.passing("gives up", || {
            Answer::calls([]).finish("insufficient_system_resource")
        });
    }
}

/// What only the Messages API can do.
fn only_messages(rows: &mut Rows, streams: bool) {
    rows.one(
        "thinking without text",
        || Answer::text("so it is").thinking("", "sig"),
        Says("so it is"),
    );
    rows.one(
        "the window is full",
        || Answer::text("half").finish("model_context_window_exceeded"),
        Ends(LIMIT),
    );
    let whole = |content: Value| {
        ok(json!({"type": "message", "content": content, "stop_reason": "end_turn"}).to_string())
    };
    let raw = |bytes: Vec<u8>| move || Answer::raw(&bytes);
    rows.one("no blocks", raw(whole(json!([]))), Says(EMPTY));
    rows.one(
        "an empty block",
        raw(whole(json!([{"type": "text", "text": ""}]))),
        Says(EMPTY),
    );
    rows.one(
        "redacted thinking",
        raw(whole(
            json!([{"type": "redacted_thinking", "data": "e"}, {"type": "text", "text": "well"}]),
        )),
        Says("well"),
    );
    rows.round(
        "a call without id and name",
        raw(whole(json!([{"type": "tool_use", "input": {}}]))),
    );
    if streams {
        rows.one(
            "blocks without their start",
            || {
                Answer::text("as ever")
                    .reshaped(|body| ok(without_events(body, "content_block_start")))
            },
            Says("as ever"),
        );
        rows.passing("overloaded in the stream", || {
            let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
            Answer::raw(&ok(format!("event: error\ndata: {error}\n\n")))
        });
    }
}
