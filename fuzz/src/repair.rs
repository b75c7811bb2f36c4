//! What an image says of itself, put right after a change: checksums and marks that a driver refuses to go on without.
//!
//! This is our reading of the formats, not the drivers': nothing here is the product's code.

use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc, Table};
use instar_abi::Format;
use instar_testkit::{Content, lay};
use sha2::{Digest, Sha256};

use crate::keys;
use crate::mutate::Repair;
use crate::{Case, Dice};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

static GPT: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// What puts images of a format right.
#[must_use]
pub(crate) fn of(format: Format) -> Repair {
    match format {
        Format::Vpc => |case, _| vhd(&mut case.files[0]),
        Format::Vhdx => |case, _| vhdx(&mut case.files[0]),
        Format::Luks => |case, _| luks(&mut case.files[0]),
        Format::Qcow2 => |case, _| mark(&mut case.files[0], b"QFI\xfb"),
        Format::Qcow => |case, _| mark(&mut case.files[0], b"QFI\xfb\0\0\0\x01"),
        Format::Qed => |case, _| mark(&mut case.files[0], b"QED\0"),
        Format::Vdi => |case, _| vdi(&mut case.files[0]),
        Format::Dmg => |case, _| dmg(&mut case.files[0]),
        Format::Ova => |case, _| tar(&mut case.files[0]),
        _ => |_, _| {},
    }
}

/// The sums of both GPTs, for either size of a sector.
pub(crate) fn partitions(case: &mut Case, _: &mut Dice) {
    let disk = &mut case.files[0];
    for sector in [512, 4096] {
        let last = (disk.len() / sector).saturating_sub(1);
        for at in [sector, last * sector] {
            if get(disk, at) != *b"EFI PART" {
                continue;
            }
            let entries = u64::from_le_bytes(get(disk, at + 72)).saturating_mul(sector);
            let [count, size] = [80, 84].map(|field| u64::from(u32::from_le_bytes(get(disk, at + field))));
            let length = count.saturating_mul(size);
            if length <= 1 << 20 && entries < disk.len() {
                let sum = GPT.checksum(&bytes(disk, entries, length as usize));
                disk.write(at + 88, &sum.to_le_bytes());
            }
            let length = u32::from_le_bytes(get(disk, at + 12)).min(4096);
            disk.write(at + 16, &[0; 4]);
            let sum = GPT.checksum(&bytes(disk, at, length as usize));
            disk.write(at + 16, &sum.to_le_bytes());
        }
    }
}

fn mark(file: &mut Content, mark: &[u8]) {
    if !file.is_empty() {
        file.write(0, mark);
    }
}

/// The checksums of the headers near the start.
fn tar(file: &mut Content) {
    for at in (0..file.len().min(64 << 10)).step_by(512) {
        if &get::<5>(file, at + 257) == b"ustar" {
            file.write(at, &lay::ova::sealed(get(file, at)));
        }
    }
}

fn get<const N: usize>(file: &Content, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    file.read(at, &mut bytes);
    bytes
}

fn bytes(file: &Content, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    file.read(at, &mut bytes);
    bytes
}

/// The footer at the end, its copy at the start, and the header that it points to.
fn vhd(file: &mut Content) {
    let Some(footer) = file.len().checked_sub(512) else {
        return;
    };
    let sum = |file: &mut Content, at: u64, length: usize, field: usize| {
        let mut block = bytes(file, at, length);
        block[field..field + 4].fill(0);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        file.write(at + field as u64, &(!sum).to_be_bytes());
    };
    for at in [footer, 0] {
        if get(file, at) == *b"conectix" {
            let header = u64::from_be_bytes(get(file, at + 16));
            if header < file.len() && get(file, header) == *b"cxsparse" {
                sum(file, header, 1024, 36);
            }
            sum(file, at, 512, 64);
        }
    }
}

/// Both headers, both region tables, and the entries at the start of the log.
fn vhdx(file: &mut Content) {
    let sum = |file: &mut Content, at: u64, length: usize| {
        file.write(at + 4, &[0; 4]);
        let sum = CRC.checksum(&bytes(file, at, length));
        file.write(at + 4, &sum.to_le_bytes());
    };
    if file.len() < 320 << 10 {
        return;
    }
    mark(file, b"vhdxfile");
    for (at, mark, length) in [
        (64 << 10, b"head", 4096),
        (128 << 10, b"head", 4096),
        (192 << 10, b"regi", 65536),
        (256 << 10, b"regi", 65536),
    ] {
        if get(file, at) == *mark {
            sum(file, at, length);
        }
    }
    let mut at = u64::from_le_bytes(get(file, (64 << 10) + 72));
    for _ in 0..4 {
        let length = u32::from_le_bytes(get(file, at.saturating_add(8)));
        if at >= file.len() || get(file, at) != *b"loge" || length > 1 << 20 {
            break;
        }
        sum(file, at, length as usize);
        at += u64::from(length);
    }
}

/// The mark; in version 1 what a key costs, in version 2 the checksum.
fn luks(file: &mut Content) {
    mark(file, b"LUKS\xba\xbe");
    match get(file, 6) {
        [0, 2] => {
            let length = u64::from_be_bytes(get(file, 8)).clamp(512, 1 << 20);
            file.write(448, &[0; 64]);
            let sum = Sha256::digest(bytes(file, 0, length as usize));
            file.write(448, &sum);
        }
        _ => {
            for at in keys::FIELDS {
                let count = u32::from_be_bytes(get(file, at));
                if count > keys::ITERATIONS && count != 0x00ac_71f3 {
                    file.write(at, &(count % keys::ITERATIONS).to_be_bytes());
                }
            }
        }
    }
}

fn vdi(file: &mut Content) {
    if file.len() > 512 {
        file.write(64, &0xbeda_107f_u32.to_le_bytes());
    }
}

/// The trailer's mark.
fn dmg(file: &mut Content) {
    if let Some(at) = file.len().checked_sub(512) {
        file.write(at, b"koly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, Dice, seeds};

    /// What is right stays as it is: a repair that changes a sound image has another idea of the format than its writer.
    #[test]
    fn a_sound_image_is_not_changed() {
        for format in Format::ALL {
            for seed in seeds::images(format) {
                let case = Case::decode(&seed);
                let mut repaired = case.clone();
                of(format)(&mut repaired, &mut Dice::new(0));
                assert!(repaired.encode() == case.encode(), "{}", format.name());
            }
        }
    }
}
