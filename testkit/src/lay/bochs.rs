//! Growing redologs of Bochs.

/// How one is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// 2.0 and 1.0 have the size of the disk at different places.
    pub version: u32,
    /// Where the catalog starts.
    pub header: u32,
    /// Bytes of an extent.
    pub extent: u32,
    /// Bytes of a bitmap.
    pub bitmap: u32,
    /// Catalog entries beyond those that the disk needs.
    pub spare: u32,
    /// The last extent of the disk has the first place.
    pub backwards: bool,
}

/// The usual layout of a small disk.
pub const USUAL: Layout = Layout {
    version: 0x20000,
    header: 512,
    extent: 65536,
    bitmap: 16,
    spare: 3,
    backwards: false,
};

const SECTOR: usize = 512;

/// An image of `disk`. Sectors of zeros are not in it.
#[must_use]
pub fn image(disk: &[u8], layout: Layout) -> Vec<u8> {
    let extents: Vec<&[u8]> = disk.chunks(layout.extent as usize).collect();
    let mut catalog = vec![u32::MAX; extents.len() + layout.spare as usize];
    let mut numbers: Vec<usize> = (0..extents.len()).collect();
    if layout.backwards {
        numbers.reverse();
    }
    let mut places = 0;
    let mut data = Vec::new();
    for number in numbers {
        let extent = extents[number];
        if extent.iter().all(|byte| *byte == 0) {
            continue;
        }
        catalog[number] = places;
        places += 1;
        let mut bits = vec![0; (layout.bitmap as usize).next_multiple_of(SECTOR)];
        for (index, sector) in extent.chunks(SECTOR).enumerate() {
            if sector.iter().any(|byte| *byte != 0) {
                bits[index / 8] |= 1 << (index % 8);
            }
        }
        data.extend_from_slice(&bits);
        data.extend_from_slice(extent);
        data.resize(data.len() + layout.extent as usize - extent.len(), 0);
    }
    let mut file = head(disk.len() as u64, layout, catalog.len() as u32);
    for entry in catalog {
        file.extend_from_slice(&entry.to_le_bytes());
    }
    file.extend_from_slice(&data);
    file
}

fn head(size: u64, layout: Layout, entries: u32) -> Vec<u8> {
    let mut head = Vec::new();
    for (text, length) in [("Bochs Virtual HD Image", 32), ("Redolog", 48), ("Growing", 64)] {
        head.extend_from_slice(text.as_bytes());
        head.resize(length, 0);
    }
    for field in [
        layout.version,
        layout.header,
        entries,
        layout.bitmap,
        layout.extent,
    ] {
        head.extend_from_slice(&field.to_le_bytes());
    }
    if layout.version == 0x20000 {
        head.extend_from_slice(&[0; 4]);
    }
    head.extend_from_slice(&size.to_le_bytes());
    head.resize(layout.header as usize, 0);
    head
}
