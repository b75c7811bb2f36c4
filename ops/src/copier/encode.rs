//! Encoding the units of a chunk, before it has its turn.

use alloc::vec::Vec;

use instar_codecs::Encoder;
use instar_disk::{Encoding, Fault, Result, align_up, fault, from_usize, to_usize};

use super::assemble::grow;
use super::runs::Run;
use crate::session::internal;

/// A lane's encoder.
#[derive(Default)]
pub(super) struct Packer {
    encoder: Option<Encoder>,
}

/// The encoded form of one chunk.
#[derive(Default)]
pub(super) struct Packs {
    /// One for each unit of data, in ascending order.
    pub(super) units: Vec<Packed>,
    /// The bytes for the file: prefixes, streams, padding, and units that stayed plain.
    pub(super) bytes: Vec<u8>,
}

/// A unit as it will be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Offset in the target.
    pub(super) target: u64,
    /// Where it starts in [`Packs::bytes`], prefix included.
    pub(super) at: usize,
    /// Bytes there, prefix and padding included.
    pub(super) length: usize,
    /// Bytes of the stream alone.
    pub(super) stream: usize,
    /// It did not get smaller, and stands there as it is.
    pub(super) plain: bool,
}

impl Packer {
    /// Encodes every unit of the data runs of `buffer`.
    pub(super) fn pack(
        &mut self,
        encoding: &Encoding,
        runs: &[Run],
        buffer: &[u8],
        packs: &mut Packs,
    ) -> Result<()> {
        let Packs { units, bytes } = packs;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let made = Encoder::new(encoding.codec, encoding.window_bits);
                none.insert(made.ok_or_else(|| Fault::new(fault::core::OUT_OF_MEMORY).with([1 << 20]))?)
            }
        };
        units.clear();
        let unit = to_usize(encoding.unit)?;
        // A stream that grows is bounded by deflate's stored blocks; the margin is generous.
        let worst = unit
            .saturating_add(unit / 64)
            .saturating_add(1024)
            .saturating_add(encoding.prefix);
        let all = runs.iter().filter(|run| !run.zero);
        let count = all.fold(0_usize, |sum, run| {
            sum.saturating_add(run.length.div_ceil(unit.max(1)))
        });
        grow(bytes, count.saturating_mul(worst))?;
        let mut used = 0_usize;
        for run in runs.iter().filter(|run| !run.zero) {
            let data = buffer
                .get(run.at..run.at.saturating_add(run.length))
                .ok_or_else(|| internal(line!()))?;
            let mut target = run.target;
            for plain in data.chunks(unit.max(1)) {
                let room = bytes.get_mut(used..).ok_or_else(|| internal(line!()))?;
                let packed = pack_unit(encoder, encoding, plain, room, target, used)?;
                used = used.saturating_add(packed.length);
                units.push(packed);
                target = target.saturating_add(encoding.unit);
            }
        }
        Ok(())
    }
}

fn pack_unit(
    encoder: &mut Encoder,
    encoding: &Encoding,
    unit: &[u8],
    room: &mut [u8],
    target: u64,
    at: usize,
) -> Result<Packed> {
    let too_long = || internal(line!());
    let (prefix, rest) = room.split_at_mut_checked(encoding.prefix).ok_or_else(too_long)?;
    prefix.fill(0);
    let limit = if encoding.plain_if_larger {
        unit.len().saturating_sub(1)
    } else {
        rest.len()
    };
    let into = rest.get_mut(..limit).ok_or_else(too_long)?;
    if let Some(stream) = encoder.encode(unit, into) {
        let end = to_usize(align_up(
            from_usize(stream.saturating_add(encoding.prefix)),
            encoding.align,
        )?)?;
        let padding = room
            .get_mut(encoding.prefix.saturating_add(stream)..end)
            .ok_or_else(too_long)?;
        padding.fill(0);
        return Ok(Packed {
            target,
            at,
            length: end,
            stream,
            plain: false,
        });
    }
    if !encoding.plain_if_larger {
        return Err(too_long());
    }
    room.get_mut(..unit.len())
        .ok_or_else(too_long)?
        .copy_from_slice(unit);
    Ok(Packed {
        target,
        at,
        length: unit.len(),
        stream: unit.len(),
        plain: true,
    })
}
