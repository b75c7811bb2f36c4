//! Strings that came out of an image.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Bytes of a name or label found in an image: not necessarily UTF-8, never trusted.
///
/// There is no `Display` here on purpose: the host prints image text only through its one escaping printer
/// (invariant 6 of ARCHITECTURE.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct ImageText(Vec<u8>);

/// Bytes from the other side are only a claim: text longer than any [`ImageText`] is refused.
impl TryFrom<Vec<u8>> for ImageText {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        if bytes.len() > crate::limits::IMAGE_TEXT {
            return Err("a name that is too long");
        }
        Ok(Self(bytes))
    }
}

impl ImageText {
    /// Keeps at most [`crate::limits::IMAGE_TEXT`] bytes of `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let kept = bytes.get(..crate::limits::IMAGE_TEXT).unwrap_or(bytes);
        Self(kept.to_vec())
    }

    /// The bytes as they stood in the image.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
