//! What a server says of the disk behind a name.

use instar_disk::{Fault, Result, fault, limits};

use crate::raw::{RawBlocks, RawExport, transmission};

/// An export: valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    size: u64,
    flags: u16,
    blocks: Blocks,
    /// Replies come in chunks.
    pub(crate) structured: bool,
    /// The number of `base:allocation`, if the server knows where data is.
    pub(crate) context: Option<u32>,
}

/// The requests that a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Offsets and lengths are multiples of it: a power of two.
    pub(crate) minimum: u64,
    /// The longest payload: a multiple of it.
    pub(crate) maximum: u64,
}

/// What servers take that say nothing.
impl Default for Blocks {
    fn default() -> Self {
        Self {
            minimum: 1,
            maximum: LARGEST,
        }
    }
}

/// Bytes of the longest request that every server takes.
const LARGEST: u64 = 32 << 20;
/// The largest block that the protocol has.
const LARGEST_MINIMUM: u64 = 64 << 10;

impl Blocks {
    pub(crate) fn parse(raw: &RawBlocks) -> Result<Self> {
        let (minimum, maximum) = (u64::from(raw.minimum.get()), u64::from(raw.maximum.get()));
        let sound = minimum.is_power_of_two() && minimum <= LARGEST_MINIMUM && maximum >= minimum;
        if !sound {
            return Err(Fault::new(fault::nbd::BLOCKS).with([minimum, maximum]));
        }
        let maximum = maximum.min(LARGEST);
        Ok(Self {
            minimum,
            maximum: instar_disk::align_down(maximum, minimum),
        })
    }
}

impl Export {
    pub(crate) fn parse(raw: &RawExport, blocks: Blocks) -> Result<Self> {
        let size = raw.size.get();
        if size >= limits::FILE_END {
            return Err(Fault::new(fault::nbd::SIZE).with([size]));
        }
        Ok(Self {
            size,
            flags: raw.flags.get(),
            blocks,
            structured: false,
            context: None,
        })
    }

    /// The same, of a server that replies in chunks, or that knows by this number where data is.
    pub(crate) fn answering(self, structured: bool, context: Option<u32>) -> Self {
        Self {
            structured,
            context,
            ..self
        }
    }

    /// Bytes of the disk.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether nobody writes to it by this name.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.flags & transmission::READ_ONLY != 0
    }

    /// Whether what one connection has written and flushed is what all the others read.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.flags & transmission::MULTI_CONN != 0
    }

    pub(crate) const fn flushes(&self) -> bool {
        self.flags & transmission::FLUSH != 0
    }

    pub(crate) const fn trims(&self) -> bool {
        self.flags & transmission::TRIM != 0
    }

    pub(crate) const fn zeroes(&self) -> bool {
        self.flags & transmission::WRITE_ZEROES != 0
    }

    pub(crate) const fn blocks(&self) -> Blocks {
        self.blocks
    }
}
