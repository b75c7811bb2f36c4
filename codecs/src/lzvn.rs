//! LZVN, the codec for short blocks inside LZFSE streams.
//!
//! ```text
//!  LLMMMDDD dddddddd            L literals, then M + 3 bytes from Dd back; D below 6
//!  LLMMM111 dddddddd dddddddd   the same, distance of 16 bits, low byte first
//!  LLMMM110                     the same, from where the last one was; MMM and LL as far as no other code has them
//!  101LLMMM ddddddmm dddddddd   L literals, then Mm + 3 bytes from d back
//!  1110LLLL, 11100000 LLLLLLLL  L literals; L + 16
//!  1111MMMM, 11110000 MMMMMMMM  M bytes from where the last one was; M + 16
//!  00000110                     the end
//!  00001110, 00010110           nothing
//! ```

use crate::BadStream;
use crate::cursor::{From, Into};

/// Appends what `stored` decodes to, up to its end mark.
pub(crate) fn decode(stored: &[u8], into: &mut Into<'_>) -> Result<(), BadStream> {
    let mut from = From(stored);
    let mut distance = 0_usize;
    // Each turn uses up a byte.
    loop {
        let code = from.byte()?;
        let (high, low) = (code >> 4, usize::from(code & 0xf));
        let (literals, length) = match code {
            0x06 => return Ok(()),
            0x0e | 0x16 => continue,
            0x1e | 0x26 | 0x2e | 0x36 | 0x3e | 0x70..=0x7f | 0xd0..=0xdf => return Err(BadStream),
            0xe0 => (usize::from(from.byte()?).saturating_add(16), 0),
            0xf0 => (0, usize::from(from.byte()?).saturating_add(16)),
            _ if high == 0xe => (low, 0),
            _ if high == 0xf => (0, low),
            0xa0..=0xbf => {
                let more = u16::from_le_bytes(from.array()?);
                distance = usize::from(more >> 2);
                let length = usize::from(code & 7) << 2 | usize::from(more & 3);
                (usize::from(code >> 3 & 3), length.saturating_add(3))
            }
            _ => {
                match code & 7 {
                    6 => {}
                    7 => distance = u16::from_le_bytes(from.array()?).into(),
                    high => distance = u16::from_be_bytes([high, from.byte()?]).into(),
                }
                (
                    usize::from(code >> 6),
                    usize::from(code >> 3 & 7).saturating_add(3),
                )
            }
        };
        into.put(from.bytes(literals)?)?;
        if length > 0 {
            into.repeat(distance, length)?;
        }
    }
}
