//! What does not change while an image is checked.

use instar_disk::{Fault, File, Result, fault};

use crate::header::Header;
use crate::raw::entry;

#[derive(Debug)]
pub(super) struct Frame<'h> {
    pub(super) file: File<'h>,
    pub(super) header: Header,
    /// Bytes of the file in whole sectors, as qemu-img counts them.
    pub(super) length: u64,
    /// Clusters of the file, the last one perhaps not whole.
    pub(super) clusters: u64,
    /// Guest clusters are in another file.
    pub(super) external: bool,
    /// What can be put right will be, so that what is said of it is that.
    pub(super) repairs_all: bool,
    /// So will be entries that lead to a place at which no cluster can be, and read as zero all the same.
    pub(super) zeroes: bool,
}

impl<'h> Frame<'h> {
    pub(super) fn new(file: File<'h>, header: Header) -> Self {
        let length = file.size().div_ceil(512).saturating_mul(512);
        Self {
            clusters: length.div_ceil(header.cluster_size()),
            external: header.features.data_file(),
            file,
            header,
            length,
            repairs_all: false,
            zeroes: false,
        }
    }

    /// The image after a change: what its header says now, and a file of at least `bytes` bytes.
    pub(super) fn changed(&mut self, bytes: u64) -> Result<()> {
        let header = Header::parse_to_check(self.file)?;
        *self = Self {
            repairs_all: self.repairs_all,
            zeroes: self.zeroes,
            ..Self::new(self.file.grown_to(bytes), header)
        };
        Ok(())
    }

    pub(super) const fn cluster_size(&self) -> u64 {
        self.header.cluster_size()
    }

    /// The cluster at a file offset.
    pub(super) const fn cluster(&self, offset: u64) -> u64 {
        offset.wrapping_shr(self.header.cluster_bits)
    }

    /// Where in its cluster a file offset is.
    pub(super) const fn within(&self, offset: u64) -> u64 {
        offset & self.cluster_size().saturating_sub(1)
    }

    /// The largest refcount that the image can express.
    pub(super) const fn most(&self) -> u64 {
        crate::packed::limit(self.header.refcount_order)
    }

    /// The clusters that `bytes` bytes at `offset` touch: the first, and how many. None where they go past the file's end
    /// by a cluster or more.
    pub(super) const fn clusters_of(&self, offset: u64, bytes: u64) -> Option<(u64, u64)> {
        let end = offset.saturating_add(bytes);
        if end >= self.length.saturating_add(self.cluster_size()) {
            return None;
        }
        let first = self.cluster(offset);
        let last = self.cluster(end.saturating_sub(1));
        Some((first, last.saturating_sub(first).saturating_add(1)))
    }

    /// A reference past the end.
    pub(super) const fn past_end(offset: u64, bytes: u64) -> Fault {
        let mut fault = Fault::new(fault::check::PAST_END);
        fault.numbers = [offset, bytes, 0, 0];
        fault
    }

    /// One reference more than a refcount can say.
    pub(super) fn overflow(&self, cluster: u64) -> Fault {
        let offset = cluster.wrapping_shl(self.header.cluster_bits);
        Fault::new(fault::check::OVERFLOW).with([offset])
    }

    /// Whether an L1 entry has bits that mean nothing.
    pub(super) const fn l1_is_odd(value: u64) -> bool {
        value & !(entry::OFFSET | entry::COPIED) != 0
    }
}

/// Errors of the system by which a check ends.
pub(super) mod errno {
    pub(crate) const IO: u64 = 5;
    pub(crate) const INVALID: u64 = 22;
    pub(crate) const TOO_LARGE: u64 = 27;
}

/// The check ends like a call of the system that failed.
pub(super) fn failed(errno: u64) -> Fault {
    Fault::new(fault::core::IO).with([errno])
}
