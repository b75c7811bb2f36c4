//! VHDs built by hand, for what no tool here writes.
#![allow(dead_code, reason = "each test file uses its part")]

use instar_testkit::pattern::pattern;

/// A dynamic or differencing disk.
pub(crate) struct ByHand<'a> {
    pub(crate) size: u64,
    pub(crate) block_size: u64,
    /// For each block, which place in the file it has.
    pub(crate) blocks: &'a [Option<u64>],
    /// The bitmap's bytes.
    pub(crate) bitmap: &'a dyn Fn(usize) -> u8,
    pub(crate) disk_type: u32,
    /// A relative locator, or with `!` in front the name in the header.
    pub(crate) parent: Option<&'a str>,
}

/// What stands at `place`.
pub(crate) fn data(disk: &ByHand<'_>, place: u64) -> Vec<u8> {
    pattern(place * disk.block_size, disk.block_size)
}

/// The file: footer, dynamic header, locator, table, places in order, footer.
pub(crate) fn dynamic(disk: &ByHand<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    put(&mut bytes, 0, b"conectix\0\0\0\x02\0\x01\0\0");
    put(&mut bytes, 16, &512_u64.to_be_bytes());
    put(&mut bytes, 28, b"win ");
    put(&mut bytes, 48, &disk.size.to_be_bytes());
    put(&mut bytes, 60, &disk.disk_type.to_be_bytes());
    seal(&mut bytes, 0, 512, 64);
    put(&mut bytes, 512, b"cxsparse");
    put(&mut bytes, 520, &u64::MAX.to_be_bytes());
    put(&mut bytes, 528, &2048_u64.to_be_bytes());
    put(&mut bytes, 536, &0x0001_0000_u32.to_be_bytes());
    put(
        &mut bytes,
        540,
        &u32::try_from(disk.blocks.len()).unwrap().to_be_bytes(),
    );
    put(
        &mut bytes,
        544,
        &u32::try_from(disk.block_size).unwrap().to_be_bytes(),
    );
    if let Some(name) = disk.parent {
        put_parent(&mut bytes, name);
    }
    seal(&mut bytes, 512, 1024, 36);

    let table_bytes = (disk.blocks.len() * 4).next_multiple_of(512);
    let bitmap_bytes = usize::try_from((disk.block_size / 4096).div_ceil(512) * 512).unwrap();
    let start = 2048 + table_bytes;
    let stride = bitmap_bytes + usize::try_from(disk.block_size).unwrap();
    for entry in disk.blocks {
        let sector = entry.map_or(u32::MAX, |place| {
            u32::try_from((start + usize::try_from(place).unwrap() * stride) / 512).unwrap()
        });
        bytes.extend(sector.to_be_bytes());
    }
    bytes.resize(start, 0xff);
    let places = disk.blocks.iter().flatten().count() as u64;
    for place in 0..places {
        bytes.extend((0..bitmap_bytes).map(|index| (disk.bitmap)(index)));
        bytes.extend(data(disk, place));
    }
    bytes.extend_from_within(..512);
    bytes
}

fn put_parent(bytes: &mut [u8], name: &str) {
    if let Some(absolute) = name.strip_prefix('!') {
        let name: Vec<u8> = absolute.encode_utf16().flat_map(u16::to_be_bytes).collect();
        put(bytes, 576, &name);
        return;
    }
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(bytes, 512 + 576, b"W2ru");
    put(bytes, 512 + 580, &512_u32.to_be_bytes());
    put(
        bytes,
        512 + 584,
        &u32::try_from(name.len()).unwrap().to_be_bytes(),
    );
    put(bytes, 512 + 592, &1536_u64.to_be_bytes());
    put(bytes, 1536, &name);
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Makes the checksum at `field` of the structure at `at` right.
pub(crate) fn seal(bytes: &mut [u8], at: usize, length: usize, field: usize) {
    put(bytes, at + field, &[0; 4]);
    let sum: u32 = bytes[at..at + length].iter().map(|byte| u32::from(*byte)).sum();
    put(bytes, at + field, &(!sum).to_be_bytes());
}
