//! A case: what is made, what both programs are told, and what is looked at.

use std::sync::Arc;

use instar_tests::Sandbox;

use crate::content::Piece;
use crate::edit::Edit;

/// A case, which knows nothing of how it was drawn.
#[derive(Clone, Debug)]
pub struct Case {
    pub steps: Vec<Step>,
    /// Where instar runs.
    pub sandbox: Sandbox,
}

impl Case {
    /// Bytes of an image were changed.
    pub(crate) fn is_edited(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Edit(_)))
    }

    /// Both programs write something that is looked at later.
    pub(crate) fn is_written(&self) -> bool {
        let looks = ["info", "map", "check", "measure", "compare"];
        let writes = |step: &Step| match step {
            Step::Both(words) => !looks.contains(&words[0].as_str()) || words.iter().any(|word| word == "-r"),
            _ => false,
        };
        self.steps.iter().any(writes)
    }

    /// Setup or a command names this format.
    pub(crate) fn has_format(&self, format: &str) -> bool {
        let named = |words: &[String]| words.iter().any(|word| word == format);
        self.steps.iter().any(|step| match step {
            Step::Both(words) | Step::Setup(words) => named(words),
            Step::Io(of, ..) | Step::Same(_, of) => of == format,
            _ => false,
        })
    }
}

/// One step of it. Names are those of files in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A raw disk of so many bytes.
    Disk(String, u64, Vec<Piece>),
    /// A file with these bytes.
    File(String, Arc<[u8]>),
    /// qemu-img makes something. A case whose setup fails is void.
    Setup(Vec<String>),
    /// qemu-io, in both directories: format, image, commands.
    Io(String, String, Vec<String>),
    /// Bytes of a file are changed, in both directories.
    Edit(Edit),
    /// Both programs are told this, and must answer alike.
    Both(Vec<String>),
    /// If the last command succeeded, both directories hold the same disk in this file: name, format.
    Same(String, String),
}

impl Step {
    /// It makes what the judged steps work on, and gives the same each time.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        matches!(
            self,
            Self::Disk(..) | Self::File(..) | Self::Setup(_) | Self::Io(..)
        )
    }

    /// qemu-img, as setup, with the words of `line`.
    #[must_use]
    pub(crate) fn setup(line: &str) -> Self {
        Self::Setup(words(line))
    }

    /// Both programs, with the words of `line`.
    #[must_use]
    pub(crate) fn both(line: &str) -> Self {
        Self::Both(words(line))
    }
}

pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
