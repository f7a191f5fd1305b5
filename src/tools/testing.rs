//! A workspace in a temporary folder and a way to run tools in it, for tests.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Action, Effects, Registry, ToolCtx, ToolError, WebSettings, Workspace, WorkspaceOptions,
    builtin,
};
use crate::chat::{Image, SessionId};
use crate::threads::CancelToken;

/// A workspace folder `work` inside a temporary folder, so that there is an outside.
pub(super) struct Bench {
    pub(super) outer: TempDir,
    pub(super) workspace: Workspace,
    pub(super) cancel: CancelToken,
    session: SessionId,
    tools: Registry,
}

impl Bench {
    pub(super) fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("work");
        std::fs::create_dir(&root).unwrap();
        Self {
            workspace: Workspace::open(&root, WorkspaceOptions::default()).unwrap(),
            outer,
            cancel: CancelToken::new(),
            session: "cli_chat:local:test".parse().unwrap(),
            tools: Registry::new(builtin(None, WebSettings::default())),
        }
    }

    /// Returns the absolute path of a name in the workspace.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.workspace.path().join(name)
    }

    /// Makes a file, and its folders, behind the tools' back.
    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Reads a file behind the tools' back.
    pub(super) fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    /// Runs a call the way the agent does: check, then run.
    pub(super) fn call(&self, name: &str, arguments: &Value) -> Result<String, ToolError> {
        self.call_in(&self.tools, name, arguments)
    }

    /// Runs a call of other tools in this workspace.
    pub(super) fn call_in(
        &self,
        tools: &Registry,
        name: &str,
        arguments: &Value,
    ) -> Result<String, ToolError> {
        let (tool, arguments) = tools
            .check(name, &arguments.to_string())
            .map_err(ToolError::Failed)?;
        let ctx = ToolCtx {
            secrets: &crate::observability::Redactor::default(),
            workspace: &self.workspace,
            session: &self.session,
            cancel: &self.cancel,
            output: &|_| {},
            boundary: "b0",
            until: Instant::now() + Duration::from_secs(900),
            judge: &|_| Ok(()),
            images: None,
        };
        tool.run(&arguments, &ctx)
    }

    /// Runs a call for a model that sees images; returns its result and what it shows.
    pub(super) fn call_showing(
        &self,
        name: &str,
        arguments: &Value,
    ) -> (Result<String, ToolError>, Vec<Image>) {
        let shown = Mutex::new(Vec::new());
        let tool = self.tools.get(name).unwrap();
        let ctx = ToolCtx {
            secrets: &crate::observability::Redactor::default(),
            workspace: &self.workspace,
            session: &self.session,
            cancel: &self.cancel,
            output: &|_| {},
            boundary: "b0",
            until: Instant::now() + Duration::from_secs(900),
            judge: &|_| Ok(()),
            images: Some(&|image| shown.lock().unwrap().push(image)),
        };
        let result = tool.run(arguments, &ctx);
        (result, shown.into_inner().unwrap())
    }

    /// Tells what running a call again would do.
    pub(super) fn effects(&self, name: &str, arguments: &Value) -> Effects {
        self.tools.get(name).unwrap().effects(arguments)
    }

    /// Tells what a call would do.
    pub(super) fn action(&self, name: &str, arguments: &Value) -> Action {
        let tool = self.tools.get(name).unwrap();
        tool.action(arguments, &self.workspace)
    }

    /// Runs a call that must work.
    pub(super) fn ok(&self, name: &str, arguments: Value) -> String {
        match self.call(name, &arguments) {
            Ok(text) => text,
            Err(error) => panic!("{name} {arguments}: {error}"),
        }
    }

    /// Runs a call that must fail and returns its sentence.
    pub(super) fn err(&self, name: &str, arguments: Value) -> String {
        match self.call(name, &arguments) {
            Ok(text) => panic!("{name} {arguments} worked: {text}"),
            Err(error) => error.to_string(),
        }
    }
}
