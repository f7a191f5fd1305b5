//! Offers tools to models: names and schemas that every model service takes, and the way back for calls. Runs once, when
//! the parts are put together.
//!
//! Calls are checked against the tools' own schemas; what models see is derived and used for nothing else.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::providers::{Cleaned, ToolNames, ToolSpec, clean_description, clean_schema};
use crate::tools::{
    Action, Effects, Registry, Tool, ToolCtx, ToolError, Workspace, check_arguments,
};

/// Makes the registry of these tools and what models are told of them, both in the same order.
///
/// Of tools with the same name the first one is taken. What a schema loses is logged.
pub(super) fn offer(tools: Vec<Arc<dyn Tool>>) -> (Registry, Vec<ToolSpec>) {
    let names: Vec<String> = tools.iter().map(|tool| tool.name().into_owned()).collect();
    let shown = ToolNames::new(names.iter().map(String::as_str));
    let mut taken: Vec<Arc<dyn Tool>> = Vec::new();
    let mut specs: Vec<ToolSpec> = Vec::new();
    for (name, tool) in names.iter().zip(tools) {
        let shown = shown.shown(name).unwrap_or(name);
        if specs.iter().any(|spec| spec.name == shown) {
            log::warn!("two tools are named {name}; only the first one is used");
            continue;
        }
        let cleaned = clean_schema(&tool.parameters());
        for loss in &cleaned.losses {
            log::debug!("tool {name}: {loss}");
        }
        specs.push(ToolSpec {
            name: shown.to_owned(),
            description: clean_description(&tool.description()).into_owned(),
            parameters: cleaned.schema.clone(),
        });
        let is_plain = shown == name && cleaned.renamed.is_empty();
        taken.push(if is_plain {
            tool
        } else {
            Arc::new(Renamed {
                shown: shown.to_owned(),
                cleaned,
                tool,
            })
        });
    }
    (Registry::new(taken), specs)
}

/// A tool that models know by other names than its own.
struct Renamed {
    shown: String,
    cleaned: Cleaned,
    tool: Arc<dyn Tool>,
}

impl Renamed {
    fn has_own_members(&self) -> bool {
        self.cleaned.renamed.is_empty()
    }

    /// Gives arguments their own names back and checks them; they could not be checked before.
    fn own(&self, arguments: &Value) -> Result<Value, String> {
        if self.has_own_members() {
            return Ok(arguments.clone());
        }
        let own = self.cleaned.restore(arguments.clone());
        check_arguments(&self.tool.parameters(), &own.to_string())
    }
}

impl Tool for Renamed {
    fn name(&self) -> Cow<'static, str> {
        self.shown.clone().into()
    }

    fn description(&self) -> Cow<'static, str> {
        self.tool.description()
    }

    /// With changed members the check before the call lets everything through; see [`Self::own`].
    fn parameters(&self) -> Value {
        if self.has_own_members() {
            self.tool.parameters()
        } else {
            json!({"type": "object", "properties": {}})
        }
    }

    /// Arguments that do not fit never run; they count as the worst case.
    fn effects(&self, arguments: &Value) -> Effects {
        self.own(arguments)
            .map_or(Effects::SideEffect, |own| self.tool.effects(&own))
    }

    /// Arguments that do not fit never run.
    fn action(&self, arguments: &Value, workspace: &Workspace) -> Action {
        self.own(arguments).map_or_else(
            |_| Action::allowed(self.name()),
            |own| self.tool.action(&own, workspace),
        )
    }

    fn run(&self, arguments: &Value, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let own = self.own(arguments).map_err(ToolError::Failed)?;
        self.tool.run(&own, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::SessionId;
    use crate::threads::CancelToken;
    use crate::tools::{WebSettings, WorkspaceOptions, builtin};

    /// Answers with its arguments.
    struct Echo(&'static str, Value);

    impl Tool for Echo {
        fn name(&self) -> Cow<'static, str> {
            self.0.into()
        }

        fn description(&self) -> Cow<'static, str> {
            "d".repeat(2_000).into()
        }

        fn parameters(&self) -> Value {
            self.1.clone()
        }

        fn effects(&self, arguments: &Value) -> Effects {
            match arguments.get("dry run") {
                Some(Value::Bool(true)) => Effects::ReadOnly,
                _ => Effects::Idempotent,
            }
        }

        fn run(&self, arguments: &Value, _: &ToolCtx<'_>) -> Result<String, ToolError> {
            Ok(arguments.to_string())
        }
    }

    fn echo(name: &'static str, parameters: Value) -> Arc<dyn Tool> {
        Arc::new(Echo(name, parameters))
    }

    /// Calls a tool as the agent does.
    fn call(registry: &Registry, name: &str, arguments: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let options = WorkspaceOptions {
            private: Vec::new(),
            umask: 0o022,
        };
        let workspace = Workspace::open(dir.path(), options).unwrap();
        let ctx = ToolCtx {
            secrets: &crate::observability::Redactor::default(),
            workspace: &workspace,
            session: &"a:b:c".parse::<SessionId>().unwrap(),
            cancel: &CancelToken::new(),
            output: &|_| {},
            boundary: "b0",
            until: std::time::Instant::now() + std::time::Duration::from_secs(900),
            judge: &|_| Ok(()),
            images: None,
        };
        let (tool, arguments) = registry.check(name, arguments)?;
        tool.run(&arguments, &ctx)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn own_tools_are_offered_as_they_are() {
        let tools = builtin(None, WebSettings::default());
        let names: Vec<String> = tools.iter().map(|tool| tool.name().into_owned()).collect();
        let (registry, specs) = offer(tools);
        let offered: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(offered, names);
        for spec in &specs {
            assert_eq!(registry.parameters(&spec.name), Some(&spec.parameters));
        }
    }

    #[test]
    fn calls_find_their_way_back() {
        let odd = json!({
            "type": "object",
            "properties": {"dry run": {"type": "boolean"}, "n": {"type": ["integer", "string"]}},
            "required": ["n"]
        });
        let plain = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let (registry, specs) = offer(vec![
            echo("notes/搜索", odd),
            echo("notes.get", plain.clone()),
            echo("notes.get", json!({})),
        ]);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["notes___", "notes_get"]);
        assert_eq!(specs[0].description.chars().count(), 1024);
        assert!(specs[0].parameters["properties"].get("dry_run").is_some());

        let answer = call(&registry, "notes___", r#"{"dry_run": "true", "n": "5"}"#);
        assert_eq!(answer.unwrap(), r#"{"dry run":true,"n":5}"#);
        let tool = registry.get("notes___").unwrap();
        let effects = tool.effects(&json!({"dry_run": true, "n": 1}));
        assert_eq!(effects, Effects::ReadOnly);
        assert_eq!(tool.effects(&json!({})), Effects::SideEffect);
        let error = call(&registry, "notes___", "{}").unwrap_err();
        assert!(error.contains("n is missing"), "{error}");

        let answer = call(&registry, "notes_get", r#"{"n": "5"}"#);
        assert_eq!(answer.unwrap(), r#"{"n":5}"#);
        let error = call(&registry, "notes_get", r#"{"n": []}"#).unwrap_err();
        assert!(error.contains("n must be"), "{error}");
        assert!(registry.get("notes.get").is_none());
    }
}
