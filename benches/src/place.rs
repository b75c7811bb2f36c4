//! Where the sources of a row are.

/// What a row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The corpus, in the page cache.
    Warm,
    /// The corpus, out of the page cache before each run.
    Cold,
    /// A new file system of this kind, in the page cache.
    On(FileSystem),
    /// A loop device that bypasses the page cache of what it lies on, cold.
    Direct,
    /// The same, which reads no faster than so much a second.
    Throttled,
    /// The corpus, cold, in a group with little memory.
    Confined,
}

impl Place {
    /// Whether something is mounted for it.
    pub(crate) fn mounts(self) -> bool {
        matches!(self, Self::On(_) | Self::Direct | Self::Throttled)
    }

    /// Whether its sources are put out of the page cache before each run.
    pub(crate) fn is_cold(self) -> bool {
        matches!(self, Self::Cold | Self::Direct | Self::Throttled | Self::Confined)
    }
}

/// Kinds of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Xfs,
    Btrfs,
    /// What most machines have.
    Ext4,
}
