//! Why a file of the workspace could not be used, in words a model can act on.

use rustix::io::Errno;

/// A refusal or failure of the file layer.
///
/// Each text continues a sentence that starts with the path, and says what to do next. None of them names anything
/// outside the workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The path itself is unusable.
    #[error("{0}")]
    Path(&'static str),
    /// The path, or a link in it, leads out of the workspace.
    #[error("this leads outside the workspace; use a path inside it, relative to it")]
    Outside,
    /// Nothing is there; the text lists what is near.
    #[error("there is no such file or folder. {0}")]
    Missing(String),
    /// Nothing is there and nothing near is known.
    #[error("it is gone; list the folder with file_read and try again")]
    Gone,
    /// PicoBot's own files and git's hooks and configuration.
    #[error("this file is off limits for file tools; go on without it")]
    OffLimits,
    /// A FIFO, socket or device.
    #[error("this is {0}, not a regular file; file tools leave it alone")]
    Special(&'static str),
    /// A folder where a file is needed.
    #[error("this is a folder; give the path of a file in it")]
    Folder,
    /// A file in the middle of a path.
    #[error("a part of this path is a file, not a folder; check the path")]
    NotAFolder,
    /// The file has several names; replacing it would part them.
    #[error(
        "this file has several names (hard links), so it is not replaced; write to a new path instead"
    )]
    HardLinked,
    /// A link to nothing.
    #[error("this is a link that leads nowhere; use another path, or remove the link with bash")]
    DeadLink,
    /// The file changed between reading and writing.
    #[error(
        "the file was changed by someone else meanwhile; read it again, then repeat the change"
    )]
    Changed,
    /// The file is bigger than the caller takes.
    #[error(
        "the file has {size} bytes, more than the limit of {limit}; use bash for files this big"
    )]
    TooBig {
        /// Size of the file in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The disk or the quota is full.
    #[error("not written: the disk is full; tell the user, then free space")]
    DiskFull,
    /// The system refused for want of permission.
    #[error("permission denied by the system; tell the user or use another path")]
    Denied,
    /// Anything else the system said.
    #[error("the system refused ({0}); try another path or tell the user")]
    System(String),
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Gone,
            Errno::XDEV => Self::Outside,
            Errno::NOTDIR => Self::NotAFolder,
            Errno::ISDIR => Self::Folder,
            Errno::LOOP => {
                Self::Path("this path goes through links that are not followed; use the real path")
            }
            Errno::NAMETOOLONG => {
                Self::Path("a name in this path is too long (255 bytes at most); use a shorter one")
            }
            Errno::NXIO => Self::Special("a socket or a device"),
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Denied,
            other => Self::System(std::io::Error::from(other).kind().to_string()),
        }
    }
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Self::System(error.kind().to_string()),
        }
    }
}
