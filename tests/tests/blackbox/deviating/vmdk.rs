//! VMDKs.

use std::fs;

use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{MIB, convert, made, only_we_read, only_we_refuse};

const DESCRIPTOR: u64 = 512;

/// A descriptor that has everything it must have, with these extent lines.
fn descriptor(create_type: &str, extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"{create_type}\"\n\n# Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n"
    )
}

fn write_descriptor(bench: &Bench, text: &str) {
    fs::write(bench.path("image"), text).unwrap();
}

/// A disk of 1 MiB of data in `flat`, and an image that names it.
fn flat(bench: &Bench, lines: &str) {
    fs::write(bench.path("flat"), instar_tests::disk::pattern(0, MIB, 1)).unwrap();
    write_descriptor(bench, &descriptor("monolithicFlat", lines));
}

/// Changes the descriptor inside `image`.
fn embedded(bench: &Bench, change: impl Fn(String) -> String) -> Edited {
    made(bench, "vmdk", "");
    let image = Edited::open(&bench.path("image"));
    let text = image.get(DESCRIPTOR, 1024);
    let end = text.iter().position(|byte| *byte == 0).unwrap();
    let text = change(String::from_utf8(text[..end].to_vec()).unwrap());
    image.put(DESCRIPTOR, &[0; 1024]).put(DESCRIPTOR, text.as_bytes());
    image
}

fn u64_at(image: &Edited, at: u64) -> u64 {
    u64::from_le_bytes(image.get(at, 8).try_into().unwrap())
}

fn u32_at(image: &Edited, at: u64) -> u64 {
    u32::from_le_bytes(image.get(at, 4).try_into().unwrap()).into()
}

both_sandboxes!(
    an_extent_elsewhere_is_refused,
    a_damaged_head_of_a_grain_is_seen_by_measure,
    a_damaged_second_grain_directory_does_not_matter,
    an_extent_that_is_a_descriptor_is_refused,
    a_footer_that_contradicts_its_header_is_refused,
    a_descriptor_elsewhere_is_refused,
    a_descriptor_with_two_meanings_is_refused,
    an_embedded_descriptor_of_other_files_is_refused,
    lines_that_some_reader_takes_for_an_extent_are_refused,
    extents_that_would_be_left_out_are_refused,
    an_extent_of_another_size_than_its_line_is_refused,
    a_flat_extent_shorter_than_its_line_is_refused,
    a_grain_outside_its_file_or_inside_the_header_is_refused,
    a_compression_that_contradicts_itself_is_refused,
    a_transfer_in_text_mode_is_noticed,
    sparse_extents_with_a_partial_grain_are_read,
    a_size_of_more_tables_than_32_bits_can_count_is_refused,
);

fn an_extent_elsewhere_is_refused(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    fs::write(bench.path("elsewhere/secret"), [b's'; 8192]).unwrap();
    let absolute = bench.path("elsewhere/secret");
    for name in ["elsewhere/secret", "./elsewhere/secret", absolute.to_str().unwrap()] {
        flat(bench, &format!("RW 16 FLAT \"{name}\" 0"));
        only_we_refuse(bench, "vmdk-extent-names", "vmdk", "which no rule lets it open");
    }
}

fn an_extent_that_is_a_descriptor_is_refused(bench: &Bench) {
    // A header without capacity wraps a descriptor, which may name another such file, and so on.
    flat(bench, "");
    let text = descriptor("monolithicFlat", "RW 2048 FLAT \"flat\" 0");
    embedded(bench, |_| text.clone()).put(12, &[0; 8]);
    fs::rename(bench.path("image"), bench.path("inner")).unwrap();
    write_descriptor(bench, &descriptor("twoGbMaxExtentSparse", "RW 2048 SPARSE \"inner\""));
    only_we_refuse(bench, "vmdk-nested-descriptors", "vmdk", "is itself a descriptor");
}

fn a_footer_that_contradicts_its_header_is_refused(bench: &Bench) {
    made(bench, "vmdk", "subformat=streamOptimized");
    let image = Edited::open(&bench.path("image"));
    let (end, header) = (image.end().next_multiple_of(512), image.get(0, 512));
    let mut marker = [0; 512];
    marker[12] = 3;
    image.put(end, &marker).put(end + 512, &header).put(end + 1024, &[0; 512]);
    image.put(56, &u64::MAX.to_le_bytes());
    convert(bench, "vmdk")[1].succeeds();
    // The footer's disk is half as large.
    image.put(end + 512 + 12, &6144_u64.to_le_bytes());
    only_we_refuse(bench, "vmdk-footer", "vmdk", "the footer contradicts the header at byte 13");
}

fn a_descriptor_elsewhere_is_refused(bench: &Bench) {
    embedded(bench, |text| text).put(28, &2_u64.to_le_bytes());
    only_we_refuse(bench, "vmdk-descriptor-place", "vmdk", "it must start at sector 1");
}

fn a_descriptor_with_two_meanings_is_refused(bench: &Bench) {
    for line in ["CID=87654321\n", "CREATETYPE=\"vmfs\"\n"] {
        embedded(bench, |text| format!("{text}{line}"));
        only_we_refuse(bench, "vmdk-ambiguous-descriptor", "vmdk", "the descriptor is ambiguous");
    }
}

fn an_embedded_descriptor_of_other_files_is_refused(bench: &Bench) {
    embedded(bench, |text| {
        text.replace("RW 12288 SPARSE \"image\"", "RW 6144 SPARSE \"image\"\nRW 6144 SPARSE \"other\"")
    });
    only_we_refuse(
        bench,
        "vmdk-embedded-extents",
        "vmdk",
        "claims that the disk is elsewhere: RW 6144 SPARSE \"other\"",
    );
    for line in ["RW 12288 FLAT \"flat\" 0", "RW 12288 VMFS \"flat\"", "RW 12288 ZERO"] {
        embedded(bench, |text| text.replace("RW 12288 SPARSE \"image\"", line));
        only_we_refuse(
            bench,
            "vmdk-embedded-extents",
            "vmdk",
            &format!("claims that the disk is elsewhere: {line}"),
        );
    }
}

fn lines_that_some_reader_takes_for_an_extent_are_refused(bench: &Bench) {
    for (line, words) in [
        ("rw 2048 FLAT \"flat\" 0", "unsupported extent type or access"),
        ("RW many FLAT \"flat\" 0", "Invalid extent line"),
        ("ddb.x = 1\rRW 2048 FLAT \"flat\" 0", "some programs would find an extent in the line"),
    ] {
        flat(bench, &format!("RW 2048 FLAT \"flat\" 0\n{line}"));
        only_we_refuse(bench, "vmdk-unknown-lines", "vmdk", words);
    }
    flat(bench, "RW 2048 FLAT \"flat\" 0");
    let text = fs::read(bench.path("image")).unwrap();
    fs::write(bench.path("image"), [&text, b"\0RW 2048 FLAT \"flat\" 0\n".as_slice()].concat()).unwrap();
    only_we_refuse(bench, "vmdk-unknown-lines", "vmdk", "some programs would find");
}

fn extents_that_would_be_left_out_are_refused(bench: &Bench) {
    for line in ["RDONLY 2048 FLAT \"flat\" 0", "NOACCESS 2048 FLAT \"flat\" 0", "RW 2048 ZERO"] {
        flat(bench, &format!("RW 2048 FLAT \"flat\" 0\n{line}"));
        only_we_refuse(bench, "vmdk-extent-kinds", "vmdk", "unsupported extent type or access");
    }
}

fn an_extent_of_another_size_than_its_line_is_refused(bench: &Bench) {
    made(bench, "vmdk", "subformat=twoGbMaxExtentSparse");
    let text = fs::read_to_string(bench.path("image")).unwrap();
    write_descriptor(bench, &text.replace("RW 12288 ", "RW 12160 "));
    only_we_refuse(bench, "vmdk-extent-sizes", "vmdk", "but the extent itself claims 12288");
}

fn a_flat_extent_shorter_than_its_line_is_refused(bench: &Bench) {
    flat(bench, "RW 2049 FLAT \"flat\" 0");
    only_we_refuse(bench, "vmdk-short-extents", "vmdk", "File truncated, expecting at least 1049088 bytes");
}

fn a_grain_outside_its_file_or_inside_the_header_is_refused(bench: &Bench) {
    made(bench, "vmdk", "");
    let image = Edited::open(&bench.path("image"));
    let directory = u64_at(&image, 56) * 512;
    let table = u32_at(&image, directory) * 512;
    let sound = image.get(table, 4);
    image.put(table, &u32::MAX.to_le_bytes());
    let [theirs, ours] = convert(bench, "vmdk");
    ours.fails_with("past the end of its file");
    deviates("vmdk-grains-outside", &theirs.code(), &ours.code());
    image.put(table, &1_u32.to_le_bytes());
    only_we_refuse(bench, "vmdk-grains-in-metadata", "vmdk", "inside the metadata");
    image.put(table, &sound);
    convert(bench, "vmdk")[1].succeeds();
}

fn a_compression_that_contradicts_itself_is_refused(bench: &Bench) {
    made(bench, "vmdk", "");
    Edited::open(&bench.path("image")).put(8, &0x0001_0003_u32.to_le_bytes());
    only_we_refuse(bench, "vmdk-compression", "vmdk", "contradicts the feature flags");
}

fn a_transfer_in_text_mode_is_noticed(bench: &Bench) {
    made(bench, "vmdk", "");
    Edited::open(&bench.path("image")).put(73, b"\n \n\n");
    only_we_refuse(bench, "vmdk-text-mode", "vmdk", "damaged by a text-mode transfer");
}

fn sparse_extents_with_a_partial_grain_are_read(bench: &Bench) {
    // Two extents of 100 sectors: qemu-img takes the second for what it remembers of the first's last grain.
    let disk = instar_tests::disk::pattern(0, 2 * 51_200, 9);
    for (name, part) in [("one", &disk[..51_200]), ("two", &disk[51_200..])] {
        fs::write(bench.path("part.raw"), part).unwrap();
        bench
            .qemu([
                "convert",
                "-f",
                "raw",
                "-O",
                "vmdk",
                "-o",
                "subformat=twoGbMaxExtentSparse",
                "part.raw",
                name,
            ])
            .succeeds();
    }
    fs::write(bench.path("disk.raw"), &disk).unwrap();
    write_descriptor(
        bench,
        &descriptor("twoGbMaxExtentSparse", "RW 100 SPARSE \"one-s001\"\nRW 100 SPARSE \"two-s001\""),
    );
    only_we_read(bench, "vmdk-partial-grains", "vmdk", "disk.raw");
}

fn a_damaged_head_of_a_grain_is_seen_by_measure(bench: &Bench) {
    made(bench, "vmdk", "subformat=streamOptimized");
    let image = Edited::open(&bench.path("image"));
    // The first grain: its sector, and its length.
    let grain = 128 * 512;
    assert_ne!(u32_at(&image, grain + 8), 0);
    image.put(grain + 8, &0_u32.to_le_bytes());
    let words = ["measure", "-f", "vmdk", "-O", "qcow2", "image"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    ours.fails_with("the compressed grain at byte");
    deviates("vmdk-stream-heads", &theirs.code(), &ours.code());
}

fn a_damaged_second_grain_directory_does_not_matter(bench: &Bench) {
    made(bench, "vmdk", "");
    // It is the first of the two in the header.
    Edited::open(&bench.path("image")).put(48, &(1_u64 << 54).to_le_bytes());
    only_we_read(bench, "tables-as-read", "vmdk", "disk.raw");
}

fn a_size_of_more_tables_than_32_bits_can_count_is_refused(bench: &Bench) {
    made(bench, "vmdk", "");
    // Sectors: 2^52, of 2^36 grain tables.
    Edited::open(&bench.path("image")).put(12, &(1_u64 << 52).to_le_bytes());
    let words = ["info", "-f", "vmdk", "image"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    ours.fails_with("L1 size too big");
    deviates("vmdk-size-wraps", &theirs.code(), &ours.code());
}
