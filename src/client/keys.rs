//! The table of keys: every action with its name, its place, its default keys and its sentence in the help. Pure.
//!
//! The key handler, the help screen, the configuration (`client.keys`) and the command menu all read this one table.

use std::collections::{BTreeMap, HashMap};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key can do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Action {
    Send,
    Newline,
    Escape,
    Interrupt,
    Quit,
    Up,
    Down,
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    Backspace,
    Delete,
    DeleteWord,
    DeleteWordForward,
    KillToEnd,
    KillToStart,
    Yank,
    TakeBack,
    SearchHistory,
    Editor,
    Complete,
    Menu,
    Dialogs,
    NewDialog,
    ToggleTools,
    ToggleReasoning,
    PageUp,
    PageDown,
    LineUp,
    LineDown,
    Top,
    Bottom,
    Help,
    Redraw,
    Suspend,
    StartGateway,
    BrowseDown,
    BrowseUp,
    BrowseFirst,
    BrowseLast,
    BrowseSearch,
    BrowseNext,
    BrowsePrevious,
    BrowseOpen,
    BrowseCopy,
    BrowseCopyCode,
    BrowseOpenLink,
    BrowseBack,
    ListUp,
    ListDown,
    ListAccept,
    ListBack,
    DialogCreate,
    DialogRename,
    DialogArchive,
    DialogDelete,
    DialogShowArchived,
    Allow,
    AllowAlways,
    Deny,
}

/// Where a key means something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    /// Writing.
    Compose,
    /// Looking through the transcript.
    Browse,
    /// In a list, popup or help screen.
    List,
    /// In the list of dialogs, besides [`Place::List`].
    Dialogs,
    /// On an approval panel.
    Approval,
}

impl Place {
    /// Returns its heading in the help.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Compose => "Writing",
            Self::Browse => "Browsing (tab on an empty draft)",
            Self::List => "Lists",
            Self::Dialogs => "Dialogs",
            Self::Approval => "Approval",
        }
    }
}

/// One line of the table.
pub(super) struct Binding {
    pub(super) action: Action,
    /// Its name in `client.keys`.
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) keys: &'static [&'static str],
    /// What the help says.
    pub(super) help: &'static str,
}

const fn row(
    action: Action,
    name: &'static str,
    place: Place,
    keys: &'static [&'static str],
    help: &'static str,
) -> Binding {
    Binding {
        action,
        name,
        place,
        keys,
        help,
    }
}

/// Every action.
pub(super) const TABLE: &[Binding] = {
    use Action::*;
    use Place::{Approval, Browse, Compose, List};
    &[
        row(
            Send,
            "send",
            Compose,
            &["enter"],
            "send; while a turn runs: queue",
        ),
        row(
            Newline,
            "newline",
            Compose,
            &["shift+enter", "alt+enter", "ctrl+j"],
            "new line (also \\ and enter)",
        ),
        row(
            Escape,
            "escape",
            Compose,
            &["esc"],
            "close popup, else stop the turn",
        ),
        row(
            Interrupt,
            "interrupt",
            Compose,
            &["ctrl+c"],
            "stop the turn, else clear draft; twice quits",
        ),
        row(
            Quit,
            "quit",
            Compose,
            &["ctrl+d"],
            "quit on an empty draft, else delete forward",
        ),
        row(
            Complete,
            "complete",
            Compose,
            &["tab"],
            "complete /command, @path; empty draft: browse",
        ),
        row(
            Help,
            "help",
            Compose,
            &["f1"],
            "this help (also ? on an empty draft)",
        ),
        row(Menu, "menu", Compose, &["ctrl+p"], "command menu"),
        row(Dialogs, "dialogs", Compose, &["ctrl+s"], "dialogs"),
        row(NewDialog, "new_dialog", Compose, &["ctrl+n"], "new dialog"),
        row(
            TakeBack,
            "take_back",
            Compose,
            &["alt+up"],
            "take back the last queued message",
        ),
        row(
            SearchHistory,
            "search_history",
            Compose,
            &["ctrl+r"],
            "search what you wrote before",
        ),
        row(
            Editor,
            "editor",
            Compose,
            &["ctrl+g"],
            "write in $VISUAL or $EDITOR",
        ),
        row(
            ToggleTools,
            "toggle_tools",
            Compose,
            &["ctrl+o"],
            "fold or open all tool output",
        ),
        row(
            ToggleReasoning,
            "toggle_reasoning",
            Compose,
            &["ctrl+t"],
            "show or hide reasoning",
        ),
        row(
            Up,
            "up",
            Compose,
            &["up"],
            "line up; at the first row: earlier prompt",
        ),
        row(
            Down,
            "down",
            Compose,
            &["down"],
            "line down; at the last row: later prompt",
        ),
        row(PageUp, "page_up", Compose, &["pageup"], "scroll a page up"),
        row(
            PageDown,
            "page_down",
            Compose,
            &["pagedown"],
            "scroll a page down",
        ),
        row(
            LineUp,
            "line_up",
            Compose,
            &["shift+up"],
            "scroll a line up",
        ),
        row(
            LineDown,
            "line_down",
            Compose,
            &["shift+down"],
            "scroll a line down",
        ),
        row(Top, "top", Compose, &["ctrl+home"], "scroll to the top"),
        row(
            Bottom,
            "bottom",
            Compose,
            &["ctrl+end"],
            "scroll to the end and follow",
        ),
        row(Left, "left", Compose, &["left", "ctrl+b"], "left"),
        row(Right, "right", Compose, &["right", "ctrl+f"], "right"),
        row(
            WordLeft,
            "word_left",
            Compose,
            &["alt+b", "alt+left", "ctrl+left"],
            "word left",
        ),
        row(
            WordRight,
            "word_right",
            Compose,
            &["alt+f", "alt+right", "ctrl+right"],
            "word right",
        ),
        row(
            LineStart,
            "line_start",
            Compose,
            &["ctrl+a", "home"],
            "start of the line",
        ),
        row(
            LineEnd,
            "line_end",
            Compose,
            &["ctrl+e", "end"],
            "end of the line",
        ),
        row(
            Backspace,
            "backspace",
            Compose,
            &["backspace", "shift+backspace", "ctrl+h"],
            "delete backward",
        ),
        row(Delete, "delete", Compose, &["delete"], "delete forward"),
        row(
            DeleteWord,
            "delete_word",
            Compose,
            &["ctrl+w", "alt+backspace"],
            "delete the word before",
        ),
        row(
            DeleteWordForward,
            "delete_word_forward",
            Compose,
            &["alt+d"],
            "delete the word behind",
        ),
        row(
            KillToEnd,
            "kill_to_end",
            Compose,
            &["ctrl+k"],
            "delete to the end of the line",
        ),
        row(
            KillToStart,
            "kill_to_start",
            Compose,
            &["ctrl+u"],
            "delete to the start of the line",
        ),
        row(
            Yank,
            "yank",
            Compose,
            &["ctrl+y"],
            "put back what was deleted",
        ),
        row(
            Redraw,
            "redraw",
            Compose,
            &["ctrl+l"],
            "draw the screen anew",
        ),
        row(
            Suspend,
            "suspend",
            Compose,
            &["ctrl+z"],
            "suspend; fg comes back",
        ),
        row(
            StartGateway,
            "start_gateway",
            Compose,
            &["f2"],
            "start a gateway where none runs",
        ),
        row(
            BrowseDown,
            "browse_down",
            Browse,
            &["j", "down"],
            "next message",
        ),
        row(
            BrowseUp,
            "browse_up",
            Browse,
            &["k", "up"],
            "previous message",
        ),
        row(
            BrowseFirst,
            "browse_first",
            Browse,
            &["g", "home"],
            "first message",
        ),
        row(
            BrowseLast,
            "browse_last",
            Browse,
            &["shift+g", "end"],
            "last message",
        ),
        row(BrowseSearch, "browse_search", Browse, &["/"], "search"),
        row(BrowseNext, "browse_next", Browse, &["n"], "next match"),
        row(
            BrowsePrevious,
            "browse_previous",
            Browse,
            &["shift+n"],
            "previous match",
        ),
        row(
            BrowseOpen,
            "browse_open",
            Browse,
            &["e", "enter"],
            "open or fold",
        ),
        row(
            BrowseCopy,
            "browse_copy",
            Browse,
            &["y"],
            "copy the message",
        ),
        row(
            BrowseCopyCode,
            "browse_copy_code",
            Browse,
            &["c"],
            "copy its code",
        ),
        row(
            BrowseOpenLink,
            "browse_open_link",
            Browse,
            &["o"],
            "open its link",
        ),
        row(
            BrowseBack,
            "browse_back",
            Browse,
            &["i", "esc", "q"],
            "back to writing",
        ),
        row(ListUp, "list_up", List, &["up", "ctrl+p"], "up"),
        row(ListDown, "list_down", List, &["down", "ctrl+n"], "down"),
        row(
            ListAccept,
            "list_accept",
            List,
            &["enter", "tab"],
            "take it",
        ),
        row(ListBack, "list_back", List, &["esc", "ctrl+c"], "back"),
        row(
            DialogCreate,
            "dialog_create",
            Place::Dialogs,
            &["ctrl+n"],
            "new dialog",
        ),
        row(
            DialogRename,
            "dialog_rename",
            Place::Dialogs,
            &["ctrl+r"],
            "rename",
        ),
        row(
            DialogArchive,
            "dialog_archive",
            Place::Dialogs,
            &["ctrl+e"],
            "archive",
        ),
        row(
            DialogDelete,
            "dialog_delete",
            Place::Dialogs,
            &["ctrl+x", "delete"],
            "delete",
        ),
        row(
            DialogShowArchived,
            "dialog_show_archived",
            Place::Dialogs,
            &["ctrl+a"],
            "show archived too",
        ),
        row(Allow, "allow", Approval, &["y"], "allow this once"),
        row(
            AllowAlways,
            "allow_always",
            Approval,
            &["a"],
            "allow this command always",
        ),
        row(Deny, "deny", Approval, &["n", "esc"], "deny"),
    ]
};

/// A key with its modifiers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    code: KeyCode,
    ctrl: bool,
    alt: bool,
    shift: bool,
}

impl Key {
    /// Reads what the terminal sent. A capital letter is the letter with shift, whatever the terminal calls it.
    pub(super) fn of(event: &KeyEvent) -> Self {
        let has = |modifier| event.modifiers.contains(modifier);
        let mut shift = has(KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::Char(c) if c.is_ascii_uppercase() => {
                shift = true;
                KeyCode::Char(c.to_ascii_lowercase())
            }
            KeyCode::Char(c) if !c.is_ascii_alphabetic() => {
                shift = false;
                KeyCode::Char(c)
            }
            KeyCode::BackTab => {
                shift = true;
                KeyCode::Tab
            }
            code => code,
        };
        Self {
            code,
            ctrl: has(KeyModifiers::CONTROL),
            alt: has(KeyModifiers::ALT),
            shift,
        }
    }

    /// Reads a name such as `ctrl+shift+a`, `f1`, `?` or `alt+up`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut key = Self {
            code: KeyCode::Null,
            ctrl: false,
            alt: false,
            shift: false,
        };
        let mut rest = name;
        let last = loop {
            match rest.split_once('+') {
                Some(("ctrl", more)) => (key.ctrl, rest) = (true, more),
                Some(("alt", more)) => (key.alt, rest) = (true, more),
                Some(("shift", more)) => (key.shift, rest) = (true, more),
                _ => break rest,
            }
        };
        key.code = code(last)?;
        Some(key)
    }

    /// Returns its name, as [`parse`](Self::parse) takes it.
    pub(super) fn name(self) -> String {
        let mut name = String::new();
        for (held, word) in [
            (self.ctrl, "ctrl+"),
            (self.alt, "alt+"),
            (self.shift, "shift+"),
        ] {
            if held {
                name.push_str(word);
            }
        }
        match self.code {
            KeyCode::Char(c) => name.push(c),
            KeyCode::F(n) => name.push_str(&format!("f{n}")),
            code => {
                let known = NAMED.iter().find(|(_, named)| *named == code);
                name.push_str(known.map_or("?", |(word, _)| *word));
            }
        }
        name
    }
}

const NAMED: [(&str, KeyCode); 14] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

fn code(word: &str) -> Option<KeyCode> {
    if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == word) {
        return Some(*code);
    }
    if word == "space" {
        return Some(KeyCode::Char(' '));
    }
    let mut chars = word.chars();
    match (chars.next()?, chars.as_str()) {
        (c, "") if !c.is_control() && !c.is_uppercase() => Some(KeyCode::Char(c)),
        ('f', digits) => digits
            .parse()
            .ok()
            .filter(|n| (1..=24).contains(n))
            .map(KeyCode::F),
        _ => None,
    }
}

/// Which key does what.
pub(super) struct Keys {
    map: HashMap<(Place, Key), Action>,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(&BTreeMap::new()).0
    }
}

impl Keys {
    /// Joins the table with a person's own keys, action name → keys; no keys switch an action off. Also returns what
    /// could not be used, in sentences.
    pub(super) fn new(own: &BTreeMap<String, Vec<String>>) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let mut map = HashMap::new();
        for name in own.keys() {
            if !TABLE.iter().any(|row| row.name == name) {
                faults.push(format!("client.keys: there is no action {name}"));
            }
        }
        for row in TABLE.iter().filter(|row| !own.contains_key(row.name)) {
            for key in row.keys.iter().filter_map(|name| Key::parse(name)) {
                map.insert((row.place, key), row.action);
            }
        }
        // A person's own key wins over a default elsewhere in the table.
        for row in TABLE {
            for name in own
                .get(row.name)
                .into_iter()
                .flatten()
                .filter(|name| *name != "off")
            {
                match Key::parse(&name.to_lowercase()) {
                    Some(key) => {
                        map.insert((row.place, key), row.action);
                    }
                    None => {
                        faults.push(format!("client.keys.{}: there is no key {name}", row.name))
                    }
                }
            }
        }
        (Self { map }, faults)
    }

    /// Returns what a key does at a place.
    pub(super) fn action(&self, place: Place, key: Key) -> Option<Action> {
        self.map.get(&(place, key)).copied()
    }

    /// Returns the keys of an action for people, the table's own order first; empty if it is switched off.
    pub(super) fn names(&self, row: &Binding) -> Vec<String> {
        let mut keys: Vec<String> = self
            .map
            .iter()
            .filter(|((place, _), action)| *place == row.place && **action == row.action)
            .map(|((_, key), _)| key.name())
            .collect();
        keys.sort_by_key(|name| {
            (
                row.keys
                    .iter()
                    .position(|own| own == name)
                    .unwrap_or(usize::MAX),
                name.clone(),
            )
        });
        keys
    }

    /// Returns the first key of an action for hints.
    pub(super) fn hint(&self, action: Action) -> String {
        TABLE
            .iter()
            .find(|row| row.action == action)
            .and_then(|row| self.names(row).into_iter().next())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_keys_readable() {
        for (at, row) in TABLE.iter().enumerate() {
            for other in &TABLE[at + 1..] {
                assert_ne!(row.name, other.name);
                assert_ne!(row.action, other.action);
                let shared = row.keys.iter().find(|key| other.keys.contains(key));
                assert!(
                    row.place != other.place || shared.is_none(),
                    "{} {} {shared:?}",
                    row.name,
                    other.name
                );
            }
            for name in row.keys {
                assert_eq!(Key::parse(name).map(Key::name).as_deref(), Some(*name));
            }
        }
    }

    #[test]
    fn people_choose_their_own() {
        let own = BTreeMap::from([
            ("send".to_owned(), vec!["ctrl+enter".to_owned()]),
            ("newline".to_owned(), vec!["Enter".to_owned()]),
            ("menu".to_owned(), vec![]),
            ("fly".to_owned(), vec!["f9".to_owned()]),
            ("quit".to_owned(), vec!["hyper+q".to_owned()]),
        ]);
        let (keys, faults) = Keys::new(&own);
        let action = |name| keys.action(Place::Compose, Key::parse(name).unwrap());
        assert_eq!(action("enter"), Some(Action::Newline));
        assert_eq!(action("ctrl+enter"), Some(Action::Send));
        assert_eq!(action("ctrl+p"), None);
        assert_eq!(action("ctrl+d"), None);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(keys.hint(Action::Menu), "");
    }

    #[test]
    fn capitals_are_letters_with_shift() {
        let event = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Key::of(&event), Key::parse("shift+g").unwrap());
        let event = KeyEvent::new(KeyCode::Char('?'), KeyModifiers::SHIFT);
        assert_eq!(Key::of(&event), Key::parse("?").unwrap());
    }
}
