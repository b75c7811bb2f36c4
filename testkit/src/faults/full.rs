//! A host whose disk is full.

use instar_disk::{Action, IoError};

use crate::{Native, Watch, Watched};

/// No space left on device.
const ENOSPC: u32 = 28;

/// [`Native`], where nothing can be written behind a byte. Files can be made longer all the same, as on most filesystems.
pub type Full = Watched<End>;

/// Where writing ends.
#[derive(Debug)]
pub struct End(u64);

impl Full {
    /// Nothing can be written behind byte `end` of any file.
    #[must_use]
    pub fn at(end: u64) -> Self {
        Self {
            native: Native::new(1),
            watch: End(end),
        }
    }
}

impl Watch for End {
    fn before(&self, action: &Action<'_>) -> Result<(), IoError> {
        match action {
            Action::Write { offset, from, .. } if offset + from.len() as u64 > self.0 => Err(IoError(ENOSPC)),
            Action::Zero { offset, length, .. } if offset + length > self.0 => Err(IoError(ENOSPC)),
            _ => Ok(()),
        }
    }
}
