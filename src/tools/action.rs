//! What a call would do, in the words an approval policy and a person need. Pure data; made by the tools before a call
//! runs.
//!
//! Deliberately not here: rules and who is asked (`agent::policy`, `session`). An action is no protection: what a
//! command really does is bounded by the sandbox, what a file tool does by the workspace.

use super::command_line::CommandLine;

/// How far a call reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// What it changes lies in the workspace.
    Workspace,
    /// It changes something elsewhere: other files, other machines, other people.
    Outside,
}

/// What holds for a call that no rule of the configuration fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It runs.
    Allow,
    /// A person is asked; the sentence says why.
    Ask(&'static str),
}

/// What a call would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// What would happen, exactly, on one line for a person.
    pub summary: String,
    /// How far it reaches.
    pub reach: Reach,
    /// The command line it would run.
    pub command: Option<CommandLine>,
    /// Files it would change, relative to the workspace.
    pub paths: Vec<String>,
    /// The host it would talk to, in lower case.
    pub host: Option<String>,
    /// What holds if no rule fits.
    pub standing: Standing,
    /// What "always" would be bound to; `None` if the call is too open to be remembered.
    pub subject: Option<String>,
}

impl Action {
    /// An action that needs nobody's yes unless a rule says otherwise.
    pub fn allowed(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            reach: Reach::Workspace,
            command: None,
            paths: Vec::new(),
            host: None,
            standing: Standing::Allow,
            subject: None,
        }
    }

    /// An action that changes one file of the workspace.
    pub fn on_file(verb: &str, path: &str) -> Self {
        let path = path.trim_start_matches("./");
        let mut action = Self::allowed(format!("{verb} {path}"));
        action.subject = Some(format!("{verb} {path}"));
        action.paths = vec![path.to_owned()];
        if is_instruction_file(path) {
            action.standing = Standing::Ask("this file tells PicoBot what to do later");
        }
        action
    }
}

/// Whether a file of the workspace is read as instructions in later turns: a skill.
fn is_instruction_file(path: &str) -> bool {
    let mut parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    // A path that climbs is judged where it could end up.
    path.split('/').any(|part| part == "..") && path.contains("skills")
        || parts.next() == Some("skills")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_instructions() {
        for path in [
            "skills/a/SKILL.md",
            "./skills/a.md",
            "x/../skills/a/SKILL.md",
        ] {
            let action = Action::on_file("write", path);
            assert!(matches!(action.standing, Standing::Ask(_)), "{path}");
        }
        for path in ["notes.txt", "src/skills/a.rs", "技能/a.md"] {
            let action = Action::on_file("write", path);
            assert_eq!(action.standing, Standing::Allow, "{path}");
        }
        assert_eq!(
            Action::on_file("write", "./a b.txt").summary,
            "write a b.txt"
        );
    }
}
