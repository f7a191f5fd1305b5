//! The tools of this process in their fixed order, and the check of arguments before a call. Immutable after start.

use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::Value;

use super::Tool;

/// All tools, in the order the model sees them.
#[derive(Clone, Default)]
pub struct Registry {
    tools: Vec<Arc<dyn Tool>>,
}

impl Registry {
    /// Makes a registry of these tools; a later tool of the same name is left out.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        let mut registry = Self::default();
        for tool in tools {
            if registry.get(&tool.name()).is_none() {
                registry.tools.push(tool);
            }
        }
        registry
    }

    /// Finds a tool by its exact name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.name() == name)
    }

    /// Lists the tools in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.tools.iter()
    }
}

/// Makes the schema of an argument struct.
pub fn typed_schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
