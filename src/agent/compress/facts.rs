//! What a summary must not lose, taken from the messages by rule and carried from one summary to the next as data: a bad
//! summary loses none of it, and a summary of a summary does not wear it down. Pure.

use serde::{Deserialize, Serialize};

use super::arguments::Said;
use super::extract::{Line, Name, lines, names};
use super::shrink::shorten;
use crate::chat::{Message, Role};

/// Entries kept of each kind; the oldest go first.
const MAX_NAMES: usize = 120;
/// See [`MAX_NAMES`].
const MAX_LINES: usize = 40;
/// See [`MAX_NAMES`].
const MAX_STEPS: usize = 60;
/// Requests in the middle of a dialog that are kept shortened.
const MAX_REQUESTS: usize = 20;
/// Longest first request and other requests, in characters; the last one has more room.
const MAX_FIRST_CHARS: usize = 4_000;
/// See [`MAX_FIRST_CHARS`].
const MAX_REQUEST_CHARS: usize = 300;
/// See [`MAX_FIRST_CHARS`].
const MAX_LAST_CHARS: usize = 16_000;
/// How much of a tool's result is searched for names, at its beginning.
const SEARCHED_BYTES: usize = 6_000;
/// Names taken from one result.
const MAX_FROM_RESULT: usize = 12;
/// Of a call and its result in the list of steps, in characters.
const STEP_CHARS: usize = 120;

/// What must survive, in the order it came up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The newest summary that a model wrote.
    pub prose: String,
    /// The first request of the dialog.
    pub first: String,
    /// Later requests, shortened.
    pub requests: Vec<String>,
    /// The newest request among what was cut, word for word.
    pub last: String,
    /// Files and folders.
    pub paths: Vec<String>,
    /// Addresses.
    pub addresses: Vec<String>,
    /// Ids of all kinds.
    pub ids: Vec<String>,
    /// What was decided, and rules of the person.
    pub decisions: Vec<String>,
    /// What is to do.
    pub open: Vec<String>,
    /// What runs.
    pub running: Vec<String>,
    /// The calls made, with what came of them.
    pub steps: Vec<String>,
    /// Steps that are no longer listed.
    pub n_older_steps: u64,
}

impl Facts {
    /// Reads the stored form; what cannot be read is nothing.
    pub fn from_json(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        serde_json::from_str(text).unwrap_or_else(|error| {
            log::warn!("the facts of a summary cannot be read: {error}");
            Self::default()
        })
    }

    /// Writes the stored form.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("facts are texts and a number")
    }

    /// Takes in what messages say that will be cut, oldest first.
    pub fn add<'m>(&mut self, messages: impl IntoIterator<Item = &'m Message>) {
        let mut open_calls: Vec<(String, String)> = Vec::new();
        for message in messages {
            let text = message.visible_text();
            match message.role {
                Role::User => self.add_request(&text),
                Role::Assistant => {
                    self.add_names(&text, usize::MAX);
                    self.add_lines(&text);
                }
                Role::Tool => {}
            }
            for call in message.tool_calls() {
                let said = Said::read(&call.arguments);
                self.add_names(&said.texts, usize::MAX);
                let step = format!("{} {}", call.name, one_line(&said.shown));
                open_calls.push((call.id.clone(), step));
            }
            for result in message.tool_results() {
                self.add_names(head(&result.content), MAX_FROM_RESULT);
                let known = open_calls.iter().position(|(id, _)| *id == result.call_id);
                let step = known.map_or_else(String::new, |at| open_calls.remove(at).1);
                let mark = if result.is_error { "failed" } else { "ok" };
                self.add_step(format!("{step} → {mark}: {}", one_line(&result.content)));
            }
        }
    }

    fn add_request(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.add_names(text, usize::MAX);
        self.add_lines(text);
        if self.first.is_empty() {
            self.first = text.chars().take(MAX_FIRST_CHARS).collect();
        } else {
            push(
                &mut self.requests,
                shorten(text, MAX_REQUEST_CHARS).into_owned(),
                MAX_REQUESTS,
            );
        }
        self.last = text.chars().take(MAX_LAST_CHARS).collect();
    }

    fn add_names(&mut self, text: &str, most: usize) {
        for name in names(text).take(most) {
            let (list, name) = match name {
                Name::Path(name) => (&mut self.paths, name),
                Name::Address(name) => (&mut self.addresses, name),
                Name::Id(name) => (&mut self.ids, name),
            };
            push(list, name.to_owned(), MAX_NAMES);
        }
    }

    fn add_lines(&mut self, text: &str) {
        for (line, item) in lines(text) {
            match line {
                Line::Decision => push(&mut self.decisions, item, MAX_LINES),
                Line::Open => push(&mut self.open, item, MAX_LINES),
                Line::Running => push(&mut self.running, item, MAX_LINES),
                Line::Done => self.open.retain(|open| *open != item),
            }
        }
    }

    fn add_step(&mut self, step: String) {
        if self.steps.len() == MAX_STEPS {
            self.steps.remove(0);
            self.n_older_steps += 1;
        }
        self.steps.push(step);
    }
}

/// Puts an entry last; one that is there already moves.
fn push(list: &mut Vec<String>, entry: String, most: usize) {
    list.retain(|known| *known != entry);
    if list.len() == most {
        list.remove(0);
    }
    list.push(entry);
}

fn one_line(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(STEP_CHARS) {
        words.truncate(end);
        words.push('…');
    }
    words
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(SEARCHED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
