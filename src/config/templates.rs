//! The files a first run puts down: the example configuration, and `AGENTS.md` and `USER.md` of the workspace. Runs at
//! start on the calling thread. Never changes a file that is there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The commented example configuration.
pub(super) const EXAMPLE: &str = include_str!("../../resources/templates/config.example.json");

/// The shipped `AGENTS.md`: how to behave in this workspace.
pub const AGENTS_TEMPLATE: &str = include_str!("../../resources/templates/AGENTS.md");

/// The shipped `USER.md`: a form about the user.
pub const USER_TEMPLATE: &str = include_str!("../../resources/templates/USER.md");

const PRIVATE: u32 = 0o600;

/// The process's umask decides who else may read it.
const SHARED: u32 = 0o666;

/// Writes `~/.picobot/config.example.json` and the workspace's `AGENTS.md` and `USER.md` where missing.
///
/// Creates missing folders with mode 0700. Errors name the path.
pub fn release_templates(home: &Path, workspace: &Path) -> io::Result<()> {
    let state_dir = home.join(".picobot");
    create_dir(&state_dir)?;
    create_dir(workspace)?;
    write_if_missing(&state_dir.join("config.example.json"), EXAMPLE, PRIVATE)?;
    write_if_missing(&workspace.join("AGENTS.md"), AGENTS_TEMPLATE, SHARED)?;
    write_if_missing(&workspace.join("USER.md"), USER_TEMPLATE, SHARED)
}

fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| with_path(path, &error))
}

fn write_if_missing(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(with_path(path, &error)),
    }
    let temp = path.with_extension(format!("new-{}", std::process::id()));
    let written = write_new(&temp, text, mode).and_then(|()| fs::rename(&temp, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temp);
        with_path(path, &error)
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // A rest of a run that died has the same name only if its process id came round again.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn writes_what_is_missing_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let workspace = home.path().join(".picobot/workspace");
        release_templates(home.path(), &workspace).unwrap();
        let example = home.path().join(".picobot/config.example.json");
        assert_eq!(fs::read_to_string(&example).unwrap(), EXAMPLE);
        assert_eq!(mode(&example), 0o600);
        assert_eq!(mode(&home.path().join(".picobot")), 0o700);
        assert_eq!(mode(&workspace), 0o700);

        fs::write(workspace.join("AGENTS.md"), "mine").unwrap();
        fs::remove_file(workspace.join("USER.md")).unwrap();
        std::os::unix::fs::symlink("elsewhere", workspace.join("USER.md")).unwrap();
        fs::write(&example, "").unwrap();
        release_templates(home.path(), &workspace).unwrap();
        assert_eq!(
            fs::read_to_string(workspace.join("AGENTS.md")).unwrap(),
            "mine"
        );
        assert!(!workspace.join("USER.md").exists());
        assert_eq!(fs::read_to_string(&example).unwrap(), "");
        assert_eq!(fs::read_dir(&workspace).unwrap().count(), 2);
    }

    #[test]
    fn errors_name_the_path() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = release_templates(home.path(), &file.join("workspace")).unwrap_err();
        assert!(error.to_string().contains("file/workspace"), "{error}");
    }

    #[test]
    fn prompt_parts_are_short_and_the_two_examples_are_equal() {
        assert!(AGENTS_TEMPLATE.len() + USER_TEMPLATE.len() <= 1_500);
        assert_eq!(EXAMPLE, include_str!("../../config.example.json"));
    }
}
