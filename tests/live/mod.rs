//! What the three live suites share: keys from `tests/test.env`, a temporary home, and `picobot send` as a child process.
//!
//! Compiled into each live suite. Holds no checks; talks to real services only through the binary.
#![allow(dead_code)] // No suite uses all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A service to test against.
#[derive(Clone)]
pub(crate) struct Service {
    kind: &'static str,
    base_url: String,
    api_key: String,
    model: String,
    /// Whether the model takes images.
    pub(crate) images: bool,
}

impl Service {
    /// Returns the same service with another key.
    pub(crate) fn with_key(&self, api_key: &str) -> Self {
        Self {
            api_key: api_key.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the same service with another model.
    pub(crate) fn with_model(&self, model: &str) -> Self {
        Self {
            model: model.to_owned(),
            ..self.clone()
        }
    }
}

/// Reads `tests/test.env`: the services that have a key.
pub(crate) fn services() -> Vec<Service> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/test.env");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; copy tests/test.env.example to tests/test.env and fill in a key",
            path.display()
        )
    });
    let values = parse(&text);
    let services: Vec<Service> = [("openai", "OPENAI"), ("anthropic", "ANTHROPIC")]
        .into_iter()
        .filter_map(|(kind, prefix)| {
            let value = |name: &str| {
                values
                    .get(&format!("{prefix}_{name}"))
                    .filter(|value| !value.is_empty())
                    .cloned()
            };
            let Some(api_key) = value("API_KEY") else {
                eprintln!("{prefix}_API_KEY is empty in tests/test.env: {kind} is left out");
                return None;
            };
            let needed = |name: &str| {
                value(name).unwrap_or_else(|| panic!("tests/test.env lacks {prefix}_{name}"))
            };
            Some(Service {
                kind,
                base_url: needed("BASE_URL"),
                api_key,
                model: needed("MODEL"),
                images: value("IMAGES").as_deref() == Some("yes"),
            })
        })
        .collect();
    assert!(
        !services.is_empty(),
        "tests/test.env holds no key; fill in OPENAI_API_KEY or ANTHROPIC_API_KEY"
    );
    services
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let value = value.trim().trim_matches('"');
            (name.trim().to_owned(), value.to_owned())
        })
        .collect()
}

/// A temporary home with a configuration for one service.
pub(crate) struct Live {
    home: tempfile::TempDir,
    config: PathBuf,
    api_key: String,
}

impl Live {
    /// Makes the home. The key travels in the environment, not in the file.
    pub(crate) fn new(service: &Service) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("workspace")).unwrap();
        let mut live = Self {
            config: home.path().join("config.json"),
            home,
            api_key: String::new(),
        };
        live.use_service(service);
        live
    }

    /// Asks this service from now on, in the same dialog.
    pub(crate) fn use_service(&mut self, service: &Service) {
        eprintln!("-- {} at {}", service.model, service.base_url);
        let input_type = if service.images {
            json!(["text", "image"])
        } else {
            json!(["text"])
        };
        // No token limit of our own: models that think would spend a small one before they speak.
        let value = json!({
            "providers": {service.kind: {
                "type": service.kind,
                "base_url": service.base_url,
                "api_key": "<PICOBOT_LIVE_KEY>",
            }},
            "models": {"live": {"model_id": service.model, "input_type": input_type}},
            "agents": {"default": {"provider": service.kind, "model": "live", "max_tool_iterations": 8}},
            "workspace_dir": self.home.path().join("workspace"),
        });
        fs::write(&self.config, value.to_string()).unwrap();
        service.api_key.clone_into(&mut self.api_key);
    }

    /// Returns a path inside the workspace.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("workspace").join(name)
    }

    /// Sends one prompt in-process, with further arguments before it.
    fn run(&self, arguments: &[&str], prompt: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_picobot"))
            .args(["send", "--local", "--json", "--timeout", "120", "--config"])
            .arg(&self.config)
            .args(arguments)
            .arg(prompt)
            .env("HOME", self.home.path())
            .env("PICOBOT_LIVE_KEY", &self.api_key)
            .current_dir(self.home.path())
            .output()
            .unwrap()
    }

    /// Sends one prompt that must fail and returns what the person reads, without the key.
    pub(crate) fn fail(&self, prompt: &str) -> String {
        let output = self.run(&[], prompt);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{prompt:?} worked: {said}");
        assert!(!said.contains(&self.api_key), "the key is shown");
        said
    }

    /// Sends one prompt and returns what `--json` printed.
    pub(crate) fn send(&self, prompt: &str) -> Value {
        self.send_with(&[], prompt)
    }

    /// The same, with further arguments.
    pub(crate) fn send_with(&self, arguments: &[&str], prompt: &str) -> Value {
        let output = self.run(arguments, prompt);
        assert!(
            output.status.success(),
            "{prompt:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).replace(&self.api_key, "***")
        );
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout is not JSON: {error}\n{}",
                String::from_utf8_lossy(&output.stdout)
            )
        })
    }

    /// Sends one prompt and returns the answer's text.
    pub(crate) fn ask(&self, prompt: &str) -> String {
        self.ask_with(&[], prompt)
    }

    /// The same, with further arguments.
    pub(crate) fn ask_with(&self, arguments: &[&str], prompt: &str) -> String {
        let reply = self.send_with(arguments, prompt);
        let answer = reply["answer"]
            .as_str()
            .unwrap_or_else(|| panic!("no answer in {reply}"));
        answer.to_owned()
    }
}
