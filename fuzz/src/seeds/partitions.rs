//! Disks with partition tables, laid out by hand.

use crate::{Case, Dice, repair};

/// Bytes of the disks.
const DISK: usize = 1 << 20;
/// Bytes of the entries of a GPT.
const ENTRIES: u64 = 128 * 128;

/// Disks with a GPT for either size of a sector, a hybrid one, and one with logical partitions.
#[must_use]
pub fn partitions() -> Vec<Vec<u8>> {
    let mut hybrid = gpt(512);
    slot(&mut hybrid, 0, 1, 0x83, 80, 16);
    let disks = [gpt(512), gpt(4096), hybrid, mbr()];
    let of = |(seed, disk): (u64, Vec<u8>)| {
        let mut case = Case::of(&[&disk]);
        case.seed = seed;
        repair::partitions(&mut case, &mut Dice::new(seed));
        case.encode()
    };
    (0..).zip(disks.into_iter().cycle().take(20)).map(of).collect()
}

/// Sums are put right by the repair.
fn gpt(sector: u64) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    let last = DISK as u64 / sector - 1;
    let array = ENTRIES / sector;
    slot(&mut disk, 0, 0, 0xee, 1, u32::MAX);
    for (at, alternate, entries) in [(1, last, 2), (last, 1, last - array)] {
        let header = (at * sector) as usize;
        disk[header..header + 12].copy_from_slice(b"EFI PART\0\0\x01\0");
        disk[header + 12] = 92;
        for (field, number) in [
            (24, at),
            (32, alternate),
            (40, 2 + array),
            (48, last - 1 - array),
            (72, entries),
            (80, 128 | 128 << 32),
        ] {
            disk[header + field..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let first = (entries * sector) as usize;
        for (number, (from, to)) in [(80, 95), (100, 100), (120, 150)].into_iter().enumerate() {
            let entry = &mut disk[first + number * 128..][..128];
            entry[..32].fill(number as u8 + 1);
            entry[32..40].copy_from_slice(&u64::to_le_bytes(from));
            entry[40..48].copy_from_slice(&u64::to_le_bytes(to));
            entry[56..60].copy_from_slice(b"p\0q\0");
        }
    }
    disk[100 * sector as usize] = 7;
    disk
}

fn mbr() -> Vec<u8> {
    let mut disk = vec![0; DISK];
    slot(&mut disk, 0, 0, 0x83, 64, 8);
    slot(&mut disk, 0, 3, 0x05, 100, 1000);
    slot(&mut disk, 100, 0, 0x83, 1, 50);
    slot(&mut disk, 100, 1, 0x05, 200, 300);
    slot(&mut disk, 300, 0, 0x82, 2, 60);
    disk[302 * 512 + 9] = 9;
    disk
}

fn slot(disk: &mut [u8], at: usize, slot: usize, type_id: u8, start: u32, sectors: u32) {
    let table = &mut disk[at * 512..][..512];
    let entry = &mut table[446 + slot * 16..][..16];
    entry[4] = type_id;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..].copy_from_slice(&sectors.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
}
