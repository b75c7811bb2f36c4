//! The reasons for which a command ends before its work is done, and their messages.

use instar_run::Cause;

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
    /// Any of these, and what kind of thing went wrong.
    Caused(Cause, Box<Self>),
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
            Self::Caused(cause, stop) => Self::Caused(cause, Box::new(stop.with_code(code))),
            other => other,
        }
    }

    /// The same, with something put before it if it is a message.
    #[must_use]
    pub fn after(self, words: &[u8]) -> Self {
        match self {
            Self::Message(text) => Self::Message([words, &text].concat()),
            Self::Caused(cause, stop) => Self::Caused(cause, Box::new(stop.after(words))),
            other => other,
        }
    }

    /// The same, for programs that ask for the kind of failure. What is known first counts.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        match self {
            Self::Caused(..) => self,
            _ => Self::Caused(cause, Box::new(self)),
        }
    }

    /// Its words for people, without the name of the program.
    #[must_use]
    pub fn words(&self) -> Vec<u8> {
        match self {
            Self::Done => Vec::new(),
            Self::Print(text)
            | Self::Usage(text)
            | Self::Misuse(text)
            | Self::Message(text)
            | Self::Coded(_, text) => text.clone(),
            Self::Signal(number) => format!("Ended by signal {number}").into_bytes(),
            Self::Messages(texts) => texts.join(&b"\n"[..]),
            Self::Caused(_, stop) => stop.words(),
        }
    }

    /// What kind of thing went wrong, if anything did. A message without one is about the command line.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Done | Self::Print(_) => None,
            Self::Signal(_) => Some(Cause::Interrupted),
            Self::Caused(cause, _) => Some(*cause),
            Self::Usage(_) | Self::Misuse(_) | Self::Message(_) | Self::Messages(_) | Self::Coded(..) => {
                Some(Cause::Arguments)
            }
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

/// Says the first of these that is so.
pub(crate) fn forbid<'a>(rules: impl IntoIterator<Item = (bool, &'a str)>) -> Step<()> {
    match rules.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, message)) => Err(Stop::say(message)),
        None => Ok(()),
    }
}

/// The guest ended well and left out what it was run for.
pub(crate) fn silent(without: &str) -> Stop {
    Stop::say(format!("the sandbox exited without {without}")).because(Cause::Sandbox)
}
