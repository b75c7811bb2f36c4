//! `-p`, and our own argument of it.

use crate::stop::{Step, Stop};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowProgress {
    /// Not asked for.
    #[default]
    No,
    /// `-p`.
    Yes,
    /// `--progress=json`, and on which descriptor.
    Json(u16),
}

impl ShowProgress {
    /// The argument of `--progress`, or empty.
    ///
    /// # Errors
    /// A message for any argument except `json` and `json:N`: the reference tool accepts none.
    pub fn parse(value: &[u8]) -> Step<Self> {
        const STDERR: u16 = 2;
        let descriptor = match value {
            b"" => return Ok(Self::Yes),
            b"json" => Some(STDERR),
            other => other
                .strip_prefix(b"json:")
                .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok()),
        };
        descriptor
            .map(Self::Json)
            .ok_or_else(|| Stop::Usage(b"option '--progress' doesn't allow an argument".to_vec()))
    }
}
