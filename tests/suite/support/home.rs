//! A temporary home folder with a workspace and a configuration; gone when dropped.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::model::ModelServer;

/// The home of one test.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    workspace: &'static str,
}

impl Home {
    /// Makes a home in which there is nothing; PicoBot will make its own folders.
    pub(crate) fn fresh() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            workspace: ".picobot/workspace",
        }
    }

    /// Makes a home with a workspace and without a configuration.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("workspace")).unwrap();
        Self {
            folder,
            workspace: "workspace",
        }
    }

    /// Makes a home whose default agent asks this model service.
    pub(crate) fn with_model(model: &ModelServer) -> Self {
        Self::with_model_and(model, json!({}))
    }

    /// The same, with further top-level keys or other values for them.
    pub(crate) fn with_model_and(model: &ModelServer, changes: Value) -> Self {
        let home = Self::empty();
        let mut config = home.config_for(model);
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        home.write_config(&config);
        home
    }

    /// Returns a configuration whose default agent asks this model service.
    pub(crate) fn config_for(&self, model: &ModelServer) -> Value {
        json!({
            "providers": {
                "scripted": {"type": "openai", "base_url": model.base_url(), "api_key": "test-key"},
            },
            "models": {
                "scripted": {"model_id": "scripted-1", "max_tokens": 1024, "input_type": ["text"]},
            },
            "agents": {
                "default": {"provider": "scripted", "model": "scripted", "max_tool_iterations": 20},
            },
            "workspace_dir": self.workspace(),
        })
    }

    /// Writes the configuration file; nobody else may read it.
    pub(crate) fn write_config(&self, config: &Value) {
        fs::write(self.config(), format!("{config:#}")).unwrap();
        fs::set_permissions(self.config(), Permissions::from_mode(0o600)).unwrap();
    }

    /// Returns the folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the configuration's path.
    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("config.json")
    }

    /// Returns the workspace.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.path().join(self.workspace)
    }

    /// Returns the gateway's token.
    pub(crate) fn token(&self) -> String {
        let text = fs::read_to_string(self.path().join(".picobot/gateway.token")).unwrap();
        text.trim().to_owned()
    }

    /// Returns the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.workspace().join("picobot.db")
    }

    /// Returns the file that names the running process and its port.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.workspace().join("picobot.lock")
    }
}
