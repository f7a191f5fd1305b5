//! Checks that a recorded request obeys the rules services enforce beyond the types of its fields. Pure.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Panics with the reason if a chat-completions body is not legal.
#[track_caller]
pub(crate) fn assert_legal(body: &Value) {
    if let Err(reason) = check(body) {
        panic!("{reason} in\n{body:#}");
    }
}

fn check(body: &Value) -> Result<(), String> {
    let messages = body["messages"].as_array().ok_or("no messages")?;
    let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
    if roles.len() != messages.len() {
        return Err("a message without a role".to_owned());
    }
    if roles.iter().skip(1).any(|role| *role == "system") {
        return Err("a system message that is not the first".to_owned());
    }
    if !matches!(roles.last(), Some(&"user" | &"tool")) {
        return Err("the last message is neither of the user nor of a tool".to_owned());
    }
    if body
        .get("tools")
        .is_some_and(|tools| tools.as_array().is_none_or(Vec::is_empty))
    {
        return Err("an empty list of tools".to_owned());
    }
    for message in messages {
        check_content(message)?;
        check_images(message)?;
    }
    check_pairs(messages)
}

fn check_content(message: &Value) -> Result<(), String> {
    let calls = message.get("tool_calls");
    let empty = match &message["content"] {
        Value::Null => calls.is_none(),
        Value::String(text) => text.trim().is_empty() && calls.is_none(),
        Value::Array(parts) => parts.is_empty(),
        _ => true,
    };
    if empty {
        return Err(format!("an empty message: {message}"));
    }
    Ok(())
}

/// Images are data URLs and stand in messages of the user only.
fn check_images(message: &Value) -> Result<(), String> {
    for part in message["content"].as_array().into_iter().flatten() {
        let Some(image) = part.get("image_url") else {
            continue;
        };
        let url = image["url"].as_str().unwrap_or_default();
        let data = url.split_once(";base64,").map_or("", |(_, data)| data);
        let is_data = url.starts_with("data:image/") && STANDARD.decode(data).is_ok();
        if message["role"] != "user" || !is_data || data.is_empty() {
            return Err(format!(
                "an image that is wrong or in the wrong place: {message}"
            ));
        }
    }
    Ok(())
}

fn check_pairs(messages: &[Value]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let at = open.iter().position(|call| *call == id);
            open.remove(at.ok_or_else(|| format!("a result without its call: {id}"))?);
            continue;
        }
        if !open.is_empty() {
            return Err(format!("calls without results: {open:?}"));
        }
        let Some(calls) = message.get("tool_calls") else {
            continue;
        };
        let calls = calls.as_array().filter(|calls| !calls.is_empty());
        for call in calls.ok_or("tool_calls that is no list of calls")? {
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let parsed: Value = serde_json::from_str(arguments).unwrap_or_default();
            let id = call["id"].as_str().unwrap_or_default();
            if !parsed.is_object() || id.is_empty() || open.contains(&id) {
                return Err(format!("a broken call: {call}"));
            }
            open.push(id);
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("calls without results: {open:?}"))
    }
}

/// Panics with the reason if a body for the Messages API is not legal.
#[track_caller]
pub(crate) fn assert_legal_messages(body: &Value) {
    if let Err(reason) = check_messages(body) {
        panic!("{reason} in\n{body:#}");
    }
}

fn check_messages(body: &Value) -> Result<(), String> {
    let messages = body["messages"].as_array().ok_or("no messages")?;
    if body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return Err("no max_tokens".to_owned());
    }
    for (n, message) in messages.iter().enumerate() {
        let expected = if n % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != expected {
            return Err(format!("message {n} is not of the {expected}"));
        }
    }
    if messages.len() % 2 == 0 {
        return Err("the last message is not of the user".to_owned());
    }
    let lines: Vec<Vec<&Value>> = messages.iter().map(blocks_of).collect::<Result<_, _>>()?;
    check_tool_blocks(body, &lines)?;
    check_marks(body, &lines)
}

/// Returns the blocks of a message; none of them may be empty.
fn blocks_of(message: &Value) -> Result<Vec<&Value>, String> {
    let content = &message["content"];
    if content.as_str().is_some_and(|text| !text.trim().is_empty()) {
        return Ok(Vec::new());
    }
    let blocks = content.as_array().filter(|blocks| !blocks.is_empty());
    let blocks = blocks.ok_or_else(|| format!("an empty message: {message}"))?;
    for block in blocks {
        let blank = |key: &str| {
            block[key]
                .as_str()
                .is_none_or(|text| text.trim().is_empty())
        };
        let by_assistant = message["role"] == "assistant";
        let legal = match block["type"].as_str().unwrap_or_default() {
            "text" => !blank("text"),
            "tool_use" => by_assistant && block["input"].is_object() && !blank("name"),
            "tool_result" => !by_assistant && (!blank("content") || shows(block)),
            "image" => !by_assistant && is_image(block),
            // Empty thinking is thinking that the service does not show.
            "thinking" => by_assistant && block["thinking"].is_string() && !blank("signature"),
            "redacted_thinking" => by_assistant && !blank("data"),
            _ => false,
        };
        if !legal {
            return Err(format!("a broken block: {block}"));
        }
    }
    Ok(blocks.iter().collect())
}

/// Whether an image holds base64 without any prefix.
fn is_image(block: &Value) -> bool {
    let source = &block["source"];
    let data = source["data"].as_str().unwrap_or_default();
    let kind = source["media_type"].as_str().unwrap_or_default();
    let is_data = !data.is_empty() && STANDARD.decode(data).is_ok();
    source["type"] == "base64" && kind.starts_with("image/") && is_data
}

/// Whether a result is a list of texts and images; one that says that the call failed may only hold texts.
fn shows(result: &Value) -> bool {
    let blocks = result["content"].as_array().map(Vec::as_slice);
    let blocks = blocks.unwrap_or_default();
    let failed = result["is_error"] == true;
    let fits = |block: &Value| match block["type"].as_str() {
        Some("text") => block["text"]
            .as_str()
            .is_some_and(|text| !text.trim().is_empty()),
        Some("image") => !failed && is_image(block),
        _ => false,
    };
    !blocks.is_empty() && blocks.iter().all(fits)
}

/// Each call has its result in the next message, results stand first, ids are legal and new.
fn check_tool_blocks(body: &Value, lines: &[Vec<&Value>]) -> Result<(), String> {
    let tools = body.get("tools");
    if tools.is_some_and(|tools| tools.as_array().is_none_or(Vec::is_empty)) {
        return Err("an empty list of tools".to_owned());
    }
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let results: Vec<&&Value> = line.iter().filter(|b| b["type"] == "tool_result").collect();
        if line[..results.len()]
            .iter()
            .any(|block| block["type"] != "tool_result")
        {
            return Err("a result behind another block".to_owned());
        }
        for result in results {
            let id = result["tool_use_id"].as_str().unwrap_or_default();
            let at = open.iter().position(|call| *call == id);
            open.remove(at.ok_or_else(|| format!("a result without its call: {id}"))?);
        }
        if !open.is_empty() {
            return Err(format!("calls without results: {open:?}"));
        }
        for call in line.iter().filter(|block| block["type"] == "tool_use") {
            let id = call["id"].as_str().unwrap_or_default();
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if id.is_empty() || !id.bytes().all(legal) || !seen.insert(id) {
                return Err(format!("a bad id: {id:?}"));
            }
            open.push(id);
        }
        if tools.is_none() && !(open.is_empty() && seen.is_empty()) {
            return Err(format!("message {n} calls tools and there are none"));
        }
    }
    Ok(())
}

/// At most four marks, and none where the service refuses one.
fn check_marks(body: &Value, lines: &[Vec<&Value>]) -> Result<(), String> {
    let listed = |key: &str| body[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = listed("tools").iter().chain(listed("system"));
    let all = all.chain(lines.iter().flatten().copied());
    let marked: Vec<&Value> = all
        .filter(|block| block.get("cache_control").is_some())
        .collect();
    let thinks = |block: &&Value| {
        block["type"]
            .as_str()
            .is_some_and(|t| t.contains("thinking"))
    };
    if marked.len() > 4 || marked.iter().any(thinks) {
        return Err(format!("bad cache marks: {marked:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(id: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "t", "arguments": arguments}})
    }

    fn asks(calls: &[Value]) -> Value {
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": "x"})
    }

    fn image(url: &str) -> Value {
        json!({"type": "image_url", "image_url": {"url": url}})
    }

    #[test]
    fn legal_and_illegal_histories() {
        let user = json!({"role": "user", "content": "hi"});
        let system = json!({"role": "system", "content": "s"});
        let one = asks(&[call("a", "{}")]);
        for (messages, legal) in [
            (vec![system.clone(), user.clone()], true),
            (vec![user.clone(), one.clone(), result("a")], true),
            (
                vec![
                    user.clone(),
                    asks(&[call("a", "{}"), call("b", "{}")]),
                    result("b"),
                    result("a"),
                ],
                true,
            ),
            (vec![], false),
            (vec![user.clone(), system], false),
            (vec![user.clone(), one.clone()], false),
            (vec![user.clone(), one.clone(), user.clone()], false),
            (vec![user.clone(), result("a")], false),
            (vec![user.clone(), one, result("a"), result("a")], false),
            (vec![user.clone(), asks(&[]), user.clone()], false),
            (
                vec![user.clone(), asks(&[call("a", "[")]), result("a")],
                false,
            ),
            (vec![json!({"role": "user", "content": " "})], false),
            (
                vec![json!({"role": "user", "content": [image("data:image/png;base64,AQ==")]})],
                true,
            ),
            (
                vec![json!({"role": "user", "content": [image("https://a/b.png")]})],
                false,
            ),
            (
                vec![
                    user.clone(),
                    asks(&[call("a", "{}")]),
                    json!({"role": "tool", "tool_call_id": "a", "content": [image("data:image/png;base64,AQ==")]}),
                ],
                false,
            ),
        ] {
            let body = json!({"messages": messages});
            assert_eq!(check(&body).is_ok(), legal, "{body}");
        }
        assert!(check(&json!({"messages": [user], "tools": []})).is_err());
    }

    #[test]
    fn legal_and_illegal_messages() {
        let user = |blocks: Value| json!({"role": "user", "content": blocks});
        let assistant = |blocks: Value| json!({"role": "assistant", "content": blocks});
        let text = |text: &str| json!({"type": "text", "text": text});
        let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "t", "input": {}});
        let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "x"});
        let mark = |mut block: Value| {
            block["cache_control"] = json!({"type": "ephemeral"});
            block
        };
        let picture = |data: &str| json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
        let shown = |failed: bool| {
            let mut result = result("a");
            result["content"] = json!([text("x"), picture("AQ==")]);
            result["is_error"] = json!(failed);
            user(json!([result]))
        };
        let thought = json!({"type": "thinking", "thinking": "", "signature": "s"});
        let hi = user(json!([text("hi")]));
        let asks = assistant(json!([thought, call("a"), call("b")]));
        let both = json!([result("b"), result("a"), text("and")]);
        let tools = json!([{"name": "t", "input_schema": {"type": "object"}}]);
        for (messages, legal) in [
            (vec![hi.clone()], true),
            (vec![user(json!("hi"))], true),
            (vec![hi.clone(), asks.clone(), user(both.clone())], true),
            (vec![], false),
            (vec![user(json!(" "))], false),
            (vec![user(json!([]))], false),
            (vec![user(json!([text("")]))], false),
            (vec![user(json!([call("a")]))], false),
            (vec![hi.clone(), hi.clone()], false),
            (vec![hi.clone(), assistant(json!([text("a")]))], false),
            (vec![hi.clone(), asks.clone(), hi.clone()], false),
            (
                vec![hi.clone(), asks.clone(), user(json!([result("a")]))],
                false,
            ),
            (
                vec![
                    hi.clone(),
                    asks.clone(),
                    user(json!([text("and"), result("a"), result("b")])),
                ],
                false,
            ),
            (vec![user(json!([result("a")]))], false),
            (
                vec![
                    hi.clone(),
                    asks.clone(),
                    user(both.clone()),
                    asks.clone(),
                    user(both.clone()),
                ],
                false,
            ),
            (
                vec![
                    hi.clone(),
                    assistant(json!([call("f:0")])),
                    user(json!([result("f:0")])),
                ],
                false,
            ),
            (
                vec![
                    hi.clone(),
                    assistant(json!([mark(thought.clone())])),
                    hi.clone(),
                ],
                false,
            ),
            (
                vec![user(json!([
                    mark(text("a")),
                    mark(text("b")),
                    mark(text("c")),
                    mark(text("d"))
                ]))],
                true,
            ),
            (vec![user(Value::Array(vec![mark(text("a")); 5]))], false),
            (vec![user(json!([picture("AQ==")]))], true),
            (
                vec![user(json!([picture("data:image/png;base64,AQ==")]))],
                false,
            ),
            (
                vec![hi.clone(), assistant(json!([picture("AQ==")])), hi.clone()],
                false,
            ),
            (
                vec![hi.clone(), assistant(json!([call("a")])), shown(false)],
                true,
            ),
            (
                vec![hi.clone(), assistant(json!([call("a")])), shown(true)],
                false,
            ),
        ] {
            let body = json!({"max_tokens": 1, "tools": tools, "messages": messages});
            assert_eq!(check_messages(&body).is_ok(), legal, "{body}");
        }
        let loose = json!({"max_tokens": 1, "messages": [hi, asks, user(both)]});
        assert!(check_messages(&loose).is_err(), "calls without tools");
        let endless = json!({"messages": [user(json!("hi"))]});
        assert!(check_messages(&endless).is_err(), "no limit");
    }
}
