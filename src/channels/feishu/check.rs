//! Checks of one bot's settings at the service, for people who set it up. Blocking; changes nothing.

use serde_json::Value;

use super::api::{Api, ApiError};
use crate::config::{FeishuConfig, FeishuMode};

/// Permissions without which something does not work, and what that is. Names as in the developer console.
const SCOPES: [(&str, &str, bool); 9] = [
    ("im:message.p2p_msg:readonly", "private messages", true),
    (
        "im:message.group_at_msg:readonly",
        "messages that mention the bot in groups",
        true,
    ),
    ("im:message:send_as_bot", "sending", true),
    ("im:resource", "files and images", true),
    (
        "im:message:readonly",
        "quoted and forwarded messages",
        false,
    ),
    ("im:message:update", "changing cards that were sent", false),
    ("im:message.reactions:write_only", "reactions", false),
    (
        "cardkit:card:write",
        "showing answers while they are written",
        false,
    ),
    (
        "contact:user.base:readonly",
        "names of people in groups",
        false,
    ),
];
/// Wider permissions that include others.
const INCLUDING: [(&str, &[&str]); 2] = [
    (
        "im:message",
        &[
            "im:message:readonly",
            "im:message:send_as_bot",
            "im:message:update",
            "im:message.reactions:write_only",
        ],
    ),
    (
        "im:message.group_msg",
        &["im:message.group_at_msg:readonly"],
    ),
];

/// What to do about a service that has no time now.
const LATER: &str = "try again later: nothing is wrong with the settings as far as can be told";

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It is as it should be.
    Good(String),
    /// It cannot be told, and why.
    Unknown(String, String),
    /// It is not as it should be; the error if there was one, what, and what to do.
    Bad(Option<ApiError>, String, String),
}

impl Finding {
    /// Returns what was looked at.
    pub fn text(&self) -> &str {
        match self {
            Finding::Good(text) | Finding::Unknown(text, _) | Finding::Bad(_, text, _) => text,
        }
    }
}

/// Looks at everything that can be looked at from here.
pub fn check(api: &Api, config: &FeishuConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = api.check_credentials() {
        let hint = match error {
            ApiError::Unreachable(_) => "check the network and base_url",
            _ if error.is_passing() => LATER,
            _ => "check app_id, app_secret and domain: Feishu and Lark are separate worlds",
        };
        findings.push(bad(error, "credentials", hint));
        return findings;
    }
    findings.push(Finding::Good("credentials: accepted".to_owned()));
    findings.push(match api.bot_info() {
        Ok(info) => Finding::Good(format!("bot: {} ({})", info.name, info.open_id)),
        Err(error) => bad(
            error,
            "bot",
            "add the ability \"Bot\" to the app and publish a version",
        ),
    });
    if config.mode == FeishuMode::WebSocket {
        findings.push(match api.check_endpoint() {
            Ok(()) => Finding::Good("long connection: offered".to_owned()),
            Err(error) => bad(
                error,
                "long connection",
                "only self-built apps have it; on Lark try \"mode\": \"webhook\"",
            ),
        });
    }
    findings.extend(scopes(api));
    findings.extend(subscriptions(api, config));
    if config.allow_from.is_empty() && config.owners.is_empty() && config.groups.is_empty() {
        findings.push(Finding::Unknown(
            "people: nobody is on a list".to_owned(),
            "fill allow_from and owners, or run: picobot feishu pair --owner".to_owned(),
        ));
    }
    findings
}

fn bad(error: ApiError, what: &str, hint: &str) -> Finding {
    let text = format!("{what}: {error}");
    let hint = match &error {
        ApiError::Unreachable(_) => hint,
        _ if error.is_passing() => LATER,
        _ => hint,
    };
    Finding::Bad(Some(error), text, hint.to_owned())
}

fn scopes(api: &Api) -> Vec<Finding> {
    let scopes = match api.scopes() {
        Ok(scopes) => scopes,
        Err(error) => {
            let hint = "compare the list in docs/feishu.md with \"Permissions\" in the console";
            return vec![Finding::Unknown(
                format!("permissions: {error}"),
                hint.to_owned(),
            )];
        }
    };
    let granted: Vec<&str> = scopes
        .iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name.as_str())
        .collect();
    let has = |wanted: &str| {
        let wider = INCLUDING
            .iter()
            .filter(|(_, parts)| parts.contains(&wanted));
        granted.contains(&wanted) || wider.into_iter().any(|(name, _)| granted.contains(name))
    };
    let judge = |(name, what, is_needed): (&str, &str, bool)| {
        let text = format!("permission {name}: {what}");
        if has(name) {
            return Finding::Good(text);
        }
        let hint = "grant it under \"Permissions\" in the console and publish a version".to_owned();
        if is_needed {
            Finding::Bad(None, format!("{text}: not granted"), hint)
        } else {
            Finding::Unknown(format!("{text}: not granted"), hint)
        }
    };
    SCOPES.into_iter().map(judge).collect()
}

fn subscriptions(api: &Api, config: &FeishuConfig) -> Vec<Finding> {
    let app = match api.app_info() {
        Ok(app) => app,
        Err(error) => {
            let hint = "needs application:application:self_manage; else look at \"Events and callbacks\" in the console";
            return vec![Finding::Unknown(
                format!("subscribed events: {error}"),
                hint.to_owned(),
            )];
        }
    };
    let listed = |pointer: &str, wanted: &str| {
        let list = app.pointer(pointer).and_then(Value::as_array);
        list.map(|list| list.iter().any(|one| one.as_str() == Some(wanted)))
    };
    let judge = |what: &str, is_listed: Option<bool>, wanted: &str, is_needed: bool| {
        let text = format!("{what} {wanted}");
        let hint =
            "subscribe to it under \"Events and callbacks\" in the console and publish a version"
                .to_owned();
        match is_listed {
            Some(true) => Finding::Good(text),
            Some(false) if is_needed => Finding::Bad(None, format!("{text}: not subscribed"), hint),
            _ => Finding::Unknown(format!("{text}: not seen"), hint),
        }
    };
    let event = "im.message.receive_v1";
    let recall = "im.message.recalled_v1";
    let callback = "card.action.trigger";
    let mut findings = vec![
        judge(
            "event",
            listed("/event/subscribed_events", event),
            event,
            true,
        ),
        judge(
            "event",
            listed("/event/subscribed_events", recall),
            recall,
            false,
        ),
        judge(
            "callback",
            listed("/callback/subscribed_callbacks", callback),
            callback,
            false,
        ),
    ];
    let wanted = match config.mode {
        FeishuMode::WebSocket => "websocket",
        FeishuMode::Webhook => "webhook",
    };
    if let Some(way) = app
        .pointer("/event/subscription_type")
        .and_then(Value::as_str)
        && way != wanted
    {
        findings.push(Finding::Bad(
            None,
            format!("events come by {way}, but mode is {wanted}"),
            "choose the same way under \"Events and callbacks\" in the console and here".to_owned(),
        ));
    }
    findings
}
