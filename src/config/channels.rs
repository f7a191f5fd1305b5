//! `channels`: where messages come from besides the gateway's own door.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::reader::Section;
use super::secret::Secret;

/// Which of the two services a bot lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeishuDomain {
    /// `open.feishu.cn`.
    Feishu,
    /// `open.larksuite.com`.
    Lark,
}

/// Which messages of a group the bot answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupPolicy {
    /// Those that mention it.
    Mention,
    /// All of them.
    Open,
    /// None.
    Off,
}

/// How events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeishuMode {
    /// Over a connection the bot opens.
    WebSocket,
    /// As requests to the bot.
    Webhook,
}

/// What holds for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Which messages are answered; the bot's own policy when omitted.
    pub policy: Option<GroupPolicy>,
    /// Ids of people who are heard in this group besides those heard everywhere; `*`: everyone.
    pub allow_from: Vec<String>,
}

/// One Feishu or Lark bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeishuConfig {
    /// Channel name: `feishu`, and for further bots of a list `feishu-2`, `feishu-3`, …
    pub name: String,
    /// Whether it runs; true when omitted.
    pub enabled: bool,
    /// The app's id; empty only if not enabled.
    pub app_id: String,
    /// The app's secret; `None` only if not enabled.
    pub app_secret: Option<Secret>,
    /// Which service.
    pub domain: FeishuDomain,
    /// Address of the service's API; follows the domain when omitted.
    pub base_url: String,
    /// A PEM file with the only certificates to trust, in place of the public authorities.
    pub ca_file: Option<PathBuf>,
    /// Ids of people and chats that are heard; empty: nobody; `*`: everyone.
    pub allow_from: Vec<String>,
    /// Ids of people who may change state and give approvals.
    pub owners: Vec<String>,
    /// Which group messages are answered.
    pub group_policy: GroupPolicy,
    /// Single groups, by chat id; a group named here is heard.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Where downloads go, absolute.
    pub media_dir: PathBuf,
    /// Reaction put on a received message; empty: none.
    pub reaction_emoji: String,
    /// Reaction put in its place when the answer is there; empty: none.
    pub done_emoji: String,
    /// Whether long answers are shown while they are written.
    pub streaming: bool,
    /// How events arrive.
    pub mode: FeishuMode,
    /// Path on the gateway's port that takes events, in webhook mode.
    pub webhook_path: String,
    /// The console's verification token, for webhook mode.
    pub verification_token: Option<Secret>,
    /// The console's encrypt key, for webhook mode.
    pub encrypt_key: Option<Secret>,
}

/// All channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelsConfig {
    /// Feishu and Lark bots.
    pub feishu: Vec<FeishuConfig>,
}

const DOMAINS: [(&str, FeishuDomain); 2] = [
    ("feishu", FeishuDomain::Feishu),
    ("lark", FeishuDomain::Lark),
];
const POLICIES: [(&str, GroupPolicy); 3] = [
    ("mention", GroupPolicy::Mention),
    ("open", GroupPolicy::Open),
    ("off", GroupPolicy::Off),
];
const MODES: [(&str, FeishuMode); 2] = [
    ("websocket", FeishuMode::WebSocket),
    ("webhook", FeishuMode::Webhook),
];

impl ChannelsConfig {
    pub(super) fn read(mut section: Section<'_>, workspace: &Path) -> Self {
        let bots = section.get("feishu").map(|field| field.one_or_many());
        let bots = bots.unwrap_or_default().into_iter().enumerate();
        let mut paths = Vec::new();
        let feishu = bots
            .filter(|(_, bot)| bot.is_present())
            .map(|(index, bot)| FeishuConfig::read(bot, index, workspace, &mut paths))
            .collect();
        section.finish();
        Self { feishu }
    }
}

impl FeishuConfig {
    /// Reads a bot; `paths` are those that bots in webhook mode before it take.
    fn read(
        mut section: Section<'_>,
        index: usize,
        workspace: &Path,
        paths: &mut Vec<String>,
    ) -> Self {
        let enabled = section.flag("enabled", true);
        let mut section = section.used_if(enabled);
        let name = match index {
            0 => "feishu".to_owned(),
            _ => format!("feishu-{}", index + 1),
        };
        let domain = section
            .word("domain", &DOMAINS)
            .unwrap_or(FeishuDomain::Feishu);
        let base_url = section.url("base_url", &["http", "https"]);
        let media_dir = section.path("media_dir");
        let mode = section
            .word("mode", &MODES)
            .unwrap_or(FeishuMode::WebSocket);
        let (verification_token, encrypt_key) = read_webhook_secrets(&mut section, mode);
        let webhook_path = read_webhook_path(&mut section, &name);
        if enabled && mode == FeishuMode::Webhook {
            if paths.contains(&webhook_path) {
                section.error_at("webhook_path", "expected a path that no other bot has");
            }
            paths.push(webhook_path.clone());
        }
        let config = Self {
            enabled,
            app_id: section.required_text("app_id", "expected the app's id, cli_…"),
            app_secret: section.required_secret("app_secret", "expected the app's secret"),
            domain,
            base_url: base_url.unwrap_or_else(|| default_url(domain).to_owned()),
            ca_file: section.path("ca_file"),
            allow_from: read_allow_from(&mut section),
            owners: section.texts("owners").unwrap_or_default(),
            group_policy: section
                .word("group_policy", &POLICIES)
                .unwrap_or(GroupPolicy::Mention),
            groups: read_groups(&mut section),
            media_dir: media_dir.unwrap_or_else(|| workspace.join("media").join(&name)),
            reaction_emoji: section
                .text("reaction_emoji")
                .unwrap_or_else(|| "OnIt".to_owned()),
            done_emoji: section.text("done_emoji").unwrap_or_default(),
            streaming: section.flag("streaming", true),
            mode,
            webhook_path,
            verification_token,
            encrypt_key,
            name,
        };
        section.finish();
        config
    }
}

fn read_groups(section: &mut Section<'_>) -> BTreeMap<String, GroupConfig> {
    let groups = section.named("groups").into_iter();
    let groups = groups.map(|(chat, mut group)| {
        let config = GroupConfig {
            policy: group.word("policy", &POLICIES),
            allow_from: group.texts("allow_from").unwrap_or_default(),
        };
        group.finish();
        (chat, config)
    });
    groups.collect()
}

fn read_webhook_path(section: &mut Section<'_>, name: &str) -> String {
    let path = section.text("webhook_path");
    let is_fit = |path: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        path.starts_with('/') && path.len() > 1 && path.bytes().all(plain)
    };
    match path {
        Some(path) if is_fit(&path) && path != "/ws" && path != "/health" => path,
        Some(_) => {
            let expected =
                "expected a path of letters, digits, - _ . and / besides /ws and /health";
            section.error_at("webhook_path", expected);
            String::new()
        }
        None => format!("/channels/{name}"),
    }
}

fn read_webhook_secrets(
    section: &mut Section<'_>,
    mode: FeishuMode,
) -> (Option<Secret>, Option<Secret>) {
    let mut secret = |key| section.get(key).and_then(|field| field.secret());
    let (token, key) = (secret("verification_token"), secret("encrypt_key"));
    let filled = |secret: &Option<Secret>| secret.as_ref().is_some_and(|s| !s.expose().is_empty());
    if mode == FeishuMode::Webhook && !filled(&token) && !filled(&key) {
        let expected =
            "the console's verification token; without it or encrypt_key anybody could post events";
        section.missing("verification_token", expected);
    }
    (token, key)
}

fn read_allow_from(section: &mut Section<'_>) -> Vec<String> {
    let allow_from = section.texts("allow_from").unwrap_or_default();
    if section.is_in_use() && allow_from.iter().any(|id| id == "*") {
        let hint = "list the open_id or chat_id of those who may";
        section.warn_at(
            "allow_from",
            "\"*\" lets everyone talk to this bot",
            Some(hint.to_owned()),
        );
    }
    allow_from
}

fn default_url(domain: FeishuDomain) -> &'static str {
    match domain {
        FeishuDomain::Feishu => "https://open.feishu.cn",
        FeishuDomain::Lark => "https://open.larksuite.com",
    }
}
