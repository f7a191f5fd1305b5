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
    /// Files it would change or read, relative to the workspace, without `.` and empty parts; a file reached by links is
    /// here by both names. Searches and commands name none.
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

    /// An action that reads one file, given as for [`Action::on_file`].
    pub fn reading(path: &str, real: Option<&str>) -> Self {
        Self::naming("read", path, real)
    }

    fn naming(verb: &str, path: &str, real: Option<&str>) -> Self {
        let path = plain(path);
        let real = real.map(plain).filter(|real| *real != path);
        let mut action = Self::allowed(match &real {
            Some(real) => format!("{verb} {path} (really {real})"),
            None => format!("{verb} {path}"),
        });
        action.paths = [path].into_iter().chain(real).collect();
        action
    }

    /// An action that changes one file, given by its name relative to the workspace and, where links lead elsewhere, its
    /// true name.
    pub fn on_file(verb: &str, path: &str, real: Option<&str>) -> Self {
        let mut action = Self::naming(verb, path, real);
        action.subject = Some(action.summary.clone());
        if action.paths.iter().any(|path| is_instruction_file(path)) {
            action.standing = Standing::Ask("this file tells PicoBot what to do later");
        }
        action
    }
}

/// Returns a path without `.` and empty parts, which lead nowhere.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Whether a file of the workspace is read as instructions in later turns: a skill, or what every prompt begins with.
fn is_instruction_file(path: &str) -> bool {
    const PROMPT: [&str; 2] = ["AGENTS.md", "USER.md"];
    // A path that climbs is judged where it could end up.
    let climbs = path.split('/').any(|part| part == "..");
    climbs && (path.contains("skills") || PROMPT.iter().any(|name| path.ends_with(name)))
        || path.split('/').next() == Some("skills")
        || PROMPT.contains(&path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::testing::Bench;

    #[test]
    fn skills_and_what_prompts_begin_with_are_instructions() {
        for path in [
            "skills/a/SKILL.md",
            "./skills/a.md",
            "x/../skills/a/SKILL.md",
            "././/skills//a.md",
            "AGENTS.md",
            "./USER.md",
            "x/../AGENTS.md",
        ] {
            let action = Action::on_file("write", path, None);
            assert!(matches!(action.standing, Standing::Ask(_)), "{path}");
        }
        for path in ["notes.txt", "src/skills/a.rs", "技能/a.md", "app/AGENTS.md"] {
            let action = Action::on_file("write", path, None);
            assert_eq!(action.standing, Standing::Allow, "{path}");
        }
        let action = Action::on_file("write", "notes.txt", Some("skills/a.md"));
        assert!(matches!(action.standing, Standing::Ask(_)));
        assert_eq!(action.paths, ["notes.txt", "skills/a.md"]);
        assert_eq!(action.summary, "write notes.txt (really skills/a.md)");
    }

    #[test]
    fn spellings_of_a_path_are_one() {
        for path in ["a b/c", "./a b/c", "a b//c", "././a b/./c/"] {
            let action = Action::on_file("write", path, Some("a b/c"));
            assert_eq!(action.summary, "write a b/c", "{path}");
            assert_eq!(action.paths, ["a b/c"], "{path}");
        }
        assert_eq!(plain("//etc/./x"), "/etc/x");
    }
    #[test]
    fn every_way_to_a_file_is_judged() {
        let bench = Bench::new();
        bench.put("skills/a.md", "x");
        bench.put("notes/a.md", "x");
        std::os::unix::fs::symlink("skills", bench.at("link")).unwrap();
        std::os::unix::fs::symlink("../skills/a.md", bench.at("notes/b.md")).unwrap();
        let root = bench.workspace.path().display().to_string();
        for (path, expected) in [
            (format!("{root}/skills/a.md"), vec!["skills/a.md"]),
            (format!("{root}//./skills/new.md"), vec!["skills/new.md"]),
            (
                "link/new.md".to_owned(),
                vec!["link/new.md", "skills/new.md"],
            ),
            ("notes/b.md".to_owned(), vec!["notes/b.md", "skills/a.md"]),
            (
                format!("{root}/notes/../skills/a.md"),
                vec!["notes/../skills/a.md", "skills/a.md"],
            ),
        ] {
            for tool in ["file_write", "file_edit"] {
                let action =
                    bench.action(tool, &json!({"path": path, "content": "y", "edits": []}));
                assert_eq!(action.paths, expected, "{tool} {path}");
                assert!(matches!(action.standing, Standing::Ask(_)), "{tool} {path}");
            }
        }
        let action = bench.action(
            "file_write",
            &json!({"path": format!("{root}/a/b"), "content": ""}),
        );
        assert_eq!(
            (action.paths, action.standing),
            (vec!["a/b".to_owned()], Standing::Allow)
        );
        assert!(!bench.at("a").exists());
    }
}
