//! The guest's ELF: embedded, chosen by processor level, taken apart.

use std::io;

use instar_abi::layout::{BASE, IMAGE_BYTES, PAGE};

/// A guest binary.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    bytes: &'a [u8],
    level: &'static str,
    /// The bytes lie in this program's own read-only pages and stay there.
    resident: bool,
}

/// Puts what it holds on pages of its own, as it lies in this program's file.
#[repr(C, align(4096))]
struct OnPages<T: ?Sized>(T);

static BASELINE: &OnPages<[u8]> = &OnPages(*include_bytes!(env!("INSTAR_GUEST_BASELINE")));
static V3: &OnPages<[u8]> = &OnPages(*include_bytes!(env!("INSTAR_GUEST_V3")));

impl Guest<'static> {
    /// The guest that came with this program, in the best form that this processor runs.
    #[must_use]
    pub fn embedded() -> Self {
        // A build without optimisation has one guest for any processor, twice.
        let (guest, level) = if cfg!(debug_assertions) || !runs_v3() {
            (BASELINE, "x86-64")
        } else {
            (V3, "x86-64-v3")
        };
        Self {
            bytes: &guest.0,
            level,
            resident: true,
        }
    }
}

impl<'a> Guest<'a> {
    /// Another guest: a static ELF that keeps to the layout. For tests that need a hostile one.
    #[must_use]
    pub const fn from_elf(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            level: "unknown",
            resident: false,
        }
    }

    /// The processor level that it is built for.
    #[must_use]
    pub const fn level(&self) -> &'static str {
        self.level
    }

    pub(crate) fn parse(&self) -> io::Result<Image<'a>> {
        let image = Image::parse(self.bytes).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the guest is not a static ELF that keeps to the layout",
            )
        })?;
        Ok(Image {
            resident: self.in_place(&image),
            ..image
        })
    }

    /// The guest's code and constants, if they can be mapped from where they lie: most of the binary, and it never changes.
    fn in_place(&self, image: &Image<'a>) -> Option<Resident> {
        let first = image.segments.first()?;
        let start = first.bytes.as_ptr();
        let page = usize::try_from(PAGE).ok()?;
        if !self.resident || first.address != BASE || !start.addr().is_multiple_of(page) {
            return None;
        }
        let mut resident = Resident {
            place: start.expose_provenance() as u64,
            length: 0,
            segments: 0,
        };
        for segment in &image.segments {
            // In the file each lies as far from the first as in memory.
            let lies = start.addr().checked_add(usize::try_from(resident.length).ok()?)?;
            let follows = segment.address.checked_sub(BASE) == Some(resident.length)
                && segment.bytes.as_ptr().addr() == lies;
            // The file goes on behind it, so that the last page holds bytes of the guest alone.
            let offset = lies.checked_sub(self.bytes.as_ptr().addr())?;
            let end = offset.checked_add(usize::try_from(segment.length).ok()?)?;
            if !follows || segment.access == Access::Write || end > self.bytes.len() {
                break;
            }
            resident.length = resident.length.checked_add(segment.length)?;
            resident.segments += 1;
        }
        (resident.segments > 0).then_some(resident)
    }
}

/// The processor and the kernel support everything that x86-64-v3 with AES and carry-less multiplication names.
fn runs_v3() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("f16c")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("movbe")
        && std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// The permitted accesses to a range of guest memory. No variant is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

/// A guest binary taken apart.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment<'a>>,
    /// The part that need not be copied.
    pub(crate) resident: Option<Resident>,
}

/// Code and constants of the guest in this program's own pages, which belong to guest address [`BASE`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// Address in this process.
    pub(crate) place: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    /// So many of the first segments.
    pub(crate) segments: usize,
}

impl<'a> Image<'a> {
    /// The parts that must be copied to guest memory.
    pub(crate) fn copied(&self) -> &[Segment<'a>] {
        let from = self.resident.map_or(0, |resident| resident.segments);
        self.segments.get(from..).unwrap_or(&[])
    }
}

/// A piece of it: whole pages in guest memory, of which the first bytes come from the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) address: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) length: u64,
    pub(crate) access: Access,
}

impl<'a> Image<'a> {
    /// Reads an ELF of our own linker script: ascending segments on page boundaries, inside the image's place.
    fn parse(elf: &'a [u8]) -> Option<Self> {
        const PT_LOAD: u32 = 1;
        const HEADER: usize = 56;
        if elf.get(..5)? != b"\x7fELF\x02" || u16_at(elf, 18)? != 62 {
            return None;
        }
        let table = usize::try_from(u64_at(elf, 32)?).ok()?;
        let count = usize::from(u16_at(elf, 56)?);
        let mut segments = Vec::with_capacity(3);
        let mut free = BASE;
        for index in 0..count {
            let at = table.checked_add(index.checked_mul(HEADER)?)?;
            let header = elf.get(at..at.checked_add(HEADER)?)?;
            if u32_at(header, 0)? != PT_LOAD {
                continue;
            }
            let segment = Segment::parse(elf, header)?;
            if segment.address < free {
                return None;
            }
            free = segment.address.checked_add(segment.length)?;
            segments.push(segment);
        }
        let entry = u64_at(elf, 24)?;
        let starts_in_text = segments.iter().any(|segment| {
            segment.access == Access::Execute
                && entry
                    .checked_sub(segment.address)
                    .is_some_and(|offset| offset < segment.length)
        });
        let fits = free <= BASE.checked_add(IMAGE_BYTES)?;
        (starts_in_text && fits).then_some(Self {
            entry,
            segments,
            resident: None,
        })
    }
}

impl<'a> Segment<'a> {
    fn parse(elf: &'a [u8], header: &[u8]) -> Option<Self> {
        let start = usize::try_from(u64_at(header, 8)?).ok()?;
        let stored = usize::try_from(u64_at(header, 32)?).ok()?;
        let bytes = elf.get(start..start.checked_add(stored)?)?;
        let address = u64_at(header, 16)?;
        let memory = u64_at(header, 40)?;
        let access = match u32_at(header, 4)? {
            4 => Access::Read,
            5 => Access::Execute,
            6 => Access::Write,
            _ => return None,
        };
        let sound = address.is_multiple_of(PAGE) && u64::try_from(stored).ok()? <= memory;
        sound.then_some(Self {
            address,
            bytes,
            length: memory.checked_next_multiple_of(PAGE)?,
            access,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array_at(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array_at(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array_at(bytes, at)?))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_guest_has_text_constants_and_data_on_pages_of_their_own() {
        let image = Guest::embedded().parse().unwrap();
        let access: Vec<Access> = image.segments.iter().map(|segment| segment.access).collect();
        assert_eq!(access, [Access::Execute, Access::Read, Access::Write]);
        assert_eq!(image.segments[0].address, BASE);
        assert_eq!(image.entry, BASE);
        let resident = image.resident.unwrap();
        assert_eq!(
            resident.length,
            image.segments[0].length + image.segments[1].length
        );
        assert_eq!(image.copied().len(), 1);
    }

    #[test]
    fn every_truncation_of_the_guest_is_refused_or_whole() {
        let whole = Guest::embedded().bytes;
        for length in (0..4096).chain([whole.len() / 2]) {
            assert!(Guest::from_elf(&whole[..length]).parse().is_err(), "{length}");
        }
    }

    #[test]
    fn a_writable_executable_segment_is_refused() {
        let mut bytes = Guest::embedded().bytes.to_vec();
        // The flags of the first program header.
        bytes[64 + 4] = 7;
        assert!(Guest::from_elf(&bytes).parse().is_err());
    }
}
