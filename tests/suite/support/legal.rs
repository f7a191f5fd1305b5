//! Checks that a recorded request obeys the rules services enforce beyond the types of its fields. Pure.

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
}
