//! Persistent dirty bitmaps, on their way from image to image.

use alloc::vec::Vec;

use instar_abi::report::Bitmap;

use crate::Result;

/// The bitmaps of an image that is read.
pub trait Bitmaps {
    /// Names and properties, in the image's order.
    ///
    /// # Errors
    /// A damaged directory, or an error of the host.
    fn list(&mut self) -> Result<Vec<Bitmap>>;

    /// Fills `into` with the bits of the bitmap at `index` of that list, from their byte `offset` on: one bit for each
    /// granule of the disk, the first in the lowest bit. Bits that stand for nothing on the disk are zero.
    ///
    /// # Errors
    /// A damaged bitmap, or an error of the host.
    fn read(&mut self, index: usize, offset: u64, into: &mut [u8]) -> Result<()>;
}

/// Gives the bits of one bitmap, as [`Bitmaps::read`] does.
pub type ReadBits<'r> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'r;

/// Bytes of the bits of a bitmap over `size` bytes, one bit for each `granularity` bytes.
#[must_use]
pub const fn bitmap_bytes(size: u64, granularity: u64) -> u64 {
    match granularity {
        0 => 0,
        _ => size.div_ceil(granularity).div_ceil(8),
    }
}
