//! Decoding a unit, whatever its codec.

use alloc::boxed::Box;

use instar_disk::Codec;
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective};

use crate::bzip2::Bzip2;
use crate::lzfse::Lzfse;
use crate::xxh64::xxh64;
use crate::{BadStream, adc, xz};

/// zlib's largest window; a smaller one in the stream is fine.
const WINDOW_BITS: u8 = 15;

/// Decodes units. Made empty; the state of a codec is created when it is first needed.
#[derive(Default)]
pub struct Decoder {
    inflate: Option<Inflate>,
    zstd: Option<DCtx<'static>>,
    bzip2: Option<Box<Bzip2>>,
    lzfse: Option<Box<Lzfse>>,
}

impl Decoder {
    /// Nothing allocated yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inflate: None,
            zstd: None,
            bzip2: None,
            lzfse: None,
        }
    }

    /// Decodes the stream at the start of `stored` into `unit`, which it must fill exactly; bytes after the stream's end
    /// are ignored.
    ///
    /// # Errors
    /// [`BadStream`] when the stream is damaged or shorter than `unit`.
    pub fn decode(&mut self, codec: Codec, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        match codec {
            Codec::Deflate => self.inflate(false, stored, unit).map(|_| ()),
            Codec::Zlib => self.inflate(true, stored, unit).map(|_| ()),
            Codec::WholeZlib => match self.inflate(true, stored, unit)? {
                Status::StreamEnd => Ok(()),
                Status::Ok | Status::BufError => Err(BadStream),
            },
            Codec::Adc => adc::decode(stored, unit),
            Codec::Bzip2 => self.bzip2.get_or_insert_with(Bzip2::new).decode(stored, unit),
            Codec::Lzfse => self.lzfse.get_or_insert_with(Lzfse::new).decode(stored, unit),
            Codec::Xz => xz::decode(stored, unit),
            Codec::Zstd => self.zstd(stored, unit),
            Codec::WholeZstd(checksum) => self.whole_zstd(stored, unit, checksum),
        }
    }

    /// Fills `unit`, and says whether the stream ends there.
    fn inflate(&mut self, zlib_header: bool, stored: &[u8], unit: &mut [u8]) -> Result<Status, BadStream> {
        let inflate = self
            .inflate
            .get_or_insert_with(|| Inflate::new(zlib_header, WINDOW_BITS));
        inflate.reset(zlib_header);
        let outcome = inflate.decompress(stored, unit, InflateFlush::Finish);
        let filled = usize::try_from(inflate.total_out()) == Ok(unit.len());
        // A full unit is what counts: a stream may have an end marker that did not fit the stored bytes, as in qemu.
        outcome.ok().filter(|_| filled).ok_or(BadStream)
    }

    /// The context, as new.
    fn zstd_context(&mut self) -> Result<&mut DCtx<'static>, BadStream> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or(BadStream)?),
        };
        context
            .reset(ResetDirective::SessionOnly)
            .map_err(|_| BadStream)?;
        Ok(context)
    }

    /// All of `stored`, to its end. Decoded in one go it needs no window but `unit` itself, whatever its header asks for.
    fn whole_zstd(&mut self, stored: &[u8], unit: &mut [u8], checksum: Option<u32>) -> Result<(), BadStream> {
        let context = self.zstd_context()?;
        let filled = context.decompress(&mut *unit, stored).map_err(|_| BadStream)?;
        let right = checksum.is_none_or(|checksum| xxh64(unit) & u64::from(u32::MAX) == u64::from(checksum));
        (filled == unit.len() && right).then_some(()).ok_or(BadStream)
    }

    fn zstd(&mut self, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        let context = self.zstd_context()?;
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
