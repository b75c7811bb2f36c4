//! What the header and the offsets may say, beside qemu-img. That blocks are read as by qemu-img, black-box tests show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::image::walk;
use instar_testkit::lay::cloop as lay;
use instar_testkit::oracle::{info_number, qemu_complaint};
use instar_testkit::pattern::pattern;
use instar_testkit::words;

const OPEN_CALLS: u64 = 2;
const MAP_CALLS: u64 = 2;

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let image = dir.path("image");
    let sound = lay::image(&pattern(0, 20 * 4096), 4096);
    let offset = |index: usize| 136 + 8 * index;
    let lies: [(usize, &[u8]); 10] = [
        (128, &4097_u32.to_be_bytes()),
        (128, &0_u32.to_be_bytes()),
        (128, &((64_u32 << 20) + 512).to_be_bytes()),
        (132, &u32::MAX.to_be_bytes()),
        (132, &536_870_912_u32.to_be_bytes()),
        (132, &(1_u32 << 26).to_be_bytes()),
        (offset(3), &0_u64.to_be_bytes()),
        (offset(0), &u64::MAX.to_be_bytes()),
        (offset(20), &(1_u64 << 40).to_be_bytes()),
        (offset(20), &0_u64.to_be_bytes()),
    ];
    for (at, value) in lies {
        let mut lie = sound.clone();
        lie[at..at + value.len()].copy_from_slice(value);
        let fault = walk(instar_cloop::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("cloop", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "{value:?} at {at}");
    }
}

/// Missing offsets are zeros: less than those before them.
#[test]
fn a_file_that_ends_inside_its_offsets_is_refused_in_the_words_of_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("image");
    let sound = lay::image(&pattern(0, 20 * 4096), 4096);
    for length in [150, 200, 201, 136 + 8 * 20] {
        let fault = walk(
            instar_cloop::open,
            &image,
            &sound[..length],
            OPEN_CALLS,
            MAP_CALLS,
        )
        .unwrap_err();
        let said = qemu_complaint("cloop", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "{length} bytes");
    }
}

#[test]
fn a_disk_without_blocks_has_no_bytes() {
    let dir = Bench::new();
    let image = dir.path("image");
    for length in [136, 144] {
        let bytes = lay::of_streams(&[], 4096);
        assert_eq!(
            walk(
                instar_cloop::open,
                &image,
                &bytes[..length],
                OPEN_CALLS,
                MAP_CALLS
            ),
            Ok(0)
        );
        assert_eq!(info_number("cloop", &image, "virtual-size"), Some(0));
    }
}

#[test]
fn recognises_the_whole_script_and_nothing_else() {
    let bytes = lay::image(&pattern(0, 4096), 4096);
    assert!(instar_cloop::probe(&bytes[..512]));
    assert!(instar_cloop::probe(lay::SCRIPT));
    assert!(!instar_cloop::probe(&lay::SCRIPT[..lay::SCRIPT.len() - 1]));
}
