//! Why a command ends before its work is done, and what is then said.

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What was asked for has been printed.
    Done,
    /// This is to be printed, and nothing else is to be done.
    Print(Vec<u8>),
    /// The command line is none. In getopt's words, which follow the program's and the verb's name.
    Usage(Vec<u8>),
    /// A message, then the line that says where help is.
    Misuse(Vec<u8>),
    /// A message; further lines follow without prefix.
    Message(Vec<u8>),
    /// This signal shall be seen as what ended us.
    Signal(i32),
    /// Several messages, each with its prefix.
    Messages(Vec<Vec<u8>>),
    /// A message, and an exit code that is not 1.
    Coded(u8, Vec<u8>),
}

impl Stop {
    /// A message.
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
