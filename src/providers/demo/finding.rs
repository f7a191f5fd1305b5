//! Phrases that look for something: in files, for files, on the web. Pure; part of `tasks`.

use super::phrase::Phrase;
use super::tasks::Task;

/// Reads "search for TODO in *.rs", "find *.rs", "fetch https://…" and their Chinese forms.
pub(super) fn task(phrase: Phrase<'_>) -> Option<Task> {
    web(phrase)
        .or_else(|| search(phrase))
        .or_else(|| find(phrase))
}

fn web(phrase: Phrase<'_>) -> Option<Task> {
    let fetch = [
        "fetch ", "read ", "open ", "show ", "抓取", "读取", "打开", "查看",
    ];
    // "请" was taken for politeness before.
    let request = ["request ", "get ", "请求", "求 "];
    let fillers = ["me ", "the page ", "the site ", "网页", "网站", "一下"];
    if let Some(rest) = phrase.after(&fetch) {
        return address(rest.without_leading(&fillers)).map(Task::Fetch);
    }
    let rest = phrase.after(&request)?;
    address(rest.without_leading(&fillers)).map(Task::Request)
}

fn address(phrase: Phrase<'_>) -> Option<String> {
    let word = phrase.word()?;
    let known = ["http://", "https://"];
    let lower = word.to_lowercase();
    let rest = known.iter().find_map(|scheme| lower.strip_prefix(scheme))?;
    (!rest.is_empty()).then(|| word.to_owned())
}

fn search(phrase: Phrase<'_>) -> Option<Task> {
    let english = ["search for ", "search ", "grep for ", "grep "];
    if let Some(rest) = phrase.after(&english) {
        let (what, place) = match rest.part_last(&[" in "]) {
            Some((what, place)) => (what, Some(place_of(place)?)),
            None => (rest, None),
        };
        return searched(what, place);
    }
    let chinese = ["搜索", "搜一下", "查找内容"];
    if let Some(rest) = phrase.after(&chinese) {
        return searched(rest, None);
    }
    let rest = phrase.after(&["在"])?;
    let (place, what) = rest.part_first(&["里搜索", "中搜索", "里面搜索", "里查找", "中查找"])?;
    let place = place_of(place)?;
    searched(what, Some(place))
}

fn searched(what: Phrase<'_>, place: Option<String>) -> Option<Task> {
    let pattern = what.word()?;
    let is_plain = !pattern.contains(['\'', '"', '`', '“', '「', '。']);
    (is_plain && !pattern.trim().is_empty()).then(|| Task::Search {
        pattern: pattern.to_owned(),
        place,
    })
}

fn place_of(phrase: Phrase<'_>) -> Option<String> {
    let phrase = phrase
        .without_leading(&["the folder ", "folder ", "the ", "文件夹"])
        .without_trailing(&[" files", "文件"]);
    phrase.word().map(str::to_owned)
}

fn find(phrase: Phrase<'_>) -> Option<Task> {
    let rest = phrase.after(&["find ", "查找", "找一下", "找"])?;
    let rest = rest
        .without_leading(&[
            "all ", "the ", "files ", "file ", "named ", "called ", "所有", "文件",
        ])
        .without_trailing(&[" files", "文件"]);
    if let Some(inside) = rest.quoted() {
        return (!inside.trim().is_empty()).then(|| Task::Find(inside.to_owned()));
    }
    let word = rest.word()?;
    let is_name = word.contains(['*', '.', '/']) && word.chars().any(char::is_alphanumeric);
    is_name.then(|| Task::Find(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::tasks::rounds;
    use super::*;

    fn check(text: &str, task: Task) {
        assert_eq!(rounds(text), Some(vec![vec![task]]), "{text:?}");
    }

    fn search(pattern: &str, place: Option<&str>) -> Task {
        Task::Search {
            pattern: pattern.to_owned(),
            place: place.map(str::to_owned),
        }
    }

    #[test]
    fn phrases_in_both_languages() {
        check("search for TODO in *.rs", search("TODO", Some("*.rs")));
        check("search for 'buy milk'", search("buy milk", None));
        check("Search 'a and b' in src.", search("a and b", Some("src")));
        check("搜索 TODO", search("TODO", None));
        check("在 *.rs 文件里搜索“会议”", search("会议", Some("*.rs")));
        check("find *.md", Task::Find("*.md".into()));
        check("find files named 'notes'", Task::Find("notes".into()));
        check("查找 *.txt 文件", Task::Find("*.txt".into()));
        let page = "https://example.com/a?b=c&d";
        check(&format!("fetch {page}"), Task::Fetch(page.into()));
        check(&format!("Open the page {page}"), Task::Fetch(page.into()));
        check(&format!("抓取 {page}"), Task::Fetch(page.into()));
        check(&format!("request {page}"), Task::Request(page.into()));
        check(&format!("请求 {page}"), Task::Request(page.into()));
    }

    #[test]
    fn conversation_is_no_task() {
        for text in [
            "search",
            "search for the meaning of life",
            "find me a recipe",
            "find out",
            "找工作",
            "get up",
            "fetch http://",
            "fetch the ball",
        ] {
            assert_eq!(rounds(text), None, "{text:?}");
        }
    }
}
