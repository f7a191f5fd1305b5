//! Reads a shell command line just far enough to say which programs it names. Pure.
//!
//! The reading is honest in one direction only: a [`CommandLine::argv`] is exactly what the shell will run, for lines
//! plain enough to be sure of; the list of programs of any other line is a best effort, for rules that ask or deny.
//! What a command can do is bounded by the sandbox, never by this.

/// A command line as far as it can be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandLine {
    /// Names of the programs found, as written, in order.
    pub programs: Vec<String>,
    /// The words of a simple command: one program, nothing that the shell would expand, redirect or join.
    pub argv: Option<Vec<String>>,
}

/// How deep `sh -c '…'` is followed.
const MAX_DEPTH: usize = 4;

/// Programs that run the program named behind them.
const WRAPPERS: [&str; 18] = [
    "sudo", "doas", "env", "nohup", "nice", "ionice", "timeout", "setsid", "stdbuf", "time",
    "exec", "command", "builtin", "xargs", "busybox", "chroot", "unshare", "watch",
];

/// Programs that run the text of `-c`.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ash", "ksh", "fish"];

/// Words behind which another command begins.
const KEYWORDS: [&str; 10] = [
    "if", "then", "else", "elif", "while", "until", "do", "!", "{", "eval",
];

impl CommandLine {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let mut programs = Vec::new();
        collect(line, 0, &mut programs);
        Self {
            programs,
            argv: simple(line),
        }
    }

    /// Whether "always" may be bound to it: a simple command that is no shell or wrapper, whose words would say little.
    pub fn can_be_remembered(&self) -> bool {
        self.argv
            .as_ref()
            .and_then(|argv| argv.first())
            .is_some_and(|program| !runs_others(base_name(program)))
    }
}

/// Returns the last part of a path.
pub fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn runs_others(name: &str) -> bool {
    WRAPPERS.contains(&name)
        || SHELLS.contains(&name)
        || [
            "python", "perl", "ruby", "node", "awk", "eval", ".", "source",
        ]
        .iter()
        .any(|interpreter| name.starts_with(interpreter))
}

/// One word or one sign of a line.
enum Token {
    Word(String),
    /// A command may begin behind it.
    Break,
}

fn collect(line: &str, depth: usize, programs: &mut Vec<String>) {
    let mut at_start = true;
    let mut shell: Option<bool> = None;
    for token in tokens(line) {
        let word = match token {
            Token::Break => {
                at_start = true;
                shell = None;
                continue;
            }
            Token::Word(word) => word,
        };
        if let Some(takes_text) = shell {
            // Behind a shell's name: options, then the text of -c.
            if takes_text && depth < MAX_DEPTH {
                collect(&word, depth + 1, programs);
                shell = None;
            } else if word.starts_with('-') && word.contains('c') {
                shell = Some(true);
            }
            continue;
        }
        if !at_start || is_assignment(&word) || KEYWORDS.contains(&word.as_str()) {
            continue;
        }
        if !is_program(&word) {
            // An option or a number of a wrapper.
            continue;
        }
        let name = base_name(&word);
        at_start = WRAPPERS.contains(&name);
        shell = SHELLS.contains(&name).then_some(false);
        programs.push(word);
    }
}

/// Whether a word may name a program: neither an option nor a number.
fn is_program(word: &str) -> bool {
    !word.starts_with('-')
        && !word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Splits a line into words and breaks; whatever starts a command inside another (`$(`, a backtick) is a break too.
fn tokens(line: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut chars = line.chars().peekable();
    let mut double = false;
    let end_word = |word: &mut String, in_word: &mut bool, out: &mut Vec<Token>| {
        if *in_word {
            out.push(Token::Word(std::mem::take(word)));
            *in_word = false;
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if let Some(next) = chars.next()
                    && next != '\n'
                {
                    word.push(next);
                    in_word = true;
                }
            }
            '\'' if !double => {
                in_word = true;
                for quoted in chars.by_ref().take_while(|c| *c != '\'') {
                    word.push(quoted);
                }
            }
            '"' => {
                double = !double;
                in_word = true;
            }
            '`' => {
                end_word(&mut word, &mut in_word, &mut out);
                out.push(Token::Break);
            }
            '$' | '<' | '>' if chars.peek() == Some(&'(') => {
                chars.next();
                end_word(&mut word, &mut in_word, &mut out);
                out.push(Token::Break);
            }
            _ if double => word.push(c),
            ';' | '&' | '|' | '\n' | '(' | ')' => {
                end_word(&mut word, &mut in_word, &mut out);
                out.push(Token::Break);
            }
            '#' if !in_word => {
                // A comment up to the end of its line.
                for _ in chars.by_ref().take_while(|c| *c != '\n') {}
                out.push(Token::Break);
            }
            '<' | '>' => end_word(&mut word, &mut in_word, &mut out),
            c if c.is_whitespace() => end_word(&mut word, &mut in_word, &mut out),
            c => {
                word.push(c);
                in_word = true;
            }
        }
    }
    end_word(&mut word, &mut in_word, &mut out);
    out
}

/// Signs whose meaning depends on the shell, the files there are, or the environment.
const UNSURE: &[char] = &[
    '$', '`', '\\', '*', '?', '[', ']', '{', '}', '~', '<', '>', '|', '&', ';', '(', ')', '#', '!',
    '=', '\n', '\r', '\0',
];

/// Returns the words of a line that is one plain command.
fn simple(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let program = words.first()?;
    // Signs in single quotes are as plain as any other letter; where both kinds of quotes meet, nobody but the shell is
    // sure which of them quotes which.
    if line.contains('\'') && line.contains('"') {
        return None;
    }
    let mut rest = String::new();
    for (index, piece) in line.split('\'').enumerate() {
        if index % 2 == 0 {
            rest.push_str(piece);
        }
    }
    let is_plain = !rest.contains(UNSURE) || only_assigns_in_options(&rest, program);
    (is_plain && is_program(program) && !KEYWORDS.contains(&program.as_str())).then_some(words)
}

/// `--name=value` behind the program is no assignment.
fn only_assigns_in_options(rest: &str, program: &str) -> bool {
    !program.contains('=') && !rest.contains(|c: char| c != '=' && UNSURE.contains(&c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn programs(line: &str) -> Vec<String> {
        CommandLine::parse(line).programs
    }

    #[test]
    fn programs_are_found() {
        for (line, expected) in [
            ("ls -la", vec!["ls"]),
            (
                "cd src && cargo test | tail -5",
                vec!["cd", "cargo", "tail"],
            ),
            ("FOO=1 make -j2; echo done", vec!["make", "echo"]),
            ("echo $(date) `uname`", vec!["echo", "date", "uname"]),
            (
                "sudo -n timeout 5 reboot",
                vec!["sudo", "timeout", "reboot"],
            ),
            ("bash -lc 'shutdown now'", vec!["bash", "shutdown"]),
            ("if true; then rm x; fi", vec!["true", "rm", "fi"]),
            ("(/sbin/halt)", vec!["/sbin/halt"]),
            ("echo 'a; reboot' \"b | halt\"", vec!["echo"]),
            ("# reboot\nls", vec!["ls"]),
            ("写 文件", vec!["写"]),
            ("", vec![]),
        ] {
            assert_eq!(programs(line), expected, "{line}");
        }
    }

    #[test]
    fn only_plain_lines_have_words() {
        let argv = |line: &str| CommandLine::parse(line).argv;
        assert_eq!(
            argv("git log --oneline"),
            Some(vec!["git".into(), "log".into(), "--oneline".into()])
        );
        assert_eq!(
            argv("grep 'a|b' x"),
            Some(vec!["grep".into(), "a|b".into(), "x".into()])
        );
        assert_eq!(
            argv("git log --since=now"),
            Some(vec!["git".into(), "log".into(), "--since=now".into()])
        );
        for line in [
            "ls *",
            "a; b",
            "a && b",
            "a > f",
            "echo $HOME",
            "echo \"$HOME\"",
            "X=1 a",
            "a `b`",
            "a\nb",
            "",
            "'",
            "~/a",
            "{ a",
            "a # b",
            "a \\; b",
            "echo \"'\" $(reboot) \"'\"",
        ] {
            assert_eq!(argv(line), None, "{line:?}");
        }
    }

    #[test]
    fn wrappers_are_never_remembered() {
        for (line, expected) in [
            ("git status", true),
            ("sudo git status", false),
            ("bash -c 'x y'", false),
            ("/usr/bin/env ls", false),
            ("python3 a.py", false),
            ("ls; ls", false),
        ] {
            assert_eq!(
                CommandLine::parse(line).can_be_remembered(),
                expected,
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_line_can_be_read(line in "\\PC{0,80}|[ab;|&$()`'\"\\\\ \n<>{}=-]{0,60}") {
            let read = CommandLine::parse(&line);
            if let Some(argv) = read.argv {
                prop_assert_eq!(read.programs.first(), argv.first());
            }
        }
    }
}
