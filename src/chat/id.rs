//! Names of channels, chats and dialogs, and the session id that joins them. Pure; no thread.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest accepted name of a channel, chat or dialog, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// One of the three names is empty.
    #[error("the {0} name is empty")]
    Empty(&'static str),
    /// A name is longer than 256 bytes.
    #[error("the {0} name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong(&'static str),
    /// A name holds a control character, or a channel or dialog name a colon.
    #[error("the {0} name holds a character that is not allowed")]
    Character(&'static str),
    /// The text does not have three names joined by colons.
    #[error("a session id has the form channel:chat:dialog")]
    Form,
}

fn check(what: &'static str, name: &str, colon_allowed: bool) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty(what));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(IdError::TooLong(what));
    }
    if name
        .chars()
        .any(|c| c.is_control() || (c == ':' && !colon_allowed))
    {
        return Err(IdError::Character(what));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $colon:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and keeps it: 1 to 256 bytes, no control characters.
            pub fn new(name: &str) -> Result<Self, IdError> {
                check($what, name, $colon)?;
                Ok(Self(name.into()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name_type!(
    /// Names a channel, such as `cli_chat` or `feishu`; holds no colon.
    ChannelId, "channel", false
);
name_type!(
    /// Names a chat inside a channel, such as `local` or a Feishu chat id; may hold colons.
    ChatId, "chat", true
);
name_type!(
    /// Names a dialog inside a chat; holds no colon.
    DialogId, "dialog", false
);

/// Channel and chat: where a message came from and where answers go.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Route {
    /// The channel.
    pub channel: ChannelId,
    /// The chat inside it.
    pub chat: ChatId,
}

/// One dialog, addressed from outside as `<channel>:<chat>:<dialog>`.
///
/// The chat name may hold colons itself: the channel ends at the first colon, the dialog starts after the last.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId {
    /// The channel.
    pub channel: ChannelId,
    /// The chat inside the channel.
    pub chat: ChatId,
    /// The dialog inside the chat.
    pub dialog: DialogId,
}

impl SessionId {
    /// Returns the channel and chat of this dialog.
    pub fn route(&self) -> Route {
        Route {
            channel: self.channel.clone(),
            chat: self.chat.clone(),
        }
    }
}

impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (channel, rest) = text.split_once(':').ok_or(IdError::Form)?;
        let (chat, dialog) = rest.rsplit_once(':').ok_or(IdError::Form)?;
        Ok(Self {
            channel: ChannelId::new(channel)?,
            chat: ChatId::new(chat)?,
            dialog: DialogId::new(dialog)?,
        })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.channel, self.chat, self.dialog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_three_names() {
        let id: SessionId = "feishu:oc_1:default".parse().unwrap();
        assert_eq!(id.channel.as_str(), "feishu");
        assert_eq!(id.chat.as_str(), "oc_1");
        assert_eq!(id.dialog.as_str(), "default");
    }

    #[test]
    fn chat_may_hold_colons() {
        let id: SessionId = "cli_chat:a:b:c".parse().unwrap();
        assert_eq!(id.chat.as_str(), "a:b");
        assert_eq!(id.to_string(), "cli_chat:a:b:c");
    }

    #[test]
    fn refuses_bad_forms() {
        assert_eq!("a:b".parse::<SessionId>(), Err(IdError::Form));
        assert_eq!("".parse::<SessionId>(), Err(IdError::Form));
        assert_eq!("a::c".parse::<SessionId>(), Err(IdError::Empty("chat")));
        assert_eq!(
            "a:b\n:c".parse::<SessionId>(),
            Err(IdError::Character("chat"))
        );
        assert_eq!(
            format!("a:{}:c", "x".repeat(257)).parse::<SessionId>(),
            Err(IdError::TooLong("chat"))
        );
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(
            channel in "[^:\\p{Cc}]{1,20}",
            chat in "[^\\p{Cc}]{1,20}",
            dialog in "[^:\\p{Cc}]{1,20}",
        ) {
            let text = format!("{channel}:{chat}:{dialog}");
            let id: SessionId = text.parse().unwrap();
            prop_assert_eq!(id.channel.as_str(), channel);
            prop_assert_eq!(id.chat.as_str(), chat);
            prop_assert_eq!(id.dialog.as_str(), dialog);
            prop_assert_eq!(id.to_string(), text);
        }

        #[test]
        fn any_text_parses_or_errs(text in ".{0,300}") {
            if let Ok(id) = text.parse::<SessionId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
