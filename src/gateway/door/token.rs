//! The gateway's token file: 32 random bytes as 64 hex digits, readable by its owner alone. Runs at start and in our own
//! clients; never on `gateway-io`.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::Secret;

const TOKEN_BYTES: usize = 32;
const HEX_DIGITS: usize = 2 * TOKEN_BYTES;
/// More than a token with a line end; a longer file is not read further.
const MAX_FILE_BYTES: u64 = 128;

/// Why the token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Others may read or change the file, or change the folder it is in.
    #[error("{path} can be used by others (mode {mode:o}); run `chmod {wanted:o} {path}`")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The bits it may have at most.
        wanted: u32,
    },
    /// The file or its folder belongs to another user.
    #[error("{path} belongs to another user")]
    NotOurs {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file does not hold a token.
    #[error("{path} does not hold a token of 64 hex digits; delete it to get a new one")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot use the token file {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Reads the token, or makes one if there is no file. Blocks on the disk.
///
/// A new file appears complete or not at all; of two processes that make one at the same time both use the first.
pub fn load_or_create(path: &Path) -> Result<Secret, TokenError> {
    if let Some(token) = load(path)? {
        return Ok(token);
    }
    create(path)?;
    load(path)?.ok_or_else(|| failed(path, ErrorKind::NotFound.into()))
}

/// Reads the token; `None` if there is no file. Blocks on the disk.
pub fn load(path: &Path) -> Result<Option<Secret>, TokenError> {
    let opened = OpenOptions::new()
        .read(true)
        // A pipe must not block the start, and a link must not lead elsewhere.
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, error)),
    };
    check_file(path, &file)?;
    check_folder(folder_of(path))?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(path, error))?;
    let token = text.trim_ascii_end();
    if token.len() != HEX_DIGITS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(TokenError::Malformed {
            path: path.to_owned(),
        });
    }
    Ok(Some(Secret::new(token)))
}

fn check_file(path: &Path, file: &File) -> Result<(), TokenError> {
    let info = file.metadata().map_err(|error| failed(path, error))?;
    if !info.is_file() {
        return Err(TokenError::Malformed {
            path: path.to_owned(),
        });
    }
    check_owner_and_mode(path, &info, 0o600)
}

/// Others may look into the folder but not put another file in the token's place.
fn check_folder(folder: &Path) -> Result<(), TokenError> {
    let info = fs::metadata(folder).map_err(|error| failed(folder, error))?;
    check_owner_and_mode(folder, &info, 0o755)
}

fn check_owner_and_mode(path: &Path, info: &fs::Metadata, wanted: u32) -> Result<(), TokenError> {
    if info.uid() != rustix::process::geteuid().as_raw() {
        return Err(TokenError::NotOurs {
            path: path.to_owned(),
        });
    }
    let mode = info.mode() & 0o777;
    if mode & 0o077 & !wanted != 0 {
        return Err(TokenError::Exposed {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), TokenError> {
    let folder = folder_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(folder, error))?;
    let draft = folder.join(format!(".token-{}", random_hex::<8>(path)?));
    let made = write_draft(&draft, random_hex::<TOKEN_BYTES>(path)?).and_then(|()| {
        match fs::hard_link(&draft, path) {
            // Somebody was faster; theirs is the token.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    let removed = fs::remove_file(&draft);
    made.and(removed)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| failed(path, error))
}

fn write_draft(draft: &Path, token: String) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(format!("{token}\n").as_bytes())?;
    file.sync_all()
}

fn random_hex<const N: usize>(path: &Path) -> Result<String, TokenError> {
    let mut bytes = [0u8; N];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| failed(path, errno.into()))?;
    let mut hex = String::with_capacity(2 * N);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(hex)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, source: io::Error) -> TokenError {
    TokenError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state").join("gateway.token");
        (home, path)
    }

    #[test]
    fn makes_a_private_token_once() {
        let (_home, path) = place();
        assert!(load(&path).unwrap().is_none());
        let token = load_or_create(&path).unwrap();
        assert_eq!(token.expose().len(), 64);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(folder_of(&path)), 0o700);
        assert_eq!(load_or_create(&path).unwrap(), token);
        assert_eq!(fs::read_dir(folder_of(&path)).unwrap().count(), 1);

        let (_other_home, other) = place();
        assert_ne!(load_or_create(&other).unwrap(), token);
    }

    #[test]
    fn two_makers_agree() {
        let (_home, path) = place();
        let (tell, told) = crossbeam_channel::bounded(8);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (path, tell) = (path.clone(), tell.clone());
                crate::threads::spawn("maker", 128 * 1024, move || {
                    tell.send(load_or_create(&path).unwrap()).unwrap();
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            thread
                .join_within(std::time::Duration::from_secs(60))
                .unwrap();
        }
        let tokens: Vec<_> = told.try_iter().collect();
        assert_eq!(tokens.len(), 8);
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    #[test]
    fn refuses_what_others_can_touch() {
        let (_home, path) = place();
        load_or_create(&path).unwrap();
        for bad in [0o640, 0o604, 0o660, 0o777, 0o620] {
            set_mode(&path, bad);
            let error = load_or_create(&path).unwrap_err();
            assert!(matches!(&error, TokenError::Exposed { mode, .. } if *mode == bad));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        set_mode(&path, 0o400);
        load_or_create(&path).unwrap();
        set_mode(folder_of(&path), 0o770);
        let error = load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 755"), "{error}");
    }

    #[test]
    fn refuses_what_is_no_token_file() {
        let (_home, path) = place();
        load_or_create(&path).unwrap();
        for text in ["", "short\n", &"g".repeat(64), &"a".repeat(500)] {
            fs::write(&path, text).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(matches!(error, TokenError::Malformed { .. }), "{text}");
            let shown = error.to_string();
            assert!(
                text.is_empty() || !shown.contains(text.trim_end()),
                "{shown}"
            );
        }
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        assert!(matches!(
            load_or_create(&path).unwrap_err(),
            TokenError::Io { .. }
        ));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            load_or_create(&path).unwrap_err(),
            TokenError::Malformed { .. }
        ));
    }
}
