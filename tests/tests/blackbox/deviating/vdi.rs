//! VDIs.

use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{made, only_we_refuse};

const DATA_OFFSET: u64 = 0x158;
const BLOCK_EXTRA: u64 = 0x17c;

both_sandboxes!(
    a_block_map_past_the_end_of_the_file_is_refused,
    bytes_in_front_of_each_block_are_refused,
    data_inside_the_header_or_the_map_is_refused,
);

fn a_block_map_past_the_end_of_the_file_is_refused(bench: &Bench) {
    made(bench, "vdi", "");
    Edited::open(&bench.path("image")).length(512);
    only_we_refuse(
        bench,
        "vdi-map-past-end",
        "vdi",
        "before the 24 bytes at offset 512 that the image refers to",
    );
}

fn bytes_in_front_of_each_block_are_refused(bench: &Bench) {
    made(bench, "vdi", "");
    Edited::open(&bench.path("image")).put(BLOCK_EXTRA, &512_u32.to_le_bytes());
    only_we_refuse(bench, "vdi-block-extra", "vdi", "(512 extra bytes before each block)");
}

fn data_inside_the_header_or_the_map_is_refused(bench: &Bench) {
    made(bench, "vdi", "");
    for offset in [0_u32, 512] {
        Edited::open(&bench.path("image")).put(DATA_OFFSET, &offset.to_le_bytes());
        only_we_refuse(bench, "vdi-data-in-headers", "vdi", "inside its own header or block map");
    }
}
