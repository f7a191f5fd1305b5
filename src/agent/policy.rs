//! The approval policy: which calls run, which wait for a person, which never run. Pure; read by turns.
//!
//! Order: the fixed block list, then the configured rules from top to bottom (the first that fits decides), then what
//! the tool itself says of the call. Deliberately not here: who is asked, and answers that were remembered (the session
//! keeps them). A policy is a fence for mistakes, not for attacks: those meet the sandbox.

use std::net::Ipv6Addr;

use globset::{GlobBuilder, GlobMatcher};

use crate::tools::{Action, Standing, base_name};

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The call runs.
    Allow,
    /// A person is asked first.
    Ask,
    /// The call does not run.
    Deny,
}

/// What holds for one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It runs.
    Allow,
    /// A person is asked; why.
    Ask(String),
    /// It does not run; why, for the model.
    Deny(String),
}

/// A rule could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

/// One rule; all conditions given must fit.
#[derive(Debug, Clone)]
pub struct Rule {
    tool: Option<String>,
    program: Option<String>,
    path: Option<GlobMatcher>,
    host: Option<String>,
    decision: Decision,
}

impl Rule {
    /// Makes a rule for a tool, or for every tool with `*`.
    pub fn new(tool: &str, decision: Decision) -> Self {
        Self {
            tool: (tool != "*").then(|| tool.to_owned()),
            program: None,
            path: None,
            host: None,
            decision,
        }
    }

    /// Limits the rule to command lines with this program. An allowing rule fits only a simple command of exactly this
    /// program; the others fit wherever the program is found.
    pub fn with_program(mut self, program: &str) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Limits the rule to files below the workspace that fit this pattern (`*` within a folder, `**` across folders). An
    /// allowing rule fits if all files of the call do, the others if one does.
    pub fn with_path(mut self, pattern: &str) -> Result<Self, BadRule> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| BadRule(format!("not a path pattern: {}", error.kind())))?;
        self.path = Some(glob.compile_matcher());
        Ok(self)
    }

    /// Limits the rule to a host: a name or address, or `*.example.com` for everything below a name.
    pub fn with_host(mut self, host: &str) -> Self {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // Addresses in IPv6 stand in brackets, in their shortest form.
        let ip: Result<Ipv6Addr, _> = host.trim_matches(['[', ']']).parse();
        self.host = Some(ip.map_or(host.clone(), |ip| format!("[{ip}]")));
        self
    }

    fn fits(&self, tool: &str, action: &Action) -> bool {
        self.tool.as_deref().is_none_or(|wanted| wanted == tool)
            && self
                .program
                .as_deref()
                .is_none_or(|program| self.program_fits(program, action))
            && self
                .path
                .as_ref()
                .is_none_or(|glob| self.path_fits(glob, action))
            && self.host.as_deref().is_none_or(|host| {
                action
                    .host
                    .as_deref()
                    .is_some_and(|real| host_fits(host, real))
            })
    }

    fn program_fits(&self, program: &str, action: &Action) -> bool {
        let Some(command) = &action.command else {
            return false;
        };
        match self.decision {
            Decision::Allow => command
                .argv
                .as_ref()
                .is_some_and(|argv| argv.first().is_some_and(|first| first == program)),
            Decision::Ask | Decision::Deny => command
                .programs
                .iter()
                .any(|found| found == program || base_name(found) == program),
        }
    }

    fn path_fits(&self, glob: &GlobMatcher, action: &Action) -> bool {
        // A path that climbs cannot be judged by its letters.
        let climbs = |path: &str| path.split('/').any(|part| part == "..");
        match self.decision {
            Decision::Allow => {
                !action.paths.is_empty()
                    && action
                        .paths
                        .iter()
                        .all(|path| !climbs(path) && glob.is_match(path))
            }
            Decision::Ask | Decision::Deny => action
                .paths
                .iter()
                .any(|path| climbs(path) || glob.is_match(path)),
        }
    }
}

fn host_fits(wanted: &str, host: &str) -> bool {
    match wanted.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|front| front.ends_with('.') && front.len() > 1),
        None => wanted == host,
    }
}

/// Programs that no command may name, whatever the rules say: they end or change the machine, take other rights, or
/// would let a command operate PicoBot itself.
const BLOCKED: [&str; 27] = [
    "shutdown", "reboot", "halt", "poweroff", "init", "telinit", "kexec", "mkfs", "fdisk",
    "sfdisk", "parted", "wipefs", "insmod", "rmmod", "modprobe", "sudo", "su", "doas", "pkexec",
    "passwd", "chpasswd", "useradd", "userdel", "usermod", "visudo", "swapoff", "picobot",
];

/// Tools that change the machine or reach other people: guests may not have them used.
const NOT_FOR_GUESTS: [&str; 5] = ["bash", "process", "file_write", "file_edit", "send_message"];

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct ApprovalPolicy {
    rules: Vec<Rule>,
    is_for_guests: bool,
}

impl ApprovalPolicy {
    /// Makes a policy of rules in their order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            is_for_guests: false,
        }
    }

    /// Returns the policy for turns that somebody asked for who may not have the machine changed, whatever the rules
    /// say: a member of a group who is not an owner.
    pub fn for_guests(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            is_for_guests: true,
        }
    }

    /// Judges a call.
    pub fn judge(&self, tool: &str, action: &Action) -> Verdict {
        if self.is_for_guests && NOT_FOR_GUESTS.contains(&tool) {
            return Verdict::Deny(
                "Not allowed: only the bot's owners may have commands run, files changed or messages sent, and the \
                 person who asked is none. Say so."
                    .to_owned(),
            );
        }
        if let Some(program) = blocked(action) {
            return Verdict::Deny(format!(
                "Not allowed: {program} is on PicoBot's fixed block list. Do without it."
            ));
        }
        match self.rules.iter().find(|rule| rule.fits(tool, action)) {
            Some(rule) => match rule.decision {
                Decision::Allow => Verdict::Allow,
                Decision::Ask => Verdict::Ask("a rule of the configuration wants a yes".to_owned()),
                Decision::Deny => Verdict::Deny(
                    "Not allowed: a rule in `approvals` of PicoBot's configuration denies this. Do not try it in other \
                     words; tell the person."
                        .to_owned(),
                ),
            },
            None => match action.standing {
                Standing::Allow => Verdict::Allow,
                Standing::Ask(why) => Verdict::Ask(why.to_owned()),
            },
        }
    }

    /// Judges what a call turns out to do while it runs, when nobody can be asked any more; an error is a sentence for
    /// the model.
    pub fn judge_underway(&self, tool: &str, action: &Action) -> Result<(), String> {
        match self.judge(tool, action) {
            Verdict::Allow => Ok(()),
            Verdict::Ask(why) => Err(format!(
                "Not done: this needs a person's yes ({why}). Make a call of its own for it, so that they are asked."
            )),
            Verdict::Deny(why) => Err(why),
        }
    }
}

fn blocked(action: &Action) -> Option<&str> {
    let command = action.command.as_ref()?;
    command
        .programs
        .iter()
        .map(|program| base_name(program))
        .find(|name| BLOCKED.contains(name) || name.starts_with("mkfs."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::CommandLine;

    fn shell(line: &str) -> Action {
        let mut action = Action::allowed(line);
        action.command = Some(CommandLine::parse(line));
        action
    }

    fn check(rules: Vec<Rule>, tool: &str, action: &Action, expected: &str) {
        let verdict = match ApprovalPolicy::new(rules).judge(tool, action) {
            Verdict::Allow => "allow",
            Verdict::Ask(_) => "ask",
            Verdict::Deny(_) => "deny",
        };
        assert_eq!(verdict, expected, "{tool}: {}", action.summary);
    }

    #[test]
    fn the_block_list_wins() {
        let allow_all = || vec![Rule::new("*", Decision::Allow)];
        check(allow_all(), "bash", &shell("ls"), "allow");
        for line in [
            "reboot",
            "true && /sbin/reboot",
            "sudo ls",
            "sh -c 'mkfs.ext4 /dev/sda'",
            "picobot send --approve all hi",
        ] {
            check(allow_all(), "bash", &shell(line), "deny");
        }
    }

    #[test]
    fn guests_have_nothing_changed() {
        let policy = ApprovalPolicy::new(vec![Rule::new("*", Decision::Allow)]).for_guests();
        for tool in NOT_FOR_GUESTS {
            let verdict = policy.judge(tool, &Action::allowed("x"));
            assert!(matches!(verdict, Verdict::Deny(_)), "{tool}");
        }
        let verdict = policy.judge("calculator", &Action::allowed("1+1"));
        assert_eq!(verdict, Verdict::Allow);
    }

    #[test]
    fn the_first_rule_decides() {
        let rules = || {
            vec![
                Rule::new("bash", Decision::Deny).with_program("curl"),
                Rule::new("bash", Decision::Allow).with_program("git"),
                Rule::new("bash", Decision::Ask),
            ]
        };
        check(rules(), "bash", &shell("git status"), "allow");
        check(rules(), "bash", &shell("git status; ls"), "ask");
        check(rules(), "bash", &shell("./git status"), "ask");
        check(rules(), "bash", &shell("git $(curl x)"), "deny");
        check(rules(), "calculator", &Action::allowed("1+1"), "allow");
    }

    #[test]
    fn paths_and_hosts() {
        let notes = |decision| {
            Rule::new("file_write", decision)
                .with_path("notes/**")
                .unwrap()
        };
        let write = |path: &str| Action::on_file("write", path, None);
        check(
            vec![notes(Decision::Deny)],
            "file_write",
            &write("notes/a.txt"),
            "deny",
        );
        check(
            vec![notes(Decision::Deny)],
            "file_write",
            &write("other/a.txt"),
            "allow",
        );
        check(
            vec![notes(Decision::Deny)],
            "file_write",
            &write("x/../notes/a"),
            "deny",
        );
        for path in ["./notes/a", "notes//a", "notes/./b/../a"] {
            check(
                vec![notes(Decision::Deny)],
                "file_write",
                &write(path),
                "deny",
            );
        }
        // By a link: denied if either name is, allowed only if both are.
        let link = Action::on_file("write", "notes/a", Some("skills/a.md"));
        check(vec![notes(Decision::Deny)], "file_write", &link, "deny");
        check(vec![notes(Decision::Allow)], "file_write", &link, "ask");
        check(
            vec![notes(Decision::Allow)],
            "file_write",
            &write("skills/x/SKILL.md"),
            "ask",
        );
        assert!(Rule::new("x", Decision::Deny).with_path("a[").is_err());

        let mut post = Action::allowed("POST https://api.example.com/x");
        post.host = Some("api.example.com".to_owned());
        post.standing = Standing::Ask("new host");
        let host = |host| vec![Rule::new("*", Decision::Allow).with_host(host)];
        check(host("API.example.com"), "http_request", &post, "allow");
        check(host("*.example.com"), "http_request", &post, "allow");
        check(host("*.pi.example.com"), "http_request", &post, "ask");
        check(host("example.com"), "http_request", &post, "ask");
        post.host = Some("[fd00::1]".to_owned());
        for spelling in ["fd00::1", "[fd00::1]", "FD00:0:0::0001"] {
            check(host(spelling), "http_request", &post, "allow");
        }
    }
}
