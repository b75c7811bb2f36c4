//! Tables as tools make them, and tables that are damaged, disagree or attack their reader.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests: a failure here is a test failure"
)]

mod build;

use build::Memory;
use instar_disk::FaultCode;
use instar_disk::fault::partitions as found;
use instar_disk::partitions::{Label, PartitionChoice, PartitionKind, PartitionTable, TableChoice};
use instar_partitions::{RawHeader, find, read};

/// What is done to a header before its checksum is made.
type Change = fn(&mut RawHeader);

const AGREED: TableChoice = TableChoice::Agreed;

fn table(disk: &mut Memory) -> PartitionTable {
    read(disk, AGREED).unwrap()
}

fn codes(table: &PartitionTable) -> Vec<FaultCode> {
    table.findings.iter().map(|fault| fault.code).collect()
}

fn places(table: &PartitionTable) -> Vec<(u32, u64, u64)> {
    let partitions = table.partitions.iter();
    partitions
        .map(|partition| (partition.number, partition.start, partition.size))
        .collect()
}

fn disputed(disk: &mut Memory) -> Option<FaultCode> {
    table(disk).disputed.map(|fault| fault.code)
}

fn chosen(table: &PartitionTable, number: u32) -> Result<(u64, u64), FaultCode> {
    let choice = PartitionChoice {
        table: AGREED,
        number,
    };
    find(table, choice).map_err(|fault| fault.code)
}

#[test]
fn a_gpt_is_read_with_sectors_of_either_size() {
    for sector in [512, 4096] {
        let mut disk = Memory::of(4);
        disk.gpt(sector, &[(64, 71), (100, 100)]);
        let table = table(&mut disk);
        assert_eq!(
            places(&table),
            [(1, 64 * sector, 8 * sector), (2, 100 * sector, sector)]
        );
        assert!(table.findings.is_empty() && table.disputed.is_none(), "{table:?}");
        let sector_size = sector as u32;
        let expected = Label::Gpt {
            disk: [7; 16],
            sector_size,
            is_backup: false,
        };
        assert_eq!(table.label, Some(expected));
        assert_eq!(chosen(&table, 2), Ok((100 * sector, sector)));
        assert_eq!(chosen(&table, 3), Err(found::NO_PARTITION));
    }
}

#[test]
fn a_name_is_utf8_whatever_stands_in_the_entry() {
    let mut disk = Memory::of(4);
    disk.gpt(512, &[(64, 71)]);
    let PartitionKind::Gpt { name, .. } = &table(&mut disk).partitions[0].kind else {
        unreachable!("the table is a GPT");
    };
    assert_eq!(name.as_bytes(), "p\u{fc}\u{fffd}1".as_bytes());
}

#[test]
fn a_damaged_copy_is_said_and_the_other_one_used() {
    for sector in [512, 4096] {
        let mut whole = Memory::of(4);
        whole.gpt(sector, &[(64, 71)]);
        let sound = places(&table(&mut whole));
        let last = whole.bytes.len() - sector as usize;
        // A bit of each header, and of each array of entries.
        for (at, code) in [
            (sector as usize + 20, found::PRIMARY_DAMAGED),
            (2 * sector as usize + 5, found::PRIMARY_DAMAGED),
            (last, found::BACKUP_DAMAGED),
            (last + 91, found::BACKUP_DAMAGED),
        ] {
            let mut disk = Memory::of(4);
            disk.gpt(sector, &[(64, 71)]);
            disk.bytes[at] ^= 4;
            let table = table(&mut disk);
            assert_eq!(places(&table), sound, "{at}");
            assert_eq!(codes(&table), [code], "{at}");
            assert!(chosen(&table, 1).is_ok());
        }
    }
}

#[test]
fn a_disk_that_has_grown_is_read_and_said() {
    let mut disk = Memory::of(4);
    disk.gpt(512, &[(64, 71)]);
    disk.bytes.resize(5 << 20, 0);
    assert_eq!(codes(&table(&mut disk)), [found::BACKUP_NOT_LAST]);
}

#[test]
fn copies_that_disagree_are_a_matter_of_choice() {
    let mut disk = Memory::of(4);
    disk.gpt(512, &[(64, 71)]);
    let last = disk.bytes.len() as u64 / 512 - 1;
    disk.copy(512, last, 1, last - 32, &[(64, 79)], |_| {});
    assert_eq!(disputed(&mut disk), Some(found::GPT_DISAGREE));
    let shown = table(&mut disk);
    assert_eq!(chosen(&shown, 1), Err(found::GPT_DISAGREE));
    for (choice, sectors) in [(TableChoice::Gpt, 8), (TableChoice::Backup, 16)] {
        let table = read(&mut disk, choice).unwrap();
        assert_eq!(chosen(&table, 1), Ok((64 * 512, sectors * 512)));
    }
    // The same partitions, of a disk with another name.
    disk.copy(512, last, 1, last - 32, &[(64, 71)], |header| {
        header.disk_id = [8; 16]
    });
    assert_eq!(disputed(&mut disk), Some(found::GPT_DISAGREE));
}

#[test]
fn what_a_header_says_is_believed_only_if_all_of_it_can_be() {
    let bad: [(&str, Change); 17] = [
        ("no signature", |header| header.signature[0] = b'e'),
        ("another sector", |header| header.my_lba = 2.into()),
        ("a short header", |header| header.header_size = 91.into()),
        ("a header longer than a sector", |header| {
            header.header_size = 513.into()
        }),
        ("the longest header", |header| {
            header.header_size = u32::MAX.into()
        }),
        ("nothing usable", |header| header.first_usable = 9000.into()),
        ("more than the disk", |header| header.last_usable = 8192.into()),
        ("much more than the disk", |header| {
            header.last_usable = u64::MAX.into()
        }),
        ("no entries", |header| header.entries = 0.into()),
        ("four billion entries", |header| header.entries = u32::MAX.into()),
        ("entries of a byte", |header| header.entry_size = 1.into()),
        ("entries of nothing", |header| header.entry_size = 0.into()),
        ("entries of an odd size", |header| header.entry_size = 136.into()),
        ("entries of four gibibytes", |header| {
            header.entry_size = (1 << 31).into()
        }),
        ("entries behind the disk", |header| {
            header.entries_lba = u64::MAX.into()
        }),
        ("entries in the header", |header| header.entries_lba = 1.into()),
        ("another checksum", |header| header.entries_crc = 1.into()),
    ];
    for (what, change) in bad {
        let mut disk = Memory::of(4);
        disk.slot(0, 0, 0xee, 1, u32::MAX);
        disk.copy(512, 1, 8191, 2, &[(64, 71)], change);
        assert_eq!(disputed(&mut disk), Some(found::GPT_DAMAGED), "{what}");
        assert!(disk.read < 1 << 20, "{what}: {} bytes read", disk.read);
        assert!(read(&mut disk, TableChoice::Gpt).is_err(), "{what}");
    }
}

#[test]
fn partitions_that_the_disk_does_not_have_are_shown_and_not_read() {
    let mut disk = Memory::of(4);
    disk.gpt(
        512,
        &[
            (64, 71),
            (80, 79),
            (100, 8192),
            (u64::MAX, u64::MAX),
            (72, u64::MAX),
            (60, 65),
            (1, 1),
        ],
    );
    let table = table(&mut disk);
    assert_eq!(table.partitions.len(), 7);
    assert!(chosen(&table, 1).is_ok());
    assert_eq!(chosen(&table, 2), Err(found::REVERSED));
    for number in 3..6 {
        assert_eq!(chosen(&table, number), Err(found::BEYOND_DISK));
    }
    assert_eq!(codes(&table), [found::OUTSIDE_USABLE, found::OVERLAP]);
    assert_eq!(table.findings[1].numbers[..2], [6, 1]);
}

#[test]
fn a_gpt_that_the_mbr_does_not_announce_is_a_matter_of_choice() {
    let mut disk = Memory::of(4);
    disk.gpt(512, &[(64, 71)]);
    disk.put(0, &[0; 512]);
    assert_eq!(disputed(&mut disk), Some(found::NO_PROTECTIVE));
    disk.slot(0, 0, 0x83, 64, 100);
    assert_eq!(disputed(&mut disk), Some(found::NO_PROTECTIVE));
    let mbr = read(&mut disk, TableChoice::Mbr).unwrap();
    assert_eq!(chosen(&mbr, 1), Ok((64 * 512, 100 * 512)));
    // What is left of a GPT at the end, behind the table that replaced it.
    disk.put(512, &[0; 512]);
    let table = table(&mut disk);
    assert_eq!(codes(&table), [found::STALE_BACKUP]);
    assert_eq!(chosen(&table, 1), Ok((64 * 512, 100 * 512)));
}

#[test]
fn a_hybrid_mbr_may_only_repeat_the_gpt() {
    let mut disk = Memory::of(4);
    disk.gpt(512, &[(64, 71), (80, 87)]);
    disk.slot(0, 1, 0x83, 80, 8);
    assert_eq!(disputed(&mut disk), None);
    disk.slot(0, 1, 0x83, 80, 9);
    assert_eq!(disputed(&mut disk), Some(found::HYBRID_DISAGREES));
}

#[test]
fn gpts_for_two_sizes_of_a_sector_are_refused() {
    let mut disk = Memory::of(4);
    disk.slot(0, 0, 0xee, 1, u32::MAX);
    disk.copy(512, 1, 8191, 64, &[(4000, 4001)], |header| {
        header.first_usable = 2048.into();
    });
    disk.copy(4096, 1, 1023, 2, &[(500, 501)], |_| {});
    let refused = read(&mut disk, AGREED).unwrap_err();
    assert_eq!(refused.code, found::TWO_SECTOR_SIZES);
}

#[test]
fn logical_partitions_are_numbered_from_five() {
    let mut disk = Memory::of(4);
    disk.slot(0, 0, 0x83, 64, 8);
    disk.slot(0, 2, 0x0f, 1000, 3000);
    disk.slot(1000, 0, 0x83, 10, 90);
    disk.slot(1000, 1, 0x05, 500, 200);
    disk.slot(1500, 0, 0x82, 1, 100);
    let table = table(&mut disk);
    let expected = [(1, 64, 8), (3, 1000, 3000), (5, 1010, 90), (6, 1501, 100)];
    assert_eq!(
        places(&table),
        expected.map(|(number, start, sectors)| (number, start * 512, sectors * 512))
    );
    assert!(table.findings.is_empty(), "{table:?}");
}

#[test]
fn a_chain_of_logical_partitions_always_ends() {
    let logical = |change: fn(&mut Memory)| {
        let mut disk = Memory::of(4);
        disk.slot(0, 0, 0x05, 1000, 3000);
        disk.slot(1000, 0, 0x83, 1, 10);
        change(&mut disk);
        let table = table(&mut disk);
        assert!(disk.read < 1 << 20, "{} bytes read", disk.read);
        (table.partitions.len(), codes(&table))
    };
    // To itself, to the first one, out of the extended partition, out of the disk, to nothing.
    assert_eq!(
        logical(|disk| disk.slot(1000, 1, 0x05, 0, 10)),
        (2, vec![found::EBR_LOOP])
    );
    let back = logical(|disk| {
        disk.slot(1000, 1, 0x05, 50, 10);
        disk.slot(1050, 0, 0x83, 1, 5);
        disk.slot(1050, 1, 0x05, 0, 10);
    });
    assert_eq!(back, (3, vec![found::EBR_LOOP]));
    assert_eq!(
        logical(|disk| disk.slot(1000, 1, 0x05, 3000, 10)),
        (2, vec![found::EBR_OUTSIDE])
    );
    assert_eq!(
        logical(|disk| {
            disk.slot(0, 0, 0x05, 1000, u32::MAX);
            disk.slot(1000, 1, 0x05, 100_000, 10);
        }),
        (2, vec![found::EBR_MISSING])
    );
    assert_eq!(
        logical(|disk| disk.slot(1000, 1, 0x05, 7, 10)),
        (2, vec![found::EBR_MISSING])
    );
    let long = logical(|disk| {
        for link in 0..1500 {
            disk.slot(1000 + link, 1, 0x05, link as u32 + 1, 1);
        }
    });
    assert_eq!(long.1, [found::EBR_LENGTH]);
}

#[test]
fn a_sector_that_is_no_table_is_none() {
    let empty = |change: fn(&mut Memory)| {
        let mut disk = Memory::of(1);
        change(&mut disk);
        table(&mut disk).label.is_none()
    };
    assert!(empty(|_| {}));
    assert!(empty(|disk| {
        disk.slot(0, 0, 0x83, 1, 1);
        disk.put(446, &[0x7f]);
    }));
    // The boot sector of a file system.
    assert!(empty(|disk| {
        disk.slot(0, 0, 0, 0, 0);
        disk.put(0, &[0xeb, 0x3c, 0x90]);
        disk.put(11, &[0, 2]);
    }));
    assert!(!empty(|disk| disk.slot(0, 0, 0, 0, 0)));
    let mut tiny = Memory {
        bytes: vec![0; 511],
        read: 0,
    };
    assert_eq!(chosen(&table(&mut tiny), 1), Err(found::NO_TABLE));
    let mut nothing = Memory {
        bytes: Vec::new(),
        read: 0,
    };
    assert!(table(&mut nothing).label.is_none());
}
