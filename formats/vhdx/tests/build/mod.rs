//! VHDXs built by hand, for what no tool here writes.
#![allow(dead_code, reason = "each test file uses its part")]

use instar_vhdx::{crc32c, raw};

use instar_testkit::pattern::{MIB, pattern};

pub(crate) const LOG: u64 = MIB;
pub(crate) const BAT: u64 = 2 * MIB;
pub(crate) const METADATA: u64 = 3 * MIB;
pub(crate) const DATA: u64 = 4 * MIB;
pub(crate) const GUID: [u8; 16] = [0x11; 16];

/// An image: log at 1 MiB, BAT at 2, metadata at 3, then payload places, then bitmap blocks.
pub(crate) struct ByHand<'a> {
    pub(crate) size: u64,
    pub(crate) block_size: u64,
    pub(crate) sector_size: u32,
    /// For each BAT entry: state, and which place it has.
    pub(crate) bat: &'a [(usize, u64, u64)],
    /// Places that hold the pattern.
    pub(crate) places: u64,
    /// Bitmap blocks, as many MiB as there are.
    pub(crate) bitmap: Vec<u8>,
    /// Keys and values of a parent locator; makes it a differencing disk.
    pub(crate) parent: Option<&'a [(&'a str, &'a str)]>,
}

impl Default for ByHand<'_> {
    fn default() -> Self {
        Self {
            size: 4 * MIB,
            block_size: MIB,
            sector_size: 512,
            bat: &[(0, 6, 1), (2, 6, 0)],
            places: 2,
            bitmap: Vec::new(),
            parent: None,
        }
    }
}

impl ByHand<'_> {
    /// Where in the file `place` is.
    pub(crate) fn offset(&self, place: u64) -> u64 {
        DATA + place * self.block_size
    }

    /// What stands at `place`.
    pub(crate) fn data(&self, place: u64) -> Vec<u8> {
        pattern(place * self.block_size, self.block_size)
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(DATA).unwrap()];
        put(&mut bytes, 0, &raw::FILE_SIGNATURE);
        for (offset, sequence) in [(64 << 10, 7_u64), (128 << 10, 8)] {
            header(&mut bytes, offset, sequence, [0; 16]);
        }
        for offset in [192 << 10, 256 << 10] {
            regions(
                &mut bytes,
                offset,
                &[
                    (raw::REGION_BAT, BAT, MIB, 1),
                    (raw::REGION_METADATA, METADATA, MIB, 1),
                ],
            );
        }
        self.metadata(&mut bytes);
        for (entry, state, place) in self.bat {
            let offset = if *state >= 6 { self.offset(*place) } else { 0 };
            put(
                &mut bytes,
                BAT + 8 * *entry as u64,
                &(offset | state).to_le_bytes(),
            );
        }
        for place in 0..self.places {
            bytes.extend(self.data(place));
        }
        bytes.extend(&self.bitmap);
        bytes
    }

    fn metadata(&self, bytes: &mut [u8]) {
        let parent = self.parent.map(locator).unwrap_or_default();
        let flags = if self.parent.is_some() { 2_u32 } else { 0 };
        let parameters = [
            u32::try_from(self.block_size).unwrap().to_le_bytes(),
            flags.to_le_bytes(),
        ]
        .concat();
        let mut items: Vec<([u8; 16], Vec<u8>)> = vec![
            (raw::ITEM_FILE_PARAMETERS, parameters),
            (raw::ITEM_VIRTUAL_DISK_SIZE, self.size.to_le_bytes().to_vec()),
            (raw::ITEM_PAGE_83, vec![0x83; 16]),
            (raw::ITEM_LOGICAL_SECTOR, self.sector_size.to_le_bytes().to_vec()),
            (raw::ITEM_PHYSICAL_SECTOR, 4096_u32.to_le_bytes().to_vec()),
        ];
        if self.parent.is_some() {
            items.push((raw::ITEM_PARENT_LOCATOR, parent));
        }
        put(bytes, METADATA, b"metadata");
        put(
            bytes,
            METADATA + 10,
            &u16::try_from(items.len()).unwrap().to_le_bytes(),
        );
        let mut offset = 64_u64 << 10;
        for (index, (item, value)) in items.iter().enumerate() {
            let entry = METADATA + 32 + 32 * index as u64;
            put(bytes, entry, item);
            put(bytes, entry + 16, &u32::try_from(offset).unwrap().to_le_bytes());
            put(
                bytes,
                entry + 20,
                &u32::try_from(value.len()).unwrap().to_le_bytes(),
            );
            put(bytes, entry + 24, &4_u32.to_le_bytes());
            put(bytes, METADATA + offset, value);
            offset += value.len() as u64;
        }
    }
}

fn locator(pairs: &[(&str, &str)]) -> Vec<u8> {
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    let mut item = vec![0; 20 + 12 * pairs.len()];
    put(&mut item, 0, &raw::LOCATOR_VHDX);
    put(&mut item, 18, &u16::try_from(pairs.len()).unwrap().to_le_bytes());
    for (index, (key, value)) in pairs.iter().enumerate() {
        let at = 20 + 12 * index as u64;
        for (field, text) in [(0, key), (1, value)] {
            let text = utf16(text);
            let place = u32::try_from(item.len()).unwrap();
            put(&mut item, at + 4 * field, &place.to_le_bytes());
            put(
                &mut item,
                at + 8 + 2 * field,
                &u16::try_from(text.len()).unwrap().to_le_bytes(),
            );
            item.extend(text);
        }
    }
    item
}

pub(crate) fn put(bytes: &mut [u8], at: u64, value: &[u8]) {
    let at = usize::try_from(at).unwrap();
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A header at `offset`, sealed.
pub(crate) fn header(bytes: &mut [u8], offset: u64, sequence: u64, log_guid: [u8; 16]) {
    put(bytes, offset, b"head");
    put(bytes, offset + 8, &sequence.to_le_bytes());
    put(bytes, offset + 48, &log_guid);
    put(bytes, offset + 64, &[0, 0, 1, 0]);
    put(bytes, offset + 68, &u32::try_from(MIB).unwrap().to_le_bytes());
    put(bytes, offset + 72, &LOG.to_le_bytes());
    seal(bytes, offset, 4096);
}

/// A region table at `offset`, sealed.
pub(crate) fn regions(bytes: &mut [u8], offset: u64, entries: &[([u8; 16], u64, u64, u32)]) {
    put(bytes, offset, b"regi");
    put(
        bytes,
        offset + 8,
        &u32::try_from(entries.len()).unwrap().to_le_bytes(),
    );
    for (index, (guid, start, length, required)) in entries.iter().enumerate() {
        let at = offset + 16 + 32 * index as u64;
        put(bytes, at, guid);
        put(bytes, at + 16, &start.to_le_bytes());
        put(bytes, at + 24, &u32::try_from(*length).unwrap().to_le_bytes());
        put(bytes, at + 28, &required.to_le_bytes());
    }
    seal(bytes, offset, 64 << 10);
}

/// Makes the checksum at byte 4 of the structure right.
pub(crate) fn seal(bytes: &mut [u8], at: u64, length: u64) {
    put(bytes, at + 4, &[0; 4]);
    let range = usize::try_from(at).unwrap()..usize::try_from(at + length).unwrap();
    let sum = crc32c(&bytes[range]);
    put(bytes, at + 4, &sum.to_le_bytes());
}

/// What a log entry does.
pub(crate) enum Change {
    /// 4 KiB at this offset become these.
    Data(u64, Vec<u8>),
    /// This many bytes at this offset become zeros.
    Zero(u64, u64),
}

/// A log entry, sealed. `tail` and all offsets in bytes.
pub(crate) fn entry(sequence: u64, tail: u64, flushed: u64, last: u64, changes: &[Change]) -> Vec<u8> {
    let described = (64 + 32 * changes.len()).next_multiple_of(4096);
    let data = changes
        .iter()
        .filter(|change| matches!(change, Change::Data(..)))
        .count();
    let mut bytes = vec![0; described + 4096 * data];
    let length = u32::try_from(bytes.len()).unwrap();
    put(&mut bytes, 0, b"loge");
    put(&mut bytes, 8, &length.to_le_bytes());
    put(&mut bytes, 12, &u32::try_from(tail).unwrap().to_le_bytes());
    put(&mut bytes, 16, &sequence.to_le_bytes());
    put(
        &mut bytes,
        24,
        &u32::try_from(changes.len()).unwrap().to_le_bytes(),
    );
    put(&mut bytes, 32, &GUID);
    put(&mut bytes, 48, &flushed.to_le_bytes());
    put(&mut bytes, 56, &last.to_le_bytes());
    let mut sector = described as u64;
    for (index, change) in changes.iter().enumerate() {
        let at = 64 + 32 * index as u64;
        put(&mut bytes, at + 24, &sequence.to_le_bytes());
        match change {
            Change::Zero(offset, length) => {
                put(&mut bytes, at, b"zero");
                put(&mut bytes, at + 8, &length.to_le_bytes());
                put(&mut bytes, at + 16, &offset.to_le_bytes());
            }
            Change::Data(offset, data) => {
                put(&mut bytes, at, b"desc");
                put(&mut bytes, at + 4, &data[4092..]);
                put(&mut bytes, at + 8, &data[..8]);
                put(&mut bytes, at + 16, &offset.to_le_bytes());
                put(&mut bytes, sector, &data[..4092]);
                put(&mut bytes, sector, b"data");
                put(
                    &mut bytes,
                    sector + 4,
                    &u32::try_from(sequence >> 32).unwrap().to_le_bytes(),
                );
                let low = u32::try_from(sequence & 0xffff_ffff).unwrap();
                put(&mut bytes, sector + 4092, &low.to_le_bytes());
                sector += 4096;
            }
        }
    }
    seal(&mut bytes, 0, u64::from(length));
    bytes
}

/// Puts `entry` into the log at byte `at`, around its end if need be, and makes the image dirty.
pub(crate) fn log(bytes: &mut [u8], at: u64, entry: &[u8]) {
    for (index, sector) in entry.chunks(4096).enumerate() {
        put(bytes, LOG + (at + 4096 * index as u64) % MIB, sector);
    }
    header(bytes, 128 << 10, 9, GUID);
}
