//! What the person wrote before, oldest first, and the walk through it. Pure.

/// Prompts kept in memory and in the file.
pub(in crate::client) const MAX_PROMPTS: usize = 1_000;

/// The prompts.
#[derive(Default, Debug)]
pub(in crate::client) struct History {
    prompts: Vec<String>,
    /// The prompt that is shown, and the draft from before the walk.
    walk: Option<(usize, String)>,
}

impl History {
    /// Takes up the prompts of earlier runs.
    pub(super) fn new(mut prompts: Vec<String>) -> Self {
        prompts.drain(..prompts.len().saturating_sub(MAX_PROMPTS));
        Self {
            prompts,
            walk: None,
        }
    }

    /// Adds a prompt; the same again is kept once.
    pub(super) fn add(&mut self, prompt: &str) {
        self.leave();
        self.put(prompt);
    }

    fn put(&mut self, prompt: &str) {
        self.prompts.retain(|known| known != prompt);
        self.prompts.push(prompt.to_owned());
        if self.prompts.len() > MAX_PROMPTS {
            self.prompts.remove(0);
        }
    }

    /// Returns the prompt before the shown one; the draft is kept for the way back.
    pub(super) fn earlier(&mut self, draft: &str) -> Option<&str> {
        let (at, kept) = match self.walk.take() {
            Some((at, kept)) => (at, kept),
            None => (self.prompts.len(), draft.to_owned()),
        };
        let next = at.checked_sub(1).unwrap_or(at);
        let moved = next != at;
        if moved || at < self.prompts.len() {
            self.walk = Some((next.min(at), kept));
        }
        moved.then(|| self.prompts[next].as_str())
    }

    /// Returns the prompt after the shown one, or at last the draft.
    pub(super) fn later(&mut self) -> Option<String> {
        let (at, kept) = self.walk.take()?;
        match self.prompts.get(at + 1) {
            Some(prompt) => {
                let prompt = prompt.clone();
                self.walk = Some((at + 1, kept));
                Some(prompt)
            }
            None => Some(kept),
        }
    }

    /// Ends the walk: what is shown is edited and now the draft. The draft from before becomes the newest prompt.
    pub(super) fn leave(&mut self) {
        if let Some((_, kept)) = self.walk.take()
            && !kept.trim().is_empty()
        {
            self.put(&kept);
        }
    }

    /// Returns the draft from before the walk.
    pub(super) fn kept_draft(&self) -> Option<&str> {
        self.walk.as_ref().map(|(_, kept)| kept.as_str())
    }

    /// Lists prompts that hold all the words, newest first.
    pub(in crate::client) fn find(&self, words: &str) -> Vec<&str> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let fits = |prompt: &&String| {
            if words.is_empty() {
                return true;
            }
            let lower = prompt.to_lowercase();
            words.iter().all(|word| lower.contains(word))
        };
        self.prompts
            .iter()
            .rev()
            .filter(fits)
            .map(String::as_str)
            .collect()
    }

    /// Counts how often a command was used.
    pub(super) fn n_uses(&self, command: &str) -> usize {
        self.prompts
            .iter()
            .filter(|prompt| prompt.split_whitespace().next() == Some(command))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draft_comes_back() {
        let mut history = History::new(vec!["一".to_owned(), "two".to_owned()]);
        assert_eq!(history.earlier("draft"), Some("two"));
        assert_eq!(history.earlier("two"), Some("一"));
        assert_eq!(history.earlier("一"), None);
        assert_eq!(history.later().as_deref(), Some("two"));
        assert_eq!(history.later().as_deref(), Some("draft"));
        assert_eq!(history.later(), None);
        history.add("一");
        assert_eq!(history.find(""), ["一", "two"]);
        assert_eq!(history.find("TW"), ["two"]);
        assert_eq!(History::default().earlier("x"), None);
    }
}
