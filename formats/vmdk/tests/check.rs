//! What a check may cost, beside `qemu-img check`.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a failure is a test failure, and sizes are small"
)]

mod common;

use std::fs::File as StdFile;
use std::os::unix::fs::FileExt;

use common::build::{Hosted, descriptor};
use common::{Bench, GRAIN, pattern};
use instar_disk::report::Checked;
use instar_disk::{File, Findings};
use instar_testkit::Native;

/// Grain tables of one extent, each in a page of its own: a check reads 32 KiB to look at one.
const TABLES: u32 = 16_400;
const PAGE: u32 = 32 << 10;
/// Entries of a grain table: few, so that there are many tables.
const ENTRIES: usize = 8;
/// Where things stand in an extent.
const DIRECTORY: u32 = 64 << 10;
const DATA: u32 = 192 << 10;
const FIRST_TABLE: u32 = 256 << 10;

/// An extent with one grain, and with tables that are far from one another.
fn scattered(bench: &Bench, name: &str) -> u64 {
    let (mut header, _) = Hosted {
        entries: ENTRIES,
        create_type: None,
        ..Hosted::default()
    }
    .build(&[0; 512]);
    header.truncate(512);
    let sectors = u64::from(TABLES) * (ENTRIES * GRAIN / 512) as u64;
    header[12..][..8].copy_from_slice(&sectors.to_le_bytes());
    header[56..][..8].copy_from_slice(&u64::from(DIRECTORY / 512).to_le_bytes());
    let table = |number: u32| FIRST_TABLE + number * PAGE;
    let directory: Vec<u8> = (0..TABLES)
        .flat_map(|number| (table(number) / 512).to_le_bytes())
        .collect();
    let file = StdFile::create(bench.path(name)).unwrap();
    file.set_len(u64::from(table(TABLES))).unwrap();
    file.write_all_at(&header, 0).unwrap();
    file.write_all_at(&directory, DIRECTORY.into()).unwrap();
    file.write_all_at(&pattern(GRAIN), DATA.into()).unwrap();
    file.write_all_at(&(DATA / 512).to_le_bytes(), table(0).into())
        .unwrap();
    sectors
}

/// The tables stand in the extents, not in the file that names them: it is the extents together that justify reading them.
#[test]
fn a_sound_disk_in_many_files_is_looked_through_to_its_end() {
    assert!(
        2 * u64::from(TABLES) * u64::from(PAGE) > 1 << 30,
        "more than is read without asking what the files hold"
    );
    let bench = Bench::new();
    let lines: Vec<String> = ["one.vmdk", "two.vmdk"]
        .iter()
        .map(|name| format!("RW {} SPARSE \"{name}\"", scattered(&bench, name)))
        .collect();
    let text = descriptor("twoGbMaxExtentSparse", &lines.join("\n"));
    let path = bench.put("disk.vmdk", text.as_bytes());
    let native = Native::new(1);
    let file = File::new(&native, native.source(path));
    let checked = instar_vmdk::check(file)
        .unwrap()
        .run(&mut Findings::new(&native))
        .unwrap();
    assert_eq!(checked, Checked::default());
}
