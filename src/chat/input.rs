//! Reads what a person typed: a prompt, or a slash command and its lane. Pure; no thread.
//!
//! The only place that knows which commands overtake a backlog. What a command does is `session`'s business.

/// A slash command as typed: name without the slash, lower-cased, and the trimmed rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The name, such as `new`.
    pub name: String,
    /// Everything behind the name, trimmed; empty if nothing.
    pub argument: String,
}

/// What a text means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message for the model.
    Prompt,
    /// A slash command.
    Command(Command),
}

/// What happens to an input that comes while a turn runs in its dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InputMode {
    /// It waits for its own turn.
    #[default]
    Queue,
    /// It joins the running turn at the next round of tools.
    Steer,
    /// It stops the running turn and takes its place.
    Interrupt,
}

impl InputMode {
    /// Every mode, in the order shown.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Steer, Self::Interrupt];

    /// Returns the word people type, also used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Steer => "steer",
            Self::Interrupt => "interrupt",
        }
    }

    /// Reads the word; letter case does not matter.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// Which queue an input travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// In order behind earlier messages of its connection.
    Inbound,
    /// Ahead of every waiting message.
    Control,
}

/// Commands that overtake waiting messages.
const CONTROL: [&str; 6] = ["stop", "status", "help", "?", "info", "mcp"];

/// Tells a prompt from a command, and the lane either takes.
///
/// A command is a slash directly followed by a letter or `?`, then letters, digits, `-` or `_` up to white space or the
/// end; so `/etc/passwd` and `//` are prompts.
pub fn classify(text: &str) -> (Input, Lane) {
    let Some(command) = parse_command(text.trim()) else {
        return (Input::Prompt, Lane::Inbound);
    };
    let lane = if CONTROL.contains(&command.name.as_str()) {
        Lane::Control
    } else {
        Lane::Inbound
    };
    (Input::Command(command), lane)
}

fn parse_command(text: &str) -> Option<Command> {
    let rest = text.strip_prefix('/')?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (name, argument) = rest.split_at(end);
    let well_formed = name == "?"
        || (name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && name.len() <= 32);
    well_formed.then(|| Command {
        name: name.to_ascii_lowercase(),
        argument: argument.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, name: Option<(&str, &str)>, lane: Lane) {
        let (input, got) = classify(text);
        assert_eq!(got, lane, "{text:?}");
        match (input, name) {
            (Input::Prompt, None) => {}
            (Input::Command(command), Some((name, argument))) => {
                assert_eq!(command.name, name);
                assert_eq!(command.argument, argument);
            }
            (other, _) => panic!("{text:?} read as {other:?}"),
        }
    }

    #[test]
    fn commands_and_prompts() {
        check("/stop", Some(("stop", "")), Lane::Control);
        check("  /STOP now ", Some(("stop", "now")), Lane::Control);
        check("/?", Some(("?", "")), Lane::Control);
        check("/new 整理 下载", Some(("new", "整理 下载")), Lane::Inbound);
        check("/nosuch", Some(("nosuch", "")), Lane::Inbound);
        check("/etc/passwd is what?", None, Lane::Inbound);
        check("/ stop", None, Lane::Inbound);
        check("//", None, Lane::Inbound);
        check("stop", None, Lane::Inbound);
        check("/停止", None, Lane::Inbound);
        check("", None, Lane::Inbound);
    }
}
