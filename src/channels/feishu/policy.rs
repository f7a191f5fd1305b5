//! Who may talk to the bot, and where. Pure; whoever was let in by a code is handed in from the store.

use std::collections::HashSet;

use crate::config::{FeishuConfig, GroupPolicy};

use super::event::MessageEvent;

/// What to do about a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Work on it.
    Heard,
    /// The sender or the chat is not on a list: no model call, no reply.
    Stranger,
    /// Not meant for the bot.
    Silent,
}

/// The rules of one bot.
pub(super) struct Policy {
    config: FeishuConfig,
    paired: HashSet<String>,
    paired_owners: HashSet<String>,
}

/// Slash commands that anybody in a group may use: they show and change nothing.
const SHOWING: [&str; 6] = ["help", "?", "info", "status", "sessions", "mcp"];

impl Policy {
    pub(super) fn new(config: FeishuConfig, people: Vec<(String, bool)>) -> Self {
        let owners = people.iter().filter(|(_, is_owner)| *is_owner);
        let paired_owners = owners.map(|(person, _)| person.clone()).collect();
        Self {
            config,
            paired_owners,
            paired: people.into_iter().map(|(person, _)| person).collect(),
        }
    }

    /// Lets a person in from now on.
    pub(super) fn add(&mut self, person: &str, is_owner: bool) {
        self.paired.insert(person.to_owned());
        if is_owner {
            self.paired_owners.insert(person.to_owned());
        }
    }

    /// Tells whether a person may change state and give approvals. Names and other ids never count.
    pub(super) fn is_owner(&self, person: &str) -> bool {
        !person.is_empty()
            && (self.config.owners.iter().any(|id| id == person)
                || self.paired_owners.contains(person))
    }

    /// Tells whether anybody could give approvals.
    pub(super) fn has_owners(&self) -> bool {
        !self.config.owners.is_empty() || !self.paired_owners.is_empty()
    }

    /// Tells whether a person is heard in private chats and, if the group is, in groups.
    pub(super) fn knows(&self, person: &str) -> bool {
        !person.is_empty()
            && (self.paired.contains(person)
                || self.is_owner(person)
                || listed(&self.config.allow_from, person))
    }

    /// Judges a person's message. In groups both the group and the sender must be listed.
    pub(super) fn judge(&self, event: &MessageEvent, mentions_bot: bool) -> Verdict {
        let known = self.knows(&event.sender);
        if !event.is_group {
            let chat_listed = self.config.allow_from.contains(&event.chat);
            return if known || chat_listed {
                Verdict::Heard
            } else {
                Verdict::Stranger
            };
        }
        let group = self.config.groups.get(&event.chat);
        let policy = group
            .and_then(|group| group.policy)
            .unwrap_or(self.config.group_policy);
        match policy {
            GroupPolicy::Off => return Verdict::Silent,
            GroupPolicy::Mention if !mentions_bot => return Verdict::Silent,
            GroupPolicy::Mention | GroupPolicy::Open => {}
        }
        let group_listed = group.is_some() || listed(&self.config.allow_from, &event.chat);
        let sender_listed =
            known || group.is_some_and(|group| listed(&group.allow_from, &event.sender));
        if group_listed && sender_listed {
            Verdict::Heard
        } else {
            Verdict::Stranger
        }
    }

    /// Tells whether a person may use a slash command here.
    pub(super) fn may_command(&self, event: &MessageEvent, command: &str) -> bool {
        !event.is_group || SHOWING.contains(&command) || self.is_owner(&event.sender)
    }
}

fn listed(list: &[String], id: &str) -> bool {
    !id.is_empty() && list.iter().any(|entry| entry == id || entry == "*")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{FeishuDomain, FeishuMode, GroupConfig, Secret};

    pub(crate) fn config() -> FeishuConfig {
        FeishuConfig {
            name: "feishu".to_owned(),
            enabled: true,
            app_id: "cli_1".to_owned(),
            app_secret: Some(Secret::new("s")),
            domain: FeishuDomain::Feishu,
            base_url: "http://127.0.0.1:1".to_owned(),
            ca_file: None,
            allow_from: Vec::new(),
            owners: Vec::new(),
            group_policy: GroupPolicy::Mention,
            groups: Default::default(),
            media_dir: "/nowhere".into(),
            reaction_emoji: "OnIt".to_owned(),
            done_emoji: String::new(),
            streaming: true,
            mode: FeishuMode::WebSocket,
            webhook_path: "/channels/feishu".to_owned(),
            verification_token: None,
            encrypt_key: None,
        }
    }

    fn event(sender: &str, chat: &str, is_group: bool) -> MessageEvent {
        MessageEvent {
            sender: sender.to_owned(),
            chat: chat.to_owned(),
            is_group,
            ..MessageEvent::default()
        }
    }

    #[test]
    fn nobody_is_heard_without_a_list() {
        let policy = Policy::new(config(), Vec::new());
        let private = policy.judge(&event("ou_1", "oc_1", false), false);
        let group = policy.judge(&event("ou_1", "oc_2", true), true);
        assert_eq!((private, group), (Verdict::Stranger, Verdict::Stranger));
        assert_eq!(
            policy.judge(&event("", "oc_1", false), true),
            Verdict::Stranger
        );
    }

    #[test]
    fn everyone_is_heard_with_a_star_but_owns_nothing() {
        let mut config = config();
        config.allow_from = vec!["*".to_owned()];
        config.owners = vec!["*".to_owned()];
        let policy = Policy::new(config, Vec::new());
        assert_eq!(
            policy.judge(&event("ou_1", "oc_1", false), false),
            Verdict::Heard
        );
        assert_eq!(
            policy.judge(&event("ou_1", "oc_2", true), true),
            Verdict::Heard
        );
        assert_eq!(
            policy.judge(&event("ou_1", "oc_2", true), false),
            Verdict::Silent
        );
        assert!(!policy.is_owner("ou_1"));
        let in_group = event("ou_1", "oc_2", true);
        assert!(!policy.may_command(&in_group, "new"));
        assert!(policy.may_command(&in_group, "help"));
        assert!(policy.may_command(&event("ou_1", "oc_1", false), "new"));
    }

    #[test]
    fn a_group_needs_both_itself_and_the_sender() {
        let mut config = config();
        config.allow_from = vec!["ou_1".to_owned(), "oc_2".to_owned()];
        let open = GroupConfig {
            policy: Some(GroupPolicy::Open),
            allow_from: vec!["*".to_owned()],
        };
        let off = GroupConfig {
            policy: Some(GroupPolicy::Off),
            allow_from: Vec::new(),
        };
        config.groups.insert("oc_open".to_owned(), open);
        config.groups.insert("oc_off".to_owned(), off);
        let policy = Policy::new(config, vec![("ou_9".to_owned(), true)]);
        for (sender, chat, mentioned, expected) in [
            ("ou_1", "oc_2", true, Verdict::Heard),
            ("ou_2", "oc_2", true, Verdict::Stranger),
            ("ou_1", "oc_3", true, Verdict::Stranger),
            ("ou_9", "oc_2", true, Verdict::Heard),
            ("ou_2", "oc_open", false, Verdict::Heard),
            ("", "oc_open", true, Verdict::Stranger),
            ("ou_1", "oc_off", true, Verdict::Silent),
        ] {
            let verdict = policy.judge(&event(sender, chat, true), mentioned);
            assert_eq!(verdict, expected, "{sender} in {chat}");
        }
        assert!(policy.is_owner("ou_9") && !policy.is_owner("ou_1") && !policy.is_owner(""));
    }
}
