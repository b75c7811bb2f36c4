//! VHDXs. By qemu-img: log at 1 MiB, BAT at 2 MiB, metadata at 3 MiB.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{MIB, convert, made, only_we_read, only_we_refuse};

const KIB: u64 = 1 << 10;
const HEADER: u64 = 64 * KIB;
const REGIONS: u64 = 192 * KIB;
const LOG: u64 = MIB;
const METADATA: u64 = 3 * MIB;
const TABLE: u64 = 2 * MIB;

/// The parent locator's identifier, and that of the format that its entries have.
const PARENT_LOCATOR: [u8; 16] =
    [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];
const LOCATOR_TYPE: [u8; 16] =
    [0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13];

fn image(bench: &Bench) -> Edited {
    made(bench, "vhdx", "block_size=1M");
    Edited::open(&bench.path("image"))
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The value of a metadata item, by its number in the table that qemu-img writes: parameters, size, page 83, logical and physical sectors.
fn item(image: &Edited, number: u64) -> u64 {
    let entry = image.get(METADATA + 32 + 32 * number + 16, 4);
    METADATA + u64::from(u32::from_le_bytes(entry.try_into().unwrap()))
}

/// Makes it a differencing disk over `parent`, which is of this identity.
fn above(image: &Edited, parent: &str, linkage: &str) {
    let parameters = item(image, 0);
    image.put(parameters + 4, &2_u32.to_le_bytes());
    let mut locator = LOCATOR_TYPE.to_vec();
    locator.extend([0, 0, 2, 0]);
    let mut texts = Vec::new();
    for (key, value) in [("parent_linkage", linkage), ("relative_path", parent)] {
        let (key, value) = (utf16(key), utf16(value));
        let place = 20 + 24 + u32::try_from(texts.len()).unwrap();
        let value_place = place + u32::try_from(key.len()).unwrap();
        locator.extend(place.to_le_bytes());
        locator.extend(value_place.to_le_bytes());
        locator.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
        locator.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        texts.extend([key, value].concat());
    }
    locator.extend(texts);
    let entry = METADATA + 32 + 32 * 5;
    image
        .put(METADATA + 10, &6_u16.to_le_bytes())
        .put(entry, &PARENT_LOCATOR)
        .put(entry + 16, &u32::try_from(128 * KIB).unwrap().to_le_bytes())
        .put(entry + 20, &u32::try_from(locator.len()).unwrap().to_le_bytes())
        .put(entry + 24, &4_u32.to_le_bytes())
        .put(METADATA + 128 * KIB, &locator);
}

/// The identity that a child remembers: the data write GUID of the newer header, in braces.
fn identity(image: &Edited) -> String {
    let sequence = |header| u64::from_le_bytes(image.get(header + 8, 8).try_into().unwrap());
    let newer = if sequence(HEADER) > sequence(2 * HEADER) {
        HEADER
    } else {
        2 * HEADER
    };
    let [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p] =
        <[u8; 16]>::try_from(image.get(newer + 32, 16)).unwrap();
    let text: String =
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{{}-{}-{}-{}-{}}}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

both_sandboxes!(
    a_metadata_item_that_nobody_reads_must_be_valid_too,
    a_differencing_disk_is_read_with_its_parent,
    sectors_of_4096_bytes_are_read,
    a_dirty_image_is_read_as_it_will_be_when_its_log_is_replayed,
    the_second_region_table_counts_where_the_first_is_damaged,
    a_block_inside_the_headers_is_refused,
    a_fixed_image_has_its_blocks_once,
);

fn a_differencing_disk_is_read_with_its_parent(bench: &Bench) {
    let parent = image(bench);
    let linkage = identity(&parent);
    fs::rename(bench.path("image"), bench.path("parent.vhdx")).unwrap();
    disk::make(&bench.path("child.raw"), 6 * MIB, &[Piece::Data(0, MIB, 3)]);
    bench
        .qemu(["convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", "child.raw", "image"])
        .succeeds();
    let child = Edited::open(&bench.path("image"));
    above(&child, "parent.vhdx", &linkage);
    // Blocks that are not in the child are the parent's; qemu-img writes them as zeros.
    for block in 1..6 {
        child.put(TABLE + 8 * block, &[0; 8]);
    }
    disk::write(
        &fs::File::options().write(true).open(bench.path("child.raw")).unwrap(),
        &[Piece::Data(3 * MIB, 70_000, 2)],
    );
    only_we_read(bench, "vhdx-differencing", "vhdx", "child.raw");
    // A parent that was written to since then is no parent any more.
    for header in [HEADER, 2 * HEADER] {
        parent.put(header + 32, &[0x42; 16]).seal_vhdx(header, 4096);
    }
    convert(bench, "vhdx")[1].fails_with("or has changed since: its identifier is 4242");
}

fn sectors_of_4096_bytes_are_read(bench: &Bench) {
    let image = image(bench);
    image.put(item(&image, 3), &4096_u32.to_le_bytes());
    only_we_read(bench, "vhdx-large-sectors", "vhdx", "disk.raw");
}

fn a_dirty_image_is_read_as_it_will_be_when_its_log_is_replayed(bench: &Bench) {
    let image = image(bench);
    // The log has the first sector of the BAT, which the file has lost.
    let table = image.get(TABLE, 4096);
    image.put(TABLE, &[0; 4096]);
    let guid = [0x11; 16];
    let end = image.end().to_le_bytes();
    let mut data = table.clone();
    data[..8].copy_from_slice(b"data\0\0\0\0");
    data[4092..].copy_from_slice(&1_u32.to_le_bytes());
    image
        .put(LOG, b"loge")
        .put(LOG + 8, &8192_u32.to_le_bytes())
        .put(LOG + 12, &0_u32.to_le_bytes())
        .put(LOG + 16, &1_u64.to_le_bytes())
        .put(LOG + 24, &1_u32.to_le_bytes())
        .put(LOG + 32, &guid)
        .put(LOG + 48, &end)
        .put(LOG + 56, &end)
        .put(LOG + 64, b"desc")
        .put(LOG + 68, &table[4092..])
        .put(LOG + 72, &table[..8])
        .put(LOG + 80, &TABLE.to_le_bytes())
        .put(LOG + 88, &1_u64.to_le_bytes())
        .put(LOG + 4096, &data)
        .seal_vhdx(LOG, 8192);
    for header in [HEADER, 2 * HEADER] {
        image.put(header + 48, &guid).seal_vhdx(header, 4096);
    }
    let before = fs::read(bench.path("image")).unwrap();
    only_we_read(bench, "vhdx-dirty", "vhdx", "disk.raw");
    assert!(fs::read(bench.path("image")).unwrap() == before, "the source was written to");
}

fn the_second_region_table_counts_where_the_first_is_damaged(bench: &Bench) {
    image(bench).put(REGIONS + 4, b"lost");
    only_we_read(bench, "vhdx-second-region-table", "vhdx", "disk.raw");
}

fn a_block_inside_the_headers_is_refused(bench: &Bench) {
    // The identifier, the headers and the region tables: the first mebibyte.
    image(bench).put(TABLE, &6_u64.to_le_bytes());
    only_we_refuse(bench, "vhdx-blocks-in-headers", "vhdx", "inside the image's own header, log or tables");
}

fn a_fixed_image_has_its_blocks_once(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 64 * MIB, &[Piece::Data(0, 64 * MIB, 1)]);
    let words = |target| ["convert", "-f", "raw", "-O", "vhdx", "-o", "subformat=fixed", "disk.raw", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    bench.qemu(["compare", "-f", "vhdx", "-F", "vhdx", "theirs", "ours"]).succeeds();
    let [theirs, ours] =
        ["theirs", "ours"].map(|name| bench.path(name).metadata().unwrap().len() > 128 * MIB);
    assert!(!ours);
    deviates("vhdx-fixed", &theirs, &ours);
}

fn a_metadata_item_that_nobody_reads_must_be_valid_too(bench: &Bench) {
    let image = image(bench);
    // The identifier of the disk's page 83 lies in the table of items.
    image.put(METADATA + 32 + 32 * 2 + 16, &0_u32.to_le_bytes());
    only_we_refuse(bench, "vhdx-layout", "vhdx", "VHDX metadata item");
}
