//! VHDs.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{MIB, convert, made, only_we_read, only_we_refuse};

const TYPE: u64 = 60;
const TABLE: u64 = 1536;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// `image` becomes a differencing disk over `parent`, whose name is put where the footer was.
fn above(bench: &Bench, parent: &str) {
    let image = Edited::open(&bench.path("image"));
    let name = utf16(parent);
    let place = image.end() - 512;
    let footer = image.put(TYPE, &4_u32.to_be_bytes()).seal_vhd_footer(0).get(0, 512);
    image
        .put(512 + 576, b"W2ru")
        .put(512 + 584, &u32::try_from(name.len()).unwrap().to_be_bytes())
        .put(512 + 592, &place.to_be_bytes())
        // Who the parent is: its identifier.
        .put(512 + 40, &Edited::open(&bench.path(parent)).get(68, 16))
        .seal_vhd_header()
        .put(place, &[0; 512])
        .put(place, &name)
        .put(place + 512, &footer);
}

both_sandboxes!(
    a_differencing_disk_is_read_with_its_parent,
    an_empty_fixed_disk_is_read,
    an_unknown_disk_type_is_refused,
    a_fixed_disk_s_footer_in_front_is_refused,
    a_block_inside_the_headers_is_refused,
);

fn a_differencing_disk_is_read_with_its_parent(bench: &Bench) {
    made(bench, "vpc", "force_size=on");
    fs::rename(bench.path("image"), bench.path("parent.vhd")).unwrap();
    // Blocks of 2 MiB: the child has the first and, as a hole, the rest.
    disk::make(&bench.path("disk.raw"), 6 * MIB, &[Piece::Data(0, 2 * MIB, 3)]);
    bench.qemu(["convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", "disk.raw", "image"]).succeeds();
    above(bench, "parent.vhd");
    disk::write(
        &fs::File::options().write(true).open(bench.path("disk.raw")).unwrap(),
        &[Piece::Data(3 * MIB, 70_000, 2)],
    );
    only_we_read(bench, "vhd-differencing", "vpc", "disk.raw");
    // A parent of another identity is no parent.
    Edited::open(&bench.path("parent.vhd")).put(68, &[0x42; 16]).seal_vhd_footer(0);
    convert(bench, "vpc")[1]
        .fails_with("the parent is not the disk that this image was based on: its identifier is 4242");
}

fn an_empty_fixed_disk_is_read(bench: &Bench) {
    fs::write(bench.path("empty"), b"").unwrap();
    bench.qemu(["create", "-q", "-f", "vpc", "-o", "subformat=fixed", "image", "0"]).succeeds();
    only_we_read(bench, "vhd-empty-fixed", "vpc", "empty");
}

fn an_unknown_disk_type_is_refused(bench: &Bench) {
    made(bench, "vpc", "");
    Edited::open(&bench.path("image")).put(TYPE, &77_u32.to_be_bytes()).seal_vhd_footer(0);
    only_we_refuse(
        bench,
        "vhd-disk-types",
        "vpc",
        "unsupported VHD disk type 77; the types are 2 (fixed), 3 (dynamic) and 4 (differencing)",
    );
}

fn a_fixed_disk_s_footer_in_front_is_refused(bench: &Bench) {
    made(bench, "vpc", "");
    Edited::open(&bench.path("image")).put(TYPE, &2_u32.to_be_bytes()).seal_vhd_footer(0);
    only_we_refuse(bench, "vhd-fixed-in-front", "vpc", "invalid VPC image");
}

fn a_block_inside_the_headers_is_refused(bench: &Bench) {
    made(bench, "vpc", "");
    for sector in [0_u32, 1, 3] {
        Edited::open(&bench.path("image")).put(TABLE, &sector.to_be_bytes());
        only_we_refuse(bench, "vhd-blocks-in-headers", "vpc", "inside the image's own header or tables");
    }
}
