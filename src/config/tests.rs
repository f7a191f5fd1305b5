//! Tests of loading as a whole: look-up, sections, problems, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::templates::EXAMPLE;
use super::*;

const MINIMAL: &str = r#"{
  "providers": {
    "openai": {"type": "openai", "base_url": "https://api.openai.com/v1", "api_key": "<OPENAI_API_KEY>", "extra_headers": {}}
  },
  "models": {
    "gpt-4o": {"model_id": "gpt-4o", "temperature": 0.7, "max_tokens": 4096, "input_type": ["text", "image"]}
  },
  "agents": {
    "default": {"provider": "openai", "model": "gpt-4o", "max_tool_iterations": 99, "token_limit": 128000}
  },
  "workspace_dir": "~/.picobot/workspace"
}
"#;

/// A machine with a home, a current folder and a few variables.
struct Machine {
    dir: tempfile::TempDir,
    options: LoadOptions,
}

impl Machine {
    fn new(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (home, cwd) = (dir.path().join("home"), dir.path().join("cwd"));
        fs::create_dir_all(home.join(".picobot")).unwrap();
        fs::create_dir_all(&cwd).unwrap();
        let pairs = env
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let options = LoadOptions {
            explicit: None,
            home,
            cwd,
            env: pairs.collect(),
        };
        Self { dir, options }
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(self.options.clone())
    }

    /// Returns a report without the machine's own folder.
    fn report(&self, text: &impl std::fmt::Display) -> String {
        let folder = self.dir.path().display().to_string();
        text.to_string().replace(&folder, "")
    }
}

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let machine = Machine::new(env);
    machine.write("cwd/config.json", text);
    machine.load()
}

/// Returns `line:column path` of every problem and its message.
fn problems(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let problems = match load_text(text, env) {
        Ok(loaded) => loaded.warnings,
        Err(errors) => errors.problems,
    };
    let lines = problems.into_iter().map(|problem| {
        let Position { line, column } = problem.position.unwrap();
        format!("{line}:{column} {}: {}", problem.path, problem.message)
    });
    lines.collect()
}

fn demo(sections: &str) -> String {
    format!(
        r#"{{"providers": {{"p": {{"type": "demo"}}}}, "models": {{"m": {{"model_id": "x"}}}},
"agents": {{"default": {{"provider": "p", "model": "m"}}}},
{sections}}}"#
    )
}

#[test]
fn nothing_at_all_gives_the_demo() {
    let machine = Machine::new(&[]);
    let loaded = machine.load().unwrap();
    let home = &machine.options.home;
    assert_eq!(loaded.path, None);
    assert_eq!(loaded.config, Config::demo_default(home));
    let config = loaded.config;
    let agent = config.default_agent();
    assert_eq!(config.provider_of(agent).unwrap().kind, ProviderKind::Demo);
    assert_eq!(config.model_of(agent).unwrap().model_id, "demo");
    assert_eq!(
        (agent.max_tool_iterations, agent.token_limit),
        (99, 128_000)
    );
    assert_eq!(config.workspace_dir, home.join(".picobot/workspace"));
    assert_eq!(
        config.gateway.session_db_path,
        home.join(".picobot/workspace/picobot.db")
    );
    assert_eq!(
        (config.gateway.host.as_str(), config.gateway.port),
        ("127.0.0.1", 19_876)
    );
    assert_eq!(config.gateway.auth, Auth::Auto);
    assert_eq!(config.gateway.max_connections, 4_096);
    assert_eq!(config.gateway.max_concurrent_turns, 64);
    assert_eq!(config.gateway.max_concurrent_background_tasks, 10);
    assert!(config.gateway.scheduler_enabled);
    assert_eq!(config.client.gateway_url, "ws://127.0.0.1:19876/ws");
    assert_eq!(config.memory.recall_limit, 5);
    assert_eq!(config.memory.timeline_retention_days, Some(90));
    assert_eq!(config.mcp.tool_timeout, Duration::from_secs(180));
    assert!(!config.browser.enabled);
    assert_eq!(config.sandbox.level, SandboxLevel::Workspace);
    assert!(config.sandbox.required && !config.sandbox.network);
    assert_eq!(config.sandbox.timeout, Duration::from_secs(120));
}

#[test]
fn a_file_without_any_agent_keeps_the_demo() {
    let loaded = load_text(r#"{"gateway": {"port": 0, "host": "[::]"}}"#, &[]).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.default_agent().provider, "demo");
    assert_eq!(
        (
            loaded.config.gateway.host.as_str(),
            loaded.config.gateway.port
        ),
        ("::", 0)
    );
    assert_eq!(loaded.config.client.gateway_url, "ws://[::1]:19876/ws");
    let loaded = load_text(r#"{"gateway": {"port": 7}}"#, &[]).unwrap();
    assert_eq!(loaded.config.client.gateway_url, "ws://127.0.0.1:7/ws");
}

#[test]
fn the_minimal_file_loads_unchanged() {
    let loaded = load_text(MINIMAL, &[("OPENAI_API_KEY", "sk-test-1234")]).unwrap();
    assert_eq!(loaded.warnings, []);
    let provider = &loaded.config.providers["openai"];
    assert_eq!(provider.kind, ProviderKind::OpenAi);
    assert_eq!(provider.api_keys[0].expose(), "sk-test-1234");
    assert_eq!(provider.time_limits, TimeLimits::default());
    let model = &loaded.config.models["gpt-4o"];
    assert_eq!(
        (model.temperature, model.max_tokens),
        (Some(0.7), Some(4_096))
    );
    assert!(model.takes_images());
    assert_eq!(loaded.secrets, [Secret::new("sk-test-1234")]);
    assert!(!format!("{loaded:?}").contains("sk-test"));
}

#[test]
fn files_are_looked_up_in_order() {
    let mut machine = Machine::new(&[]);
    let local = machine.write("cwd/config.json", "{}");
    assert_eq!(machine.load().unwrap().path, Some(local));
    let own = machine.write("home/.picobot/config.json", "{}");
    assert_eq!(machine.load().unwrap().path, Some(own));
    let explicit = machine.write("cwd/other.json", "{}");
    machine.options.explicit = Some("other.json".into());
    assert_eq!(machine.load().unwrap().path, Some(explicit));
    machine.options.explicit = Some("none.json".into());
    let error = machine.load().unwrap_err();
    assert_eq!(
        machine.report(&error),
        "/cwd/none.json: there is no such file\n  hint: ~/.picobot/config.example.json is a commented example"
    );
    machine.options.explicit = Some(".".into());
    assert!(
        machine
            .load()
            .unwrap_err()
            .to_string()
            .contains("this is a folder")
    );
}

#[test]
fn files_that_cannot_be_text_are_refused() {
    let big = " ".repeat((1 << 20) + 1);
    for (bytes, expected) in [
        (big.as_bytes(), ": the file is larger than 1 MiB"),
        (
            b"{\n\"\xE5\xAF\x86\xFF\": 1}",
            ":2:3: the file is not UTF-8 from here on",
        ),
        (b"\xFF\xFE{\0}\0", ": the file is UTF-16, not UTF-8"),
        (b"", ":1:1: the file holds no JSON value"),
        (b"[]", ":1:1: expected an object { … }, found a list"),
    ] as [(&[u8], &str); 5]
    {
        let machine = Machine::new(&[]);
        machine.write("cwd/config.json", bytes);
        let report = machine.report(&machine.load().unwrap_err());
        assert!(report.contains(expected), "{report}");
    }
    let machine = Machine::new(&[]);
    machine.write("cwd/config.json", "\u{feff}{\"x\": 1}");
    let warnings = machine.load().unwrap().warnings;
    assert_eq!(warnings[0].position, Some(Position { line: 1, column: 2 }));
}

#[test]
fn the_environment_wins_over_dotenv() {
    let mut machine = Machine::new(&[("OPENAI_API_KEY", "from-process")]);
    machine.write("cwd/config.json", MINIMAL);
    machine.write(
        "cwd/.env",
        "OPENAI_API_KEY=from-dotenv\nbad line with sk-secret\n",
    );
    let key = |machine: &Machine| {
        let config = machine.load().unwrap().config;
        config.providers["openai"].api_keys[0].expose().to_owned()
    };
    assert_eq!(key(&machine), "from-process");
    machine.options.env.clear();
    assert_eq!(key(&machine), "from-dotenv");
    let warnings = machine.load().unwrap().warnings;
    assert_eq!(
        machine.report(&warnings[0]),
        "/cwd/.env:2:1: warning: line ignored: expected NAME=value"
    );
    assert!(std::env::var_os("OPENAI_API_KEY").is_none_or(|value| value != "from-dotenv"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let machine = Machine::new(&[("OPENAI_KEY", "sk-other")]);
    machine.write(
        "cwd/config.json",
        r#"{
  // 模型
  "providers": {
    "阿里": {"type": "opnai", "api_key": "sk-very-secret-1"},
    "main": {"type": "openai", "base_url": "ftp://x", "api_key": "<OPENAI_API_KEY>"},
    "main": {"type": "demo"},
  },
  "models": {"m": {"model_id": "m", "temperature": 3, "input_type": ["text", "video"]}},
  "agents": {
    "default": {"provider": "mian", "model": "m", "max_tool_iterations": 100},
    "second": {"provider": "main"},
  },
  "gateway": {"port": "19876", "auth": "none", "api_kee": "sk-very-secret-2", "prot": 1},
  "workspce_dir": "~/x",
}"#,
    );
    let report = machine.report(&machine.load().unwrap_err());
    assert!(!report.contains("very-secret"), "{report}");
    insta::assert_snapshot!(report);
}

#[test]
fn placeholders_count_only_in_sections_in_use() {
    let text = demo(
        r#""channels": {"feishu": {"enabled": false, "app_id": "<F_ID>", "app_secret": "<F_SECRET>"}},
"mcp": {"servers": {"off": {"enabled": false, "command": "x", "env": {"K": "<M_KEY>"}}}},
"browser": {"webdriver_url": "<B_URL>"}"#,
    );
    assert_eq!(problems(&text, &[]), [""; 0]);
    let loaded = load_text(&text, &[]).unwrap();
    assert_eq!(loaded.config.channels.feishu[0].app_secret, None);
    assert_eq!(loaded.config.browser.webdriver_url, None);

    let text = text.replace("\"enabled\": false", "\"enabled\": true");
    let text = text.replace("\"browser\": {", "\"browser\": {\"enabled\": true, ");
    assert_eq!(
        problems(&text, &[]),
        [
            "3:52 channels.feishu.app_id: F_ID is not set",
            "3:76 channels.feishu.app_secret: F_SECRET is not set",
            "4:75 mcp.servers.off.env.K: M_KEY is not set",
            "5:47 browser.webdriver_url: B_URL is not set",
        ]
    );

    let unused = r#""spare": {"type": "openai", "api_key": "<SPARE_KEY>"}, "openai":"#;
    let text = MINIMAL.replace("\"openai\":", unused);
    let loaded = load_text(&text, &[("OPENAI_API_KEY", "k")]).unwrap();
    assert_eq!(loaded.config.providers["spare"].api_keys, []);
    assert_eq!(problems(&text, &[("OPENAI_API_KEY", "")]).len(), 1);
}

#[test]
fn wrong_values_are_found_where_they_stand() {
    for (sections, expected) in [
        (r#""gateway": 1"#, "3:12 gateway: expected an object { … }"),
        (
            r#""gateway": {"port": 65536}"#,
            "3:21 gateway.port: expected a whole number from 0 to 65535",
        ),
        (
            r#""gateway": {"port": 1.5}"#,
            "3:21 gateway.port: expected a whole number from 0 to 65535",
        ),
        (
            r#""gateway": {"port": -1}"#,
            "3:21 gateway.port: expected a whole number from 0 to 65535",
        ),
        (
            r#""gateway": {"host": "http://x"}"#,
            "3:21 gateway.host: expected an address or host name without scheme and port",
        ),
        (
            r#""gateway": {"max_concurrent_turns": 0}"#,
            "3:37 gateway.max_concurrent_turns: expected a whole number from 1 to 1024",
        ),
        (
            r#""gateway": {"scheduler": {"enabled": "yes"}}"#,
            "3:38 gateway.scheduler.enabled: expected true or false",
        ),
        (
            r#""gateway": {"allowed_origins": "x"}"#,
            "3:32 gateway.allowed_origins: expected a list [ … ]",
        ),
        (
            r#""gateway": {"allowed_hosts": ["a", " "]}"#,
            "3:36 gateway.allowed_hosts[1]: expected a text that is not blank",
        ),
        (
            r#""gateway": {"session_db_path": "~other/x"}"#,
            "3:32 gateway.session_db_path: expected a path; only ~ and ~/… are expanded, not other users' homes",
        ),
        (
            r#""client": {"gateway_url": "http://x"}"#,
            "3:27 client.gateway_url: expected an address ws://host… or wss://host… without user name or spaces",
        ),
        (
            r#""channels": {"feishu": {"app_id": "", "app_secret": "s"}}"#,
            "3:35 channels.feishu.app_id: expected the app's id, cli_…",
        ),
        (
            r#""channels": {"feishu": [{"app_id": "a"}]}"#,
            "3:25 channels.feishu[0].app_secret: missing; expected the app's secret",
        ),
        (
            r#""channels": {"feishu": [{"app_id": "a", "app_secret": "s", "mode": "webhook", "encrypt_key": "k", "webhook_path": "/x"},
                {"app_id": "b", "app_secret": "s", "mode": "webhook", "encrypt_key": "k", "webhook_path": "/x"}]}"#,
            "4:107 channels.feishu[1].webhook_path: expected a path that no other bot has",
        ),
        (
            r#""channels": {"feishu": [1]}"#,
            "3:25 channels.feishu[0]: expected an object { … }",
        ),
        (
            r#""mcp": {"servers": {"a.b": {"transport": "stdio"}}}"#,
            "3:28 mcp.servers.\"a.b\".command: missing; expected the program of a stdio server",
        ),
        (
            r#""mcp": {"servers": {"a": {"url": "http://u:p@h/"}}}"#,
            "3:34 mcp.servers.a.url: expected an address http://host… or https://host… without user name or spaces",
        ),
        (
            r#""mcp": {"servers": {"a": {"url": "http://h", "headers": {"A B": "x"}}}}"#,
            "3:65 mcp.servers.a.headers.\"A B\": expected an HTTP header name of letters, digits and -",
        ),
        (
            r#""mcp": {"servers": {"a": {"url": "http://h", "headers": {"A": "x\ny"}}}}"#,
            "3:63 mcp.servers.a.headers.A: expected a header value without line ends or control characters",
        ),
        (
            r#""sandbox": {"level": "none"}"#,
            "3:22 sandbox.level: expected \"off\" or \"workspace\" or \"full\"",
        ),
        (
            r#""sandbox": {"env": ["A=1"]}"#,
            "3:21 sandbox.env[0]: expected the name of an environment variable: letters, digits and _",
        ),
        (
            r#""sandbox": {"timeout_secs": 601}"#,
            "3:29 sandbox.timeout_secs: expected a whole number from 1 to 600",
        ),
        (
            r#""approvals": {"x": 1}"#,
            "3:15 approvals.x: unknown key, ignored",
        ),
        (
            r#""memory": {"recall_limit": 1, "recall_limit": 2}"#,
            "3:31 memory.recall_limit: this name is given twice",
        ),
        (
            r#""version": 2"#,
            "3:12 version: expected a whole number from 1 to 1",
        ),
    ] {
        assert_eq!(problems(&demo(sections), &[]), [expected], "{sections}");
    }
}

#[test]
fn agents_need_what_they_name() {
    for (text, expected) in [
        (
            r#"{"agents": {}}"#,
            "1:12 agents: expected an agent named \"default\"",
        ),
        (
            r#"{"models": {}}"#,
            "1:1 agents: expected an agent named \"default\"",
        ),
        (
            r#"{"providers": {"p": {}}, "models": {"m": {"model_id": ""}}, "agents": {"default": {"provider": "p", "model": "m"}}}"#,
            "1:21 providers.p.type: missing; expected \"openai\" or \"anthropic\" or \"demo\"",
        ),
    ] {
        assert_eq!(problems(text, &[])[0], expected);
    }
    let errors = load_text(
        &MINIMAL.replace(r#""provider": "openai""#, r#""provider": "opnai""#),
        &[],
    );
    let problem = &errors.unwrap_err().problems[0];
    assert_eq!(problem.found.as_deref(), Some("\"opnai\""));
    assert_eq!(problem.hint.as_deref(), Some("did you mean `openai`?"));
}

#[test]
fn paths_are_expanded() {
    let machine = Machine::new(&[]);
    machine.write(
        "home/.picobot/config.json",
        demo(
            r#""workspace_dir": "./work", "gateway": {"session_db_path": "{workspace_dir}/x.db"},
"sandbox": {"read_paths": ["~", "~/a", "/opt", "data"]},
"channels": {"feishu": [{"app_id": "a", "app_secret": "b"}, {"app_id": "a", "app_secret": "b", "media_dir": "m"}]},
"mcp": {"servers": {"a": {"command": "npx"}, "b": {"command": "~/bin/x"}, "c": {"command": "./x"}}}"#,
        ),
    );
    let config = machine.load().unwrap().config;
    let home = &machine.options.home;
    let base = home.join(".picobot");
    assert_eq!(config.workspace_dir, base.join("work"));
    assert_eq!(config.gateway.session_db_path, base.join("work/x.db"));
    assert_eq!(
        config.sandbox.read_paths,
        [
            home.clone(),
            home.join("a"),
            "/opt".into(),
            base.join("data")
        ]
    );
    let bots = &config.channels.feishu;
    assert_eq!(bots[0].media_dir, base.join("work/media/feishu"));
    assert_eq!(
        (bots[1].name.as_str(), &bots[1].media_dir),
        ("feishu-2", &base.join("m"))
    );
    let command = |name: &str| Path::new(&config.mcp.servers[name].command).to_owned();
    assert_eq!(command("a"), Path::new("npx"));
    assert_eq!(command("b"), home.join("bin/x"));
    assert_eq!(command("c"), base.join("x"));
    assert_eq!(config.mcp.servers["a"].transport, McpTransport::Stdio);
}

#[test]
fn secrets_are_kept_for_redaction_and_plain_headers_are_not() {
    let text = MINIMAL.replace(
        "\"extra_headers\": {}",
        r#""extra_headers": {"Accept": "application/json", "X-Auth": "Bearer <OPENAI_API_KEY>", "X-Id": "a1b2c3d4e5f6a1b2c3d4"}"#,
    );
    let loaded = load_text(&text, &[("OPENAI_API_KEY", "sk-1")]).unwrap();
    let secrets: Vec<&str> = loaded.secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, ["Bearer sk-1", "a1b2c3d4e5f6a1b2c3d4", "sk-1"]);
    let headers = &loaded.config.providers["openai"].extra_headers;
    assert_eq!(headers["Accept"].expose(), "application/json");
}

#[test]
fn a_secret_in_a_file_for_all_eyes_warns() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new(&[("OPENAI_API_KEY", "k")]);
    for (text, n_warnings) in [
        (MINIMAL.to_owned(), 0),
        (MINIMAL.replace("<OPENAI_API_KEY>", "sk-9"), 1),
    ] {
        let path = machine.write("cwd/config.json", text);
        assert_eq!(machine.load().unwrap().warnings, []);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = machine.load().unwrap().warnings;
        assert_eq!(warnings.len(), n_warnings);
        assert!(
            warnings
                .iter()
                .all(|warning| !warning.to_string().contains("sk-9"))
        );
    }
}

#[test]
fn everyone_in_an_allow_list_warns() {
    let text =
        demo(r#""channels": {"feishu": {"app_id": "a", "app_secret": "b", "allow_from": ["*"]}}"#);
    assert_eq!(
        problems(&text, &[]),
        ["3:73 channels.feishu.allow_from: \"*\" lets everyone talk to this bot"]
    );
}

fn priced(price: &str, budget: &str) -> String {
    format!(
        r#"{{"providers": {{"p": {{"type": "openai", "base_url": "http://127.0.0.1/v1"}}}}, "models": {{"m": {{"model_id": "x"
{price}}}}}, "agents": {{"default": {{"provider": "p", "model": "m"}}}}
{budget}}}"#
    )
}

#[test]
fn prices_and_budgets_are_read() {
    let text = priced(
        r#", "price": {"input": 0.8, "output": 2, "cached_input": 0, "currency": "CNY"}"#,
        r#", "budget": {"per_day": 5, "per_month": 50.5, "currency": "CNY"}"#,
    );
    let loaded = load_text(&text, &[]).unwrap();
    assert_eq!(loaded.warnings, []);
    let price = loaded.config.models["m"].price.clone().unwrap();
    assert_eq!(
        (price.input, price.output, price.cached_input),
        (0.8, 2.0, Some(0.0))
    );
    assert_eq!(price.currency, "CNY");
    let budget = loaded.config.budget;
    assert_eq!((budget.per_day, budget.per_month), (Some(5.0), Some(50.5)));
    assert_eq!(budget.currency, "CNY");

    let loaded = load_text(&priced(r#", "price": {"input": 1, "output": 0}"#, ""), &[]).unwrap();
    let price = loaded.config.models["m"].price.clone().unwrap();
    assert_eq!((price.cached_input, price.currency.as_str()), (None, "USD"));
    let budget = loaded.config.budget;
    assert_eq!((budget.per_day, budget.per_month), (None, None));
    assert_eq!(
        load_text(&priced("", ""), &[]).unwrap().config.models["m"].price,
        None
    );
}

#[test]
fn wrong_prices_and_budgets_are_found() {
    for (price, budget, expected) in [
        (
            r#", "price": {"output": 1}"#,
            "",
            "2:12 models.m.price.input: missing; expected the price of a million tokens",
        ),
        (
            r#", "price": {"input": -1, "output": 1}"#,
            "",
            "2:22 models.m.price.input: expected a number from 0 to 1000000000",
        ),
        (
            r#", "price": {"input": 1, "output": 1, "currency": "usd"}"#,
            "",
            "2:50 models.m.price.currency: expected the three capital letters of a currency, such as \"USD\"",
        ),
        (
            "",
            r#", "budget": {"per_day": "5"}"#,
            "3:25 budget.per_day: expected a number from 0 to 1000000000",
        ),
    ] {
        assert_eq!(problems(&priced(price, budget), &[]), [expected]);
    }
}

#[test]
fn calls_that_a_budget_cannot_see_warn() {
    let budget = r#", "budget": {"per_day": 5}"#;
    let unpriced = ["3:13 budget: the model \"m\" has no price, its calls count for nothing"];
    assert_eq!(problems(&priced("", budget), &[]), unpriced);
    let yuan = r#", "price": {"input": 1, "output": 1, "currency": "CNY"}"#;
    let foreign = ["3:13 budget: the model \"m\" is priced in CNY, its calls count for nothing"];
    assert_eq!(problems(&priced(yuan, budget), &[]), foreign);
    assert_eq!(
        problems(&priced(yuan, r#", "budget": {"currency": "USD"}"#), &[]),
        [""; 0]
    );
    assert_eq!(problems(&demo(r#""budget": {"per_day": 5}"#), &[]), [""; 0]);
}

#[test]
fn a_flood_of_problems_is_counted() {
    let keys: Vec<String> = (0..300).map(|n| format!("\"unknown-{n}\": 1")).collect();
    let errors = load_text(&format!("{{{}, \"agents\": {{}}}}", keys.join(",")), &[]).unwrap_err();
    assert_eq!((errors.problems.len(), errors.n_left_out), (100, 201));
    assert!(errors.to_string().ends_with("… and 201 more"));
}

const EXAMPLE_ENV: [(&str, &str); 1] = [("OPENAI_API_KEY", "sk-example-key")];

#[test]
fn the_example_loads_without_a_word() {
    assert_eq!(problems(EXAMPLE, &EXAMPLE_ENV), [""; 0]);
    let loaded = load_text(EXAMPLE, &EXAMPLE_ENV).unwrap();
    let defaults = Config::demo_default(Path::new("/home/x"));
    let config = loaded.config;
    assert_eq!(config.gateway.cleanup, defaults.gateway.cleanup);
    assert_eq!(config.sandbox, defaults.sandbox);
    assert_eq!(config.memory, defaults.memory);
}

/// Every key the reader asks for, from the hints it gives on unknown ones.
fn known_keys() -> BTreeSet<String> {
    let text = demo(
        r#""zzzzzzzzzz": 0, "client": {"zzzzzzzzzz": 0}, "memory": {"zzzzzzzzzz": 0}, "sandbox": {"zzzzzzzzzz": 0},
"gateway": {"zzzzzzzzzz": 0, "cleanup": {"zzzzzzzzzz": 0}, "scheduler": {"zzzzzzzzzz": 0}},
"channels": {"zzzzzzzzzz": 0, "feishu": {"zzzzzzzzzz": 0, "enabled": false, "groups": {"oc_1": {"zzzzzzzzzz": 0}}}},
"mcp": {"zzzzzzzzzz": 0, "servers": {"a": {"zzzzzzzzzz": 0, "enabled": false}}},
"browser": {"zzzzzzzzzz": 0}, "budget": {"zzzzzzzzzz": 0}, "tools": {"zzzzzzzzzz": 0, "http": {"zzzzzzzzzz": 0}, "results": {"zzzzzzzzzz": 0}},
"approvals": {"zzzzzzzzzz": 0, "rules": [{"zzzzzzzzzz": 0, "decision": "ask"}]}"#,
    );
    let text = text.replace("\"type\"", "\"zzzzzzzzzz\": 0, \"type\"");
    let text = text.replace("\"model_id\"", "\"zzzzzzzzzz\": 0, \"price\": {\"input\": 1, \"output\": 2, \"zzzzzzzzzz\": 0}, \"model_id\"");
    let text = text.replace("\"provider\"", "\"zzzzzzzzzz\": 0, \"provider\"");
    let warnings = load_text(&text, &[]).unwrap().warnings;
    assert_eq!(warnings.len(), 23);
    let hints = warnings
        .iter()
        .filter_map(|warning| warning.hint.as_deref()?.strip_prefix("known keys: "));
    hints
        .flat_map(|hint| hint.split(", ").map(str::to_owned))
        .collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let keys = known_keys();
    assert!(keys.len() > 60, "{keys:?}");
    let reference = include_str!("../../docs/config.md");
    let documented: BTreeSet<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key.rsplit('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(keys, documented);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_edits_never_panic_and_point_into_the_file(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_usize, "[\\[\\]{}\",:<>a-z0-9/* \n密\u{1b}-]{0,6}"), 1..6)
    ) {
        let mut chars: Vec<char> = EXAMPLE.chars().collect();
        for (at, n_removed, inserted) in &edits {
            let at = at.index(chars.len() + 1);
            let end = (at + n_removed).min(chars.len());
            chars.splice(at..end, inserted.chars());
        }
        let text: String = chars.into_iter().collect();
        let problems = match load_text(&text, &EXAMPLE_ENV) {
            Ok(loaded) => loaded.warnings,
            Err(errors) => errors.problems,
        };
        let lines: Vec<&str> = text.split('\n').collect();
        for problem in problems {
            let Position { line, column } = problem.position.unwrap();
            prop_assert!((1..=lines.len()).contains(&line), "{problem}");
            let n_columns = lines[line - 1].chars().count() + 1;
            prop_assert!((1..=n_columns).contains(&column), "{problem}");
            let rendered = problem.to_string();
            prop_assert!(!rendered.contains("sk-example-key"));
            let has_escape = rendered.contains('\u{1b}');
            prop_assert!(!has_escape);
        }
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,80}") {
        let _ = load_text(&text, &[]);
    }
}

#[test]
fn the_process_environment_is_read() {
    let env: BTreeMap<String, String> = process_env();
    assert_eq!(
        env.get("PATH").map(String::as_str),
        std::env::var("PATH").ok().as_deref()
    );
}
