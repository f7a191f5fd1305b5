//! Phrases about commands: run one, start one in the background, look after it. Pure; part of `tasks`.

use super::phrase::Phrase;
use super::tasks::Task;

/// Seconds that a look at a background process waits for news.
pub(super) const LOOK_SECS: u64 = 5;

/// Reads "run `ls`", "run `make` in the background", "show process p1a2b3", "end process p1a2b3" and their Chinese forms.
pub(super) fn task(phrase: Phrase<'_>) -> Option<Task> {
    start(phrase)
        .or_else(|| run(phrase))
        .or_else(|| look(phrase))
}

fn run(phrase: Phrase<'_>) -> Option<Task> {
    command(phrase).map(Task::Run)
}

fn start(phrase: Phrase<'_>) -> Option<Task> {
    let behind = phrase.before(&[" in the background", " in background"]);
    let front = || phrase.after(&["在后台", "后台"]);
    command(behind.or_else(front)?).map(Task::Start)
}

fn command(phrase: Phrase<'_>) -> Option<String> {
    let command = phrase.after(&["run ", "execute ", "start ", "执行", "运行", "启动"])?;
    let command = command.without_leading(&["the ", "shell ", "command ", "一下", "命令"]);
    let command = command.quoted()?.trim();
    (!command.is_empty()).then(|| command.to_owned())
}

fn look(phrase: Phrase<'_>) -> Option<Task> {
    let all = [
        "list processes",
        "show processes",
        "list background processes",
        "show background processes",
        "列出进程",
        "查看进程",
        "列出后台进程",
        "查看后台进程",
    ];
    if all.contains(&phrase.shape()) {
        return Some(Task::Processes);
    }
    let look = [
        "show process ",
        "look at process ",
        "查看进程",
        "查看后台进程",
    ];
    if let Some(rest) = phrase.after(&look) {
        return id(rest).map(Task::Look);
    }
    let end = [
        "end process ",
        "kill process ",
        "stop process ",
        "结束进程",
        "停止进程",
    ];
    id(phrase.after(&end)?).map(Task::End)
}

/// Ids are a `p` and hexadecimal digits.
fn id(phrase: Phrase<'_>) -> Option<String> {
    let word = phrase.trim().word()?;
    let digits = word.strip_prefix('p')?;
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tasks::rounds;
    use super::*;

    fn check(text: &str, expected: Task) {
        assert_eq!(rounds(text), Some(vec![vec![expected]]), "{text:?}");
    }

    #[test]
    fn commands_and_what_runs_in_the_background() {
        let start = || Task::Start("sleep 9".into());
        check("run `sleep 9` in the background", start());
        check("Please start `sleep 9` in the background.", start());
        check("在后台运行 `sleep 9`", start());
        check("请后台执行“sleep 9”。", start());
        check("list processes", Task::Processes);
        check("列出后台进程", Task::Processes);
        check("show process p1a2b3", Task::Look("p1a2b3".into()));
        check("查看进程 p1a2b3", Task::Look("p1a2b3".into()));
        check("end process p1a2b3", Task::End("p1a2b3".into()));
        check("结束进程 p1a2b3。", Task::End("p1a2b3".into()));
        for text in [
            "show process of cooking",
            "run in the background",
            "后台很美",
            "end process",
        ] {
            assert_eq!(rounds(text), None, "{text:?}");
        }
        assert!(
            Task::Look("p1".into())
                .arguments()
                .contains("\"wait_secs\":5")
        );
        assert!(start().arguments().contains("\"background\":true"));
    }
}
