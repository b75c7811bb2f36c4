//! Another size of the disk.

mod dynamic;
mod fixed;

use alloc::boxed::Box;
use alloc::format;

use instar_disk::fault::resize as faults;
use instar_disk::job::{Change, Preallocation};
use instar_disk::report::Backing;
use instar_disk::{Edit, Fault, File, FileKind, Opened, Resizing, Result};
use zerocopy::IntoBytes;

use crate::geometry::{Geometry, rounded_size};
use crate::header::{DiskType, Footer, has_geometry_size};
use crate::raw::{RawFooter, checksum};
use crate::{image, open};

/// Opens a VHD whose size is to change.
///
/// # Errors
/// As reading it.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let image = open(file)?;
    Ok(Box::new(Editor { file, image }))
}

struct Editor<'h> {
    file: File<'h>,
    image: Opened<'h>,
}

impl Edit for Editor<'_> {
    fn change(&mut self, _: &Change) -> Result<()> {
        Err(Fault::new(faults::UNSUPPORTED))
    }

    fn size(&self) -> u64 {
        self.image.size()
    }

    fn backing(&self) -> Option<Backing> {
        self.image.backing()
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        self.carry_out(to)
            .map_err(|fault| fault.in_file(self.file.slot()))
    }
}

impl Editor<'_> {
    fn carry_out(&self, to: &Resizing<'_>) -> Result<()> {
        let layout = |what: &[u8]| Err(Fault::new(faults::LAYOUT).named(what));
        if self.file.kind() == FileKind::Block {
            return layout(b"an image of this format on a device");
        }
        let (raw, at) = image::leading_footer(&self.file)?;
        let footer = Footer::parse(&raw)?;
        let (next, size) = with_size(&raw, to.size)?;
        let mode = to.preallocation;
        let known = match footer.disk_type {
            DiskType::Fixed => mode != Preallocation::Metadata,
            DiskType::Dynamic | DiskType::Differencing => mode == Preallocation::Off,
        };
        if !known {
            let mode = format!(" '{}'", mode.name());
            return Err(Fault::new(faults::PREALLOCATION).named(mode.as_bytes()));
        }
        match footer.disk_type {
            DiskType::Fixed => {
                let disk = fixed::Fixed {
                    file: self.file,
                    old: footer.size,
                    at,
                    raw,
                };
                disk.resize(size, &next, mode)
            }
            DiskType::Dynamic => dynamic::Dynamic::open(self.file, &footer, raw)?.resize(size, &next),
            DiskType::Differencing => layout(b"a differencing disk"),
        }
    }
}

/// The footer of the same disk with another size, and that size: where the geometry says it, the next one that it can say.
fn with_size(raw: &RawFooter, bytes: u64) -> Result<(RawFooter, u64)> {
    let exact = !has_geometry_size(raw);
    let (size, mut geometry) = rounded_size(bytes, exact)?;
    let was_largest = raw.cylinders.get() == Geometry::LARGEST.cylinders;
    if exact && !was_largest {
        geometry = Geometry::of_sectors(size / SECTOR);
    }
    let mut raw = raw.clone();
    raw.current_size.set(size);
    raw.cylinders.set(geometry.cylinders);
    raw.heads = geometry.heads;
    raw.sectors = geometry.sectors;
    raw.checksum.set(0);
    raw.checksum.set(checksum(raw.as_bytes()));
    Ok((raw, size))
}

/// Bytes of a footer, and of a sector.
const SECTOR: u64 = 512;
