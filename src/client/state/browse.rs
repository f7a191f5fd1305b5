//! Browse mode: moving through the transcript by entry, searching, folding, copying. Pure.

use super::composer::Composer;
use super::lists::edit_line;
use super::transcript::{Body, Entry, Fold};
use super::types::{Effect, State};
use crate::client::keys::{Action, Key, Place};
use crate::client::text::clean;

/// Where one is.
#[derive(Debug, Default)]
pub(in crate::client) struct Browse {
    /// The chosen entry.
    pub(in crate::client) uid: u64,
    /// The search line while it is written.
    pub(in crate::client) find: Option<Composer>,
    /// What is searched for.
    pub(in crate::client) query: String,
    /// The row of the chosen entry at which the last match was shown.
    row: Option<usize>,
}

impl State {
    /// Enters browse mode at the newest entry.
    pub(super) fn start_browsing(&mut self) {
        let Some(last) = self.transcript.iter().next_back().map(|entry| entry.uid) else {
            self.say("there is nothing to browse yet");
            return;
        };
        self.browse = Some(Browse {
            uid: last,
            ..Browse::default()
        });
        self.prepare_layout();
        self.layout.reveal(&self.transcript, last);
    }

    /// Handles a key in browse mode; false leaves it to the common keys.
    pub(super) fn browse_key(&mut self, key: Key, text: Option<char>) -> bool {
        if self
            .browse
            .as_ref()
            .is_some_and(|browse| browse.find.is_some())
        {
            self.find_key(key, text);
            return true;
        }
        let Some(action) = self.settings.keys.action(Place::Browse, key) else {
            // Letters would vanish into a draft that is not looked at.
            return text.is_some();
        };
        match action {
            Action::BrowseDown => self.browse_step(1),
            Action::BrowseUp => self.browse_step(-1),
            Action::BrowseFirst => self.browse_to(0),
            Action::BrowseLast => self.browse_to(usize::MAX),
            Action::BrowseSearch => {
                if let Some(browse) = &mut self.browse {
                    browse.find = Some(Composer::default());
                }
            }
            Action::BrowseNext => self.find_next(1),
            Action::BrowsePrevious => self.find_next(-1),
            Action::BrowseOpen => self.toggle_entry(),
            Action::BrowseCopy => self.copy_entry(),
            Action::BrowseCopyCode => self.copy_code(),
            Action::BrowseOpenLink => self.open_link(),
            Action::BrowseBack => self.browse = None,
            _ => return false,
        }
        true
    }

    fn find_key(&mut self, key: Key, text: Option<char>) {
        let action = self.settings.keys.action(Place::List, key);
        let edit = self.settings.keys.action(Place::Compose, key);
        let Some(browse) = &mut self.browse else {
            return;
        };
        match action {
            Some(Action::ListBack) => browse.find = None,
            Some(Action::ListAccept) => {
                browse.query = browse
                    .find
                    .take()
                    .map(|line| line.expanded())
                    .unwrap_or_default();
                self.find_next(-1);
            }
            _ => {
                if let Some(line) = &mut browse.find {
                    edit_line(line, edit, text);
                }
            }
        }
    }

    fn browsed(&self) -> Option<usize> {
        let browse = self.browse.as_ref()?;
        let last = self.transcript.len().checked_sub(1)?;
        Some(self.transcript.index_of(browse.uid).min(last))
    }

    fn browse_step(&mut self, by: isize) {
        if let Some(at) = self.browsed() {
            self.browse_to(at.saturating_add_signed(by));
        }
        if by < 0 && self.browsed() == Some(0) {
            self.load_older();
        }
    }

    fn browse_to(&mut self, index: usize) {
        let Some(last) = self.transcript.len().checked_sub(1) else {
            return;
        };
        let uid = self
            .transcript
            .get(index.min(last))
            .map_or(0, |entry| entry.uid);
        if let Some(browse) = &mut self.browse {
            browse.uid = uid;
            browse.row = None;
        }
        self.prepare_layout();
        self.layout.reveal(&self.transcript, uid);
        if index == 0 {
            self.load_older();
        }
    }

    /// Shows the next match, or with -1 the previous one, row by row; after the last entry comes the first.
    fn find_next(&mut self, by: isize) {
        let Some(at) = self.browsed() else { return };
        let Some(browse) = &self.browse else { return };
        let (query, from) = (browse.query.to_lowercase(), browse.row);
        if query.is_empty() {
            return;
        }
        let n = self.transcript.len() as isize;
        // The chosen entry comes first, with its rows beyond the last match, and once more at the end.
        let first = usize::from(from.is_none() && by > 0);
        for step in first..=n as usize {
            let index = (at as isize + by * step as isize).rem_euclid(n) as usize;
            let Some(entry) = self.transcript.get(index) else {
                continue;
            };
            if !searched(entry).to_lowercase().contains(&query) {
                continue;
            }
            let uid = entry.uid;
            self.prepare_layout();
            let mut rows = self.layout.rows_with(&self.transcript, uid, &query);
            if let Some(from) = from.filter(|_| step == 0) {
                rows.retain(|row| if by > 0 { *row > from } else { *row < from });
                if rows.is_empty() {
                    continue;
                }
            }
            let row = if by > 0 { rows.first() } else { rows.last() };
            let row = row.copied().unwrap_or(0);
            self.browse_to(index);
            self.layout.reveal_row(&self.transcript, uid, row);
            if let Some(browse) = &mut self.browse {
                browse.row = Some(row);
            }
            return;
        }
        self.say(format!("no match for {query}"));
    }

    fn toggle_entry(&mut self) {
        let Some(at) = self.browsed() else { return };
        let open_now = match self
            .transcript
            .get(at)
            .map(|entry| (&entry.body, entry.fold))
        {
            Some((_, Fold::Open)) => true,
            Some((_, Fold::Folded)) => false,
            Some((Body::Reasoning { .. }, Fold::Auto)) => self.shows_reasoning,
            Some((Body::Call(call), Fold::Auto)) => self
                .tools_open
                .unwrap_or(call.state == super::transcript::CallState::Failed),
            _ => return,
        };
        self.transcript.change(at, |entry| {
            entry.fold = if open_now { Fold::Folded } else { Fold::Open }
        });
        if let Some(uid) = self.transcript.get(at).map(|entry| entry.uid) {
            self.prepare_layout();
            self.layout.reveal(&self.transcript, uid);
        }
    }

    fn browsed_text(&self) -> Option<String> {
        let entry = self.transcript.get(self.browsed()?)?;
        Some(clean(entry.text()).into_owned())
    }

    fn copy_entry(&mut self) {
        if let Some(text) = self.browsed_text() {
            self.copy(text);
        }
    }

    /// Copies a text and says so.
    pub(super) fn copy(&mut self, text: String) {
        self.say(format!("copied {} characters", text.chars().count()));
        self.out.push(Effect::Copy(text));
    }

    fn copy_code(&mut self) {
        let code = self
            .browsed_text()
            .map(|text| code_of(&text))
            .unwrap_or_default();
        if code.is_empty() {
            self.say("there is no code in it");
        } else {
            self.copy(code);
        }
    }

    fn open_link(&mut self) {
        match self.browsed_text().and_then(|text| link_of(&text)) {
            Some(link) => self.out.push(Effect::OpenLink(link)),
            None => self.say("there is no link in it"),
        }
    }
}

fn searched(entry: &Entry) -> String {
    match &entry.body {
        Body::Call(call) => format!("{} {} {}", call.name, call.arguments, call.output),
        _ => entry.text().to_owned(),
    }
}

/// Returns the fenced code of a text, blocks parted by a blank line.
fn code_of(text: &str) -> String {
    let mut blocks: Vec<String> = Vec::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => {
                fence = Some(mark);
                blocks.push(String::new());
            }
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {
                if let Some(block) = blocks.last_mut() {
                    block.push_str(line);
                    block.push('\n');
                }
            }
            (None, None) => {}
        }
    }
    blocks.join("\n")
}

/// Returns the first web address of a text.
fn link_of(text: &str) -> Option<String> {
    let start = text.match_indices("http").find(|(at, _)| {
        let rest = &text[*at..];
        rest.starts_with("http://") || rest.starts_with("https://")
    })?;
    let rest = &text[start.0..];
    let ends = |c: char| {
        c.is_whitespace() || c.is_control() || "<>\"'`|\\^{})]」》）。，、；！？".contains(c)
    };
    let link = rest[..rest.find(ends).unwrap_or(rest.len())]
        .trim_end_matches(['.', ',', ';', ':', '!', '?']);
    (link.len() > "https://".len()).then(|| link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_links_are_found() {
        assert_eq!(
            code_of("a\n```rust\nlet x;\n```\nb\n~~~\n中文\n~~~"),
            "let x;\n\n中文\n"
        );
        assert_eq!(code_of("none"), "");
        let check = |text: &str, wanted: Option<&str>| assert_eq!(link_of(text).as_deref(), wanted);
        check(
            "见[文档](https://example.org/a?b=1)。",
            Some("https://example.org/a?b=1"),
        );
        check("see http://example.org/x.", Some("http://example.org/x"));
        check("httpx https://", None);
        check("javascript:alert(1)", None);
    }

    #[test]
    fn a_search_goes_from_row_to_row() {
        let mut play = crate::client::play::Play::online();
        let long: String = (0..60)
            .map(|n| format!("line {n} of 苹果{}\\n", n % 20))
            .collect();
        play.load(&format!(
            r#"{{"role":"user","content":"苹果7?","created_at":"","state":"done"}},{{"role":"assistant","content":"{long}","created_at":"","state":"done"}}"#
        ));
        play.key("tab");
        play.key("/");
        play.type_text("苹果7");
        let on_screen = |play: &mut crate::client::play::Play, wanted: [bool; 4]| {
            let screen = play.screen(80, 24);
            let seen =
                ["line 47 ", "line 27 ", "line 7 ", "苹果7?"].map(|text| screen.contains(text));
            assert_eq!(seen, wanted, "{screen}");
        };
        play.key("enter");
        on_screen(&mut play, [true, false, false, false]);
        play.key("n");
        on_screen(&mut play, [false, false, true, true]);
        play.key("shift+n");
        on_screen(&mut play, [true, false, false, false]);
        play.key("shift+n");
        on_screen(&mut play, [false, true, false, false]);
        play.key("shift+n");
        play.key("shift+n");
        on_screen(&mut play, [false, false, true, true]);
    }
}
