//! The reasons for which a command ends before its work is done, and their messages.

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The requested output has been printed.
    Done,
    /// Print this, and do nothing else.
    Print(Vec<u8>),
    /// The command line is invalid. A message in getopt's words, after the names of the program and the verb.
    Usage(Vec<u8>),
    /// A message, and then a line that points to the help.
    Misuse(Vec<u8>),
    /// A message; further lines follow without a prefix.
    Message(Vec<u8>),
    /// The program ends by this signal, and its parent sees that.
    Signal(i32),
    /// Several messages, each with its prefix.
    Messages(Vec<Vec<u8>>),
    /// A message, and an exit code that is not 1.
    Coded(u8, Vec<u8>),
}

impl Stop {
    #[must_use]
    pub fn say(text: impl Into<Vec<u8>>) -> Self {
        Self::Message(text.into())
    }

    /// The same, with this exit code if it is a message.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        match self {
            Self::Message(text) => Self::Coded(code, text),
            other => other,
        }
    }
}

impl From<crate::flags::UsageError> for Stop {
    fn from(error: crate::flags::UsageError) -> Self {
        Self::Usage(error.0)
    }
}

/// What a step of a command gives.
pub type Step<T> = Result<T, Stop>;
