//! Bochs images.

use std::fs;

use instar_testkit::lay::bochs;
use instar_tests::disk;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::only_we_refuse;

fn image(bench: &Bench, layout: bochs::Layout) -> Edited {
    let disk = disk::pattern(0, 300 << 10, 1);
    fs::write(bench.path("image"), bochs::image(&disk, layout)).unwrap();
    Edited::open(&bench.path("image"))
}

both_sandboxes!(
    a_catalog_or_an_extent_past_the_end_of_the_file_is_refused,
    bitmaps_without_a_bit_for_each_sector_are_refused,
);

fn a_catalog_or_an_extent_past_the_end_of_the_file_is_refused(bench: &Bench) {
    image(bench, bochs::USUAL).length(520);
    only_we_refuse(
        bench,
        "bochs-past-end",
        "bochs",
        "before the 32 bytes at offset 512 that the image refers to",
    );
    let cut = image(bench, bochs::USUAL);
    cut.length(cut.end() - 40_000);
    only_we_refuse(bench, "bochs-past-end", "bochs", "that the image refers to");
    image(bench, bochs::USUAL).put(512, &1000_u32.to_le_bytes());
    only_we_refuse(bench, "bochs-past-end", "bochs", "that the image refers to");
}

fn bitmaps_without_a_bit_for_each_sector_are_refused(bench: &Bench) {
    for bytes in [0_u32, 15] {
        image(bench, bochs::USUAL).put(76, &bytes.to_le_bytes());
        only_we_refuse(bench, "bochs-short-bitmap", "bochs", "has no bit for each of its 128 sectors");
    }
}
