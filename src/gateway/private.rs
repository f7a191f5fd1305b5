//! The one list of files that neither file tools nor commands may touch. Pure.
//!
//! A part that keeps something private adds it here.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// What lies beside the database under its name with an ending.
const DATABASE_FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Where people keep keys, below their home.
const HOME_SECRETS: [&str; 10] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker/config.json",
    ".config/gh",
    ".config/gcloud",
    ".netrc",
    ".git-credentials",
];

/// Returns PicoBot's own files: database, lock, backups, token, configuration, `.env`. They need not exist.
pub(super) fn own_files(config: &Config, config_path: Option<&Path>) -> Vec<PathBuf> {
    let database = &config.gateway.session_db_path;
    let mut files: Vec<PathBuf> = DATABASE_FILES
        .iter()
        .map(|ending| beside(database, ending))
        .collect();
    files.push(database.with_extension("lock"));
    files.push(super::backups(config).folder().to_owned());
    files.push(config.state_dir.join("gateway.token"));
    files.push(config.state_dir.join("feishu-pairing.json"));
    files.push(config.state_dir.join("config.json"));
    files.push(config.workspace_dir.join(".env"));
    if let Some(path) = config_path {
        files.push(path.to_owned());
        files.push(path.with_file_name(".env"));
    }
    files
}

/// Returns what commands must not see: PicoBot's own files, and the person's keys unless the settings name them.
pub(super) fn hidden_from_commands(config: &Config, config_path: Option<&Path>) -> Vec<PathBuf> {
    let mut files = own_files(config, config_path);
    let sandbox = &config.sandbox;
    let named: Vec<&PathBuf> = sandbox
        .read_paths
        .iter()
        .chain(&sandbox.write_paths)
        .collect();
    // The gateway may have been started there, and read it.
    files.extend(named.iter().map(|folder| folder.join(".env")));
    if let Some(home) = config.state_dir.parent() {
        let secrets = HOME_SECRETS.iter().map(|name| home.join(name));
        files.extend(secrets.filter(|secret| !named.iter().any(|path| path.starts_with(secret))));
    }
    files
}

/// Returns the path with something added to its file name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_our_own_is_listed() {
        let config = Config::demo_default(Path::new("/home/x"));
        let files = own_files(&config, Some(Path::new("/etc/picobot.json")));
        for path in [
            "/home/x/.picobot/workspace/picobot.db",
            "/home/x/.picobot/workspace/picobot.db-journal",
            "/home/x/.picobot/workspace/picobot.lock",
            "/home/x/.picobot/backups",
            "/home/x/.picobot/gateway.token",
            "/home/x/.picobot/workspace/.env",
            "/etc/picobot.json",
            "/etc/.env",
        ] {
            assert!(files.contains(&path.into()), "{path}");
        }
    }

    #[test]
    fn keys_are_hidden_unless_the_settings_name_them() {
        let mut config = Config::demo_default(Path::new("/home/x"));
        config.sandbox.read_paths = vec!["/home/x".into(), "/home/x/.aws/config".into()];
        let files = hidden_from_commands(&config, None);
        assert!(files.contains(&"/home/x/.ssh".into()));
        assert!(!files.contains(&"/home/x/.aws".into()));
    }
}
