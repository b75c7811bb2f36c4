//! What went wrong.

use std::fmt;

/// A call failed.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    errno: Option<i32>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was asked for makes no sense, or this image or format cannot do it.
    Arguments,
    /// A rule or a limit forbids it: another [`crate::Policy`] would allow it, or a file that is handed over.
    Refused,
    /// The image is broken, or not what it is said to be, or uses what instar does not read.
    Image,
    /// The system did not do what it was asked to.
    System,
    /// There is no space left, or no more of it for this user.
    NoSpace,
    /// Another process uses the image.
    Busy,
    /// A signal ended the worker, or whoever listened has gone.
    Interrupted,
    /// It took longer than [`crate::Policy::timeout`].
    TimedOut,
    /// No sandbox can be used here, or the sandboxed parser did not end as it should, behind which can be a hostile image.
    Sandbox,
    /// The program cannot be started, or is of another version than this library.
    Program,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The system's number for the reason, where the system refused something.
    #[must_use]
    pub const fn errno(&self) -> Option<i32> {
        self.errno
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            errno: None,
        }
    }

    /// Of the system.
    pub(crate) fn system(doing: &str, error: &std::io::Error) -> Self {
        let errno = error.raw_os_error();
        let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT];
        let is_full = full.map(|errno| Some(errno.raw_os_error())).contains(&errno);
        Self {
            kind: if is_full { Kind::NoSpace } else { Kind::System },
            message: format!("{doing}: {error}"),
            errno,
        }
    }

    /// As a worker says it.
    pub(crate) fn told(cause: &str, errno: Option<i32>, message: &[u8]) -> Self {
        let kind = match cause {
            "arguments" => Kind::Arguments,
            "refused" => Kind::Refused,
            "image" => Kind::Image,
            "no-space" => Kind::NoSpace,
            "busy" => Kind::Busy,
            "interrupted" => Kind::Interrupted,
            "timed-out" => Kind::TimedOut,
            "system" => Kind::System,
            _ => Kind::Sandbox,
        };
        Self {
            kind,
            message: String::from_utf8_lossy(message).into_owned(),
            errno,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
