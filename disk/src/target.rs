//! A format being written: a map from guest ranges to places in files.

use instar_abi::Slot;
use instar_abi::report::Bitmap;

use crate::image::Codec;
use crate::{ReadBits, Result, Sealing};

/// An image that can be written.
///
/// The engine calls `allocate`, `allocate_encoded` and `zero` under one lock, in ascending order of guest offset when
/// it makes a new image, so that tables can be written once, when complete, and the result is the same for any
/// number of lanes. It writes the data outside the lock, perhaps later; `finish` comes when all data is written.
pub trait Target: Send {
    /// Virtual size in bytes.
    fn size(&self) -> u64;

    /// Allocation unit in bytes, a power of two of at least 512: cluster, grain, block. Ranges given to the methods below
    /// start and end on it, or end at the size.
    fn unit(&self) -> u64;

    /// The file in which every guest byte stands at its own offset, if the format is that simple. Such a target is never
    /// asked to `allocate`, and is written in any order.
    fn plain(&self) -> Option<Slot> {
        None
    }

    /// The file in which units are placed on whole blocks of its filesystem, 4096 bytes or a multiple of them, so that blocks of other files
    /// can become part of it; none: data is written. If there are several, any of them.
    fn blocks(&self) -> Option<Slot> {
        None
    }

    /// Where data for the guest range goes. The placement may be shorter than asked (never empty): ask again for the rest.
    ///
    /// # Errors
    /// The format's limits, or the host's error while a table was written.
    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement>;

    /// The guest range reads as zero from now on, whatever is below. Not called for ranges that read as zero in a new image
    /// anyway.
    ///
    /// # Errors
    /// As `allocate`.
    fn zero(&mut self, offset: u64, length: u64) -> Result<()>;

    /// How this target wants its units encoded; none: it takes plain data only.
    fn encoding(&self) -> Option<Encoding> {
        None
    }

    /// How the data is sealed that is placed by [`Target::allocate`]; none: it is written as it is. No place of such data is fresh, since
    /// zeros on the disk are no zeros in the file.
    fn sealing(&self) -> Option<Sealing> {
        None
    }

    /// Whether a new image reads as zero where nothing is written.
    fn begins_as_zeros(&self) -> bool {
        true
    }

    /// Where the `stored` bytes of the encoded unit at `offset` go: prefix, stream and padding, contiguous.
    /// Placements that follow one another in the file let the engine write many units at once.
    ///
    /// # Errors
    /// As `allocate`.
    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let _ = (offset, stored);
        Err(instar_abi::Fault::new(instar_abi::fault::core::NO_COMPRESSION))
    }

    /// Fills the [`Encoding::prefix`] bytes that stand before the stream of the unit at `offset`, which has `stored` bytes
    /// (without prefix and padding).
    fn encoded_prefix(&self, offset: u64, stored: u64, into: &mut [u8]) {
        let _ = (offset, stored, into);
    }

    /// Whether the image can hold persistent bitmaps.
    fn takes_bitmaps(&self) -> bool {
        false
    }

    /// Whether the image has a persistent bitmap of that name before any is added.
    fn has_bitmap(&self, name: &[u8]) -> bool {
        let _ = name;
        false
    }

    /// Adds a persistent bitmap with these bits ([`crate::Bitmaps::read`]). Called after all data has its place.
    ///
    /// # Errors
    /// The format's limits, what is wrong with the bits' source, or the host's error.
    fn add_bitmap(&mut self, bitmap: &Bitmap, bits: &mut ReadBits<'_>) -> Result<()> {
        let _ = (bitmap, bits);
        Err(instar_abi::Fault::new(instar_abi::fault::core::NO_BITMAPS))
    }

    /// Whether the image has to know what will be written before it is: [`Target::record`] is then called for all of it.
    fn records(&self) -> bool {
        false
    }

    /// The guest range will be written.
    fn record(&mut self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Whether so much waits in memory that [`Target::settle`] is due.
    fn is_full(&self) -> bool {
        false
    }

    /// All data that was placed has been written: tables may lead to it.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// The work has failed, and ends here: what was placed since the last [`Target::settle`] was for nothing.
    fn abandon(&mut self) {}

    /// Writes all tables that are still in memory, then what makes the image recognisable as complete.
    fn finish(&mut self) -> Result<()>;
}

/// Where data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The file to write to.
    pub slot: Slot,
    /// Where in it.
    pub offset: u64,
    /// Bytes, at least 1.
    pub length: u64,
    /// The place reads as zero now: zero bytes need not be written there. Otherwise all of it must be written.
    pub fresh: bool,
}

/// How units are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The codec for the data.
    pub codec: Codec,
    /// Bytes that one stream decodes to: the target's unit.
    pub unit: u64,
    /// A unit whose stream is not shorter than itself is written plain (qcow2) instead of encoded (VMDK: false).
    pub plain_if_larger: bool,
    /// log2 of the deflate window, 9 to 15.
    pub window_bits: u8,
    /// Bytes before each stream that [`Target::encoded_prefix`] fills (VMDK's grain marker); 0 for none.
    pub prefix: usize,
    /// Prefix and stream together are padded with zeros to a multiple of this (1: not at all).
    pub align: u64,
}
