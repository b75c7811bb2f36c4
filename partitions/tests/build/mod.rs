//! Disks with partition tables, byte by byte.

use crc::{CRC_32_ISO_HDLC, Crc};
use instar_disk::Result;
use instar_partitions::{Disk, RawEntry, RawHeader};
use zerocopy::{FromZeros, IntoBytes};

const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A disk in memory that counts what is read of it.
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) read: u64,
}

impl Disk for Memory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<()> {
        let start = offset as usize;
        self.read += into.len() as u64;
        into.copy_from_slice(&self.bytes[start..start + into.len()]);
        Ok(())
    }
}

impl Memory {
    pub(crate) fn of(mebibytes: usize) -> Self {
        Self {
            bytes: vec![0; mebibytes << 20],
            read: 0,
        }
    }

    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes the partition in a slot of the MBR in sector `at`.
    pub(crate) fn slot(&mut self, at: usize, slot: usize, type_id: u8, start: u32, sectors: u32) {
        let mut bytes = [0; 16];
        bytes[4] = type_id;
        bytes[8..12].copy_from_slice(&start.to_le_bytes());
        bytes[12..].copy_from_slice(&sectors.to_le_bytes());
        self.put(at * 512 + 446 + slot * 16, &bytes);
        self.put(at * 512 + 510, &[0x55, 0xaa]);
    }

    /// Writes a protective MBR, and a GPT with its backup.
    pub(crate) fn gpt(&mut self, sector: u64, partitions: &[(u64, u64)]) {
        self.slot(0, 0, 0xee, 1, u32::MAX);
        let last = self.size() / sector - 1;
        self.copy(sector, 1, last, 2, partitions, |_| {});
        let entries = last - 128 * 128 / sector;
        self.copy(sector, last, 1, entries, partitions, |_| {});
    }

    /// Writes one GPT in sector `at`, changed by `change` before its checksum is made.
    pub(crate) fn copy(
        &mut self,
        sector: u64,
        at: u64,
        alternate: u64,
        entries_lba: u64,
        partitions: &[(u64, u64)],
        change: impl FnOnce(&mut RawHeader),
    ) {
        let mut entries = vec![0; 128 * 128];
        for (number, (first, last)) in partitions.iter().enumerate() {
            let mut entry = RawEntry::new_zeroed();
            entry.type_id = [0xaf; 16];
            entry.id = [number as u8 + 1; 16];
            entry.first = (*first).into();
            entry.last = (*last).into();
            for (to, from) in entry.name.iter_mut().zip([0x70, 0xfc, 0xd800, 0x31]) {
                *to = from.into();
            }
            entries[number * 128..][..128].copy_from_slice(entry.as_bytes());
        }
        let last = self.size() / sector - 1;
        let mut header = RawHeader::new_zeroed();
        header.signature = *b"EFI PART";
        header.revision = 0x1_0000.into();
        header.header_size = 92.into();
        header.my_lba = at.into();
        header.alternate_lba = alternate.into();
        header.first_usable = (2 + 128 * 128 / sector).into();
        header.last_usable = (last - 1 - 128 * 128 / sector).into();
        header.disk_id = [7; 16];
        header.entries_lba = entries_lba.into();
        header.entries = 128.into();
        header.entry_size = 128.into();
        header.entries_crc = SUM.checksum(&entries).into();
        change(&mut header);
        header.header_crc = SUM.checksum(header.as_bytes()).into();
        self.put((entries_lba * sector) as usize, &entries);
        self.put((at * sector) as usize, header.as_bytes());
    }
}
