//! Reads a shell command line just far enough to say which programs it names. Pure.
//!
//! The reading is honest in one direction only: a [`CommandLine::argv`] is exactly what the shell will run, for lines
//! plain enough to be sure of; the list of programs of any other line is a best effort, for rules that ask or deny.
//! What a command can do is bounded by the sandbox, never by this.

mod tokens;
mod wrappers;

use tokens::{Token, tokens};
use wrappers::Wrapper;

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
    Wrapper::of(name).is_some()
        || SHELLS.contains(&name)
        || [
            "python", "perl", "ruby", "node", "awk", "eval", ".", "source",
        ]
        .iter()
        .any(|interpreter| name.starts_with(interpreter))
}

/// Where in a command the next word is.
#[derive(Clone, Default)]
struct Place {
    /// Behind the program's name.
    has_program: bool,
    /// Words that name no program, whatever they are.
    skip: usize,
    /// Behind a shell's name; whether the text of `-c` is next.
    shell: Option<bool>,
    /// Behind a wrapper's name, and how many operands it still takes.
    wrapper: Option<(&'static Wrapper, usize)>,
}

fn collect(line: &str, depth: usize, programs: &mut Vec<String>) {
    let mut place = Place::default();
    let mut outer = Vec::new();
    for token in tokens(line) {
        match token {
            Token::Word(word) => take_word(word, &mut place, depth, programs),
            Token::Break => place = Place::default(),
            Token::Redirection => place.skip += 1,
            Token::Open => outer.push(std::mem::take(&mut place)),
            Token::Close { in_quotes } => {
                let around: Place = outer.pop().unwrap_or_default();
                let skip = around.skip;
                // Outside quotes it may as well have been the sign behind a pattern of `case`.
                place = if in_quotes {
                    around
                } else {
                    Place {
                        skip,
                        ..Place::default()
                    }
                };
            }
        }
    }
}

fn take_word(word: String, place: &mut Place, depth: usize, programs: &mut Vec<String>) {
    if place.skip > 0 {
        place.skip -= 1;
        return;
    }
    if let Some(takes_text) = place.shell {
        // Behind a shell's name: options, then the text of -c, behind which options may still come.
        let is_option = word.starts_with(['-', '+']);
        if is_option && !word.starts_with("--") && word.contains('c') {
            place.shell = Some(true);
        } else if !is_option && takes_text && depth < MAX_DEPTH {
            collect(&word, depth + 1, programs);
            place.shell = None;
        }
        return;
    }
    if place.has_program || is_assignment(&word) || KEYWORDS.contains(&word.as_str()) {
        return;
    }
    if let Some((wrapper, operands)) = &mut place.wrapper {
        if word.starts_with('-') {
            place.skip = usize::from(wrapper.wants_value(&word));
            return;
        }
        if *operands > 0 {
            *operands -= 1;
            return;
        }
    }
    if !is_program(&word) {
        return;
    }
    let name = base_name(&word);
    place.wrapper = Wrapper::of(name).map(|wrapper| (wrapper, wrapper.operands));
    place.has_program = place.wrapper.is_none();
    place.shell = SHELLS.contains(&name).then_some(false);
    let is_text = word.contains([' ', '\t', '\n']) && depth < MAX_DEPTH;
    programs.push(word.clone());
    if is_text {
        // What `eval`, `watch` and `env -S` run is a line of its own.
        collect(&word, depth + 1, programs);
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
    // `--name=value` behind the program is no assignment; in front of it, it may be one.
    let is_plain =
        !rest.contains(|c: char| c != '=' && UNSURE.contains(&c)) && !program.contains('=');
    (is_plain && is_program(program) && !KEYWORDS.contains(&program.as_str())).then_some(words)
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
            (r"$'re\x62oot' now", vec!["reboot"]),
            (r"$'\163udo' ls; $'h\u0061lt'", vec!["sudo", "ls", "halt"]),
            (r"echo $'it\'s; sudo x'; ls", vec!["echo", "ls"]),
            (r"echo $'a\\'; halt", vec!["echo", "halt"]),
            (
                r#"echo "$'a"; halt; echo "b'""#,
                vec!["echo", "halt", "echo"],
            ),
            (r#"$"reboot" now"#, vec!["reboot"]),
            (r"$'\", vec![]),
            ("\u{2000}x 写", vec!["\u{2000}x"]),
            ("写 文件", vec!["写"]),
            ("echo \"$(sudo reboot)\"", vec!["echo", "sudo", "reboot"]),
            ("echo \"a `halt` b\" c", vec!["echo", "halt"]),
            ("echo \"$(date) init\" reboot", vec!["echo", "date"]),
            ("echo \"$(sudo x", vec!["echo", "sudo", "x"]),
            (
                "bash -c \"$(date); sudo x\"",
                vec!["bash", "date", "sudo", "x"],
            ),
            (">/dev/null sudo x", vec!["sudo", "x"]),
            ("2>&1 >>log sudo x", vec!["sudo", "x"]),
            (">a$(date) sudo x", vec!["date", "sudo", "x"]),
            ("ls > f halt 2>&1 reboot &> g init", vec!["ls"]),
            ("cat < <(halt)", vec!["cat", "halt"]),
            ("> >(ls) sudo x", vec!["ls", "sudo", "x"]),
            ("sudo -u $(id) halt", vec!["sudo", "id", "halt"]),
            ("timeout 5s sudo x", vec!["timeout", "sudo", "x"]),
            ("timeout -s KILL -k 1 1.5m halt", vec!["timeout", "halt"]),
            ("timeout 2>/dev/null 5s halt", vec!["timeout", "halt"]),
            ("env -u X sudo y", vec!["env", "sudo", "y"]),
            ("env -uX A=1 halt", vec!["env", "halt"]),
            ("sudo --user me ls init", vec!["sudo", "ls"]),
            ("xargs -0 -n 1 grep init", vec!["xargs", "grep"]),
            ("7z x a", vec!["7z"]),
            ("bash --norc -c 'sudo x'", vec!["bash", "sudo", "x"]),
            ("bash -c -e 'sudo x'", vec!["bash", "sudo", "x"]),
            ("bash --rcfile init -c halt", vec!["bash", "halt"]),
            ("eval 'halt; ls'", vec!["halt; ls", "halt", "ls"]),
            ("case a in a) halt;; esac", vec!["case", "halt", "esac"]),
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
            "'a=b' x",
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
