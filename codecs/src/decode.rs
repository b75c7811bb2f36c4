//! Decoders: inflate and zstd.

use instar_disk::Codec;
use zlib_rs::{Inflate, InflateFlush};
use zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective};

use crate::BadStream;

/// zlib's largest window; a smaller one in the stream is fine.
const WINDOW_BITS: u8 = 15;

/// Decodes units. Made empty; the state of a codec is created when it is first needed.
#[derive(Default)]
pub struct Decoder {
    inflate: Option<Inflate>,
    zstd: Option<DCtx<'static>>,
}

impl Decoder {
    /// Nothing allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inflate: None,
            zstd: None,
        }
    }

    /// Decodes the stream at the start of `stored` into `unit`, which it must fill exactly; bytes after the stream's end
    /// are ignored.
    ///
    /// # Errors
    /// [`BadStream`] when the stream is damaged or shorter than `unit`.
    pub fn decode(&mut self, codec: Codec, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        match codec {
            Codec::Deflate => self.inflate(false, stored, unit),
            Codec::Zlib => self.inflate(true, stored, unit),
            Codec::Zstd => self.zstd(stored, unit),
        }
    }

    fn inflate(&mut self, zlib_header: bool, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        let inflate = self
            .inflate
            .get_or_insert_with(|| Inflate::new(zlib_header, WINDOW_BITS));
        inflate.reset(zlib_header);
        let outcome = inflate.decompress(stored, unit, InflateFlush::Finish);
        let filled = usize::try_from(inflate.total_out()) == Ok(unit.len());
        // A full unit is what counts: a stream may have an end marker that did not fit the stored bytes, as in qemu.
        if outcome.is_ok() && filled {
            Ok(())
        } else {
            Err(BadStream)
        }
    }

    fn zstd(&mut self, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or(BadStream)?),
        };
        context
            .reset(ResetDirective::SessionOnly)
            .map_err(|_| BadStream)?;
        let mut from = InBuffer::around(stored);
        let mut into = OutBuffer::around(unit);
        while into.pos() < into.capacity() {
            let before = (from.pos(), into.pos());
            context
                .decompress_stream(&mut into, &mut from)
                .map_err(|_| BadStream)?;
            if (from.pos(), into.pos()) == before {
                return Err(BadStream);
            }
        }
        Ok(())
    }
}
