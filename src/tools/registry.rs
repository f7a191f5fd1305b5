//! The tools of this process in their fixed order, and the check of a call before it runs. Immutable after start.

use std::sync::Arc;

use serde_json::Value;

use super::{Tool, check_arguments, similar};

struct Entry {
    tool: Arc<dyn Tool>,
    parameters: Value,
}

/// All tools, in the order the model sees them, each with the schema it had when registered.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Arc<[Entry]>,
}

impl Registry {
    /// Makes a registry of these tools; a later tool of the same name is left out.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for tool in tools {
            if entries.iter().all(|entry| entry.tool.name() != tool.name()) {
                let parameters = tool.parameters();
                entries.push(Entry { tool, parameters });
            }
        }
        Self {
            entries: entries.into(),
        }
    }

    /// Finds a tool by its exact name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.entry(name).map(|entry| &entry.tool)
    }

    /// Returns a tool's schema without making it anew.
    pub fn parameters(&self, name: &str) -> Option<&Value> {
        self.entry(name).map(|entry| &entry.parameters)
    }

    /// Lists the tools in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.entries.iter().map(|entry| &entry.tool)
    }

    /// Finds the tool of a call and fits its argument text to the schema.
    ///
    /// An error is a sentence for the model: an unknown name with the nearest known one, or the faults of the arguments.
    pub fn check(&self, name: &str, raw: &str) -> Result<(&Arc<dyn Tool>, Value), String> {
        let Some(entry) = self.entry(name) else {
            return Err(self.unknown(name));
        };
        let arguments = check_arguments(&entry.parameters, raw)?;
        Ok((&entry.tool, arguments))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tool.name() == name)
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.iter().map(|tool| tool.name()).collect();
        let shown: String = name.chars().take(64).collect();
        match similar::closest(name, names.iter().map(AsRef::as_ref)) {
            Some(known) => format!("there is no tool {shown:?}; did you mean {known}?"),
            None => format!(
                "there is no tool {shown:?}; the tools are {}",
                names.join(", ")
            ),
        }
    }
}
