//! C2, C3, C7, D1 for formats that qemu-img does not know. There is no reference: what is not refused must be bounded, and where the
//! file of the image is the disk's source, every byte must come from it.

use std::fs;

use instar_testkit::lay::{asif, zst};
use instar_tests::compare::allocated;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes, disk};

use crate::foreign::{Lie, PATIENT, be32, be64, is_stopped, lies};
use crate::{refused, run, run_within};

const MIB: u64 = 1 << 20;

/// Tells each lie alone about the image `sound`: it is refused without a target, or read within bounds. Gives how many were refused.
pub(crate) fn tell(bench: &Bench, sound: &[u8], lies: &[Lie]) -> usize {
    let mut refusals = 0;
    for (what, at, bytes) in lies {
        fs::write(bench.path("image"), sound).unwrap();
        Edited::open(&bench.path("image")).put(*at, bytes);
        let what = format!("{what} is {bytes:02x?}");
        let words = ["convert", "--max-size", "1T", "-O", "raw", "image", "ours"];
        let ours = run_within(bench, PATIENT, &words);
        for words in [&["info", "image"][..], &["info", "--safety", "image"], &["map", "image"]] {
            run_within(bench, PATIENT, words);
        }
        if ours.code() == Some(0) {
            assert!(allocated(&bench.path("ours")) < 16 * MIB, "{what}: much disk was written");
            fs::remove_file(bench.path("ours")).unwrap();
        } else {
            refusals += 1;
            assert!(!bench.path("ours").exists(), "{what}: refused, yet a target stands");
        }
    }
    refusals
}

/// 3 MiB in chunks of 32 KiB, with holes in chunks and of whole chunks.
fn sparse() -> Vec<u8> {
    let mut bytes = disk::pattern(0, 3 * MIB, 1);
    for hole in [4096..20_480, 69_632..1_400_832] {
        bytes[hole].fill(0);
    }
    let layout = asif::Layout {
        chunk: 32 << 10,
        ..asif::USUAL
    };
    asif::image(&bytes, layout)
}

/// Where in it the active directory and the first table are.
fn places(image: &[u8]) -> (u64, u64) {
    let word = |at: u64| u64::from_be_bytes(image[at as usize..][..8].try_into().unwrap());
    let directory = word(16);
    (directory, word(directory + 8) * (32 << 10))
}

both_sandboxes!(
    c2_d1_lying_asif_headers,
    c2_c7_d1_lying_asif_directories_and_tables,
    c2_an_asif_that_is_cut_off_is_refused,
    c3_all_chunks_of_an_asif_are_one,
    c3_all_chunks_of_an_asif_share_their_bitmap,
    c2_d1_lying_seek_tables,
    c2_frames_that_are_not_what_the_table_says_are_refused,
    c3_frames_of_much_zero_are_within_what_the_caller_allows,
    c2_a_table_of_gigabytes_of_hole_is_refused,
);

fn c2_d1_lying_asif_headers(bench: &Bench) {
    let edges = [0, 1, 8, 511, 513, 1 << 20, 1 << 40, 1 << 62, 1 << 63, u64::MAX - 7, u64::MAX];
    let told = lies(vec![
        ("first directory", 16, be64(&edges)),
        ("second directory", 24, be64(&edges)),
        ("sectors", 48, be64(&[0, 1, 6143, 6145, 1 << 40, 1 << 54, 1 << 55, 1 << 63, u64::MAX])),
        ("most sectors", 56, be64(&[0, 1, 6143, 1 << 43, 1 << 54, 1 << 55, 1 << 63, u64::MAX])),
        ("chunk", 64, be32(&[0, 1, 512, 16_384, 32_767, 65_536, 1 << 20, 64 << 20, 128 << 20, u32::MAX])),
        ("sector", 68, vec![vec![0, 0], vec![0, 1], vec![1, 0], vec![4, 0], vec![16, 0], vec![0xff, 0xff]]),
    ]);
    assert!(tell(bench, &sparse(), &told) > 30);
}

fn c2_c7_d1_lying_asif_directories_and_tables(bench: &Bench) {
    let sound = sparse();
    let (directory, table) = places(&sound);
    let number = table >> 15;
    let entry = |state: u64, chunk: u64| state << 62 | chunk;
    let mut values = vec![0, 1, number, number + 1, 1 << 20, (1 << 55) - 1, 1 << 55, u64::MAX];
    for state in 1..4 {
        values.extend([0, 1, number, number + 1, 1 << 20, (1 << 55) - 1].map(|chunk| entry(state, chunk)));
    }
    let told = lies(vec![
        ("entry of the directory", directory + 8, be64(&values)),
        ("entry of the table", table, be64(&values)),
        ("entry of a chunk in parts", table + 8, be64(&values)),
        ("entry of the bitmap", table + 8 * 2048, be64(&values)),
    ]);
    assert!(tell(bench, &sound, &told) > 40);
    // The table is its own chunk, and the chunk of its bitmap.
    let mut circle = sound;
    for at in [table, table + 8 * 2048] {
        circle[at as usize..][..8].copy_from_slice(&entry(3, number).to_be_bytes());
    }
    fs::write(bench.path("image"), circle).unwrap();
    run(bench, &["convert", "-O", "raw", "image", "ours"]);
}

fn c2_an_asif_that_is_cut_off_is_refused(bench: &Bench) {
    let sound = sparse();
    let (_, table) = places(&sound);
    for length in [80, 511, 512, 513, table, table + 1, sound.len() as u64 - 1] {
        fs::write(bench.path("image"), &sound[..length as usize]).unwrap();
        refused(bench, "image", "are needed");
    }
}

/// A terabyte: a directory of one table, which is full of one chunk.
fn everything(bench: &Bench, entry: u64, bitmap: u64) {
    let (groups, group) = (63, 2048_u64);
    let tables = (1_u64 << 40).div_ceil(groups * group * MIB);
    let mut head = b"shdw\0\0\0\x01\0\0\x02\0\0\0\0\0".to_vec();
    for word in [512_u64, 4096, 0, 0, 1 << 31, 1 << 31] {
        head.extend(word.to_be_bytes());
    }
    head.extend([0, 0x10, 0, 0, 2, 0]);
    fs::write(bench.path("image"), b"").unwrap();
    let image = Edited::open(&bench.path("image"));
    let of_group = [entry.to_be_bytes().repeat(group as usize), bitmap.to_be_bytes().to_vec()].concat();
    image
        .length(4 * MIB)
        .put(0, &head)
        .put(512, &1_u64.to_be_bytes())
        .put(520, &1_u64.to_be_bytes().repeat(tables as usize))
        .put(MIB, &of_group.repeat(groups as usize))
        .put(2 * MIB, &disk::pattern(0, MIB, 1))
        .put(3 * MIB, &[0x44; 1 << 20]);
}

fn c3_all_chunks_of_an_asif_are_one(bench: &Bench) {
    everything(bench, 1 << 62 | 2, 0);
    is_stopped(bench);
}

fn c3_all_chunks_of_an_asif_share_their_bitmap(bench: &Bench) {
    everything(bench, 3 << 62 | 2, 1 << 62 | 3);
    is_stopped(bench);
}

fn seekable() -> (Vec<zst::Frame>, Vec<u8>) {
    let frames = zst::frames(&disk::pattern(0, 3 * MIB, 1), 512 << 10, &[]);
    let file = zst::file(&frames, true);
    (frames, file)
}

fn c2_d1_lying_seek_tables(bench: &Bench) {
    let (frames, sound) = seekable();
    let end = sound.len() as u64;
    let table = end - zst::table(&frames, true).len() as u64;
    let le32 = |values: &[u32]| values.iter().map(|value| value.to_le_bytes().to_vec()).collect::<Vec<_>>();
    let edges =
        le32(&[0, 1, 7, 8, 511, 512 << 10, (512 << 10) + 1, 64 << 20, (64 << 20) + 1, 1 << 31, u32::MAX]);
    let told = lies(vec![
        ("magic of the table", table, le32(&[0, 0x184d_2a50, 0xfd2f_b528, u32::MAX])),
        ("bytes of the table", table + 4, edges.clone()),
        ("bytes of a frame", table + 8, edges.clone()),
        ("bytes of the disk", table + 12, edges.clone()),
        ("checksum", table + 16, edges.clone()),
        ("bytes of the last frame", table + 8 + 12 * 5, edges.clone()),
        ("frames", end - 9, edges),
        ("descriptor", end - 5, (0..=255).step_by(17).map(|bits| vec![bits]).collect()),
    ]);
    // What is no table any more is a raw disk.
    assert!(tell(bench, &sound, &told) > 30);
}

/// Who decodes from start to end sees another disk than who follows the table.
fn c2_frames_that_are_not_what_the_table_says_are_refused(bench: &Bench) {
    let (frames, _) = seekable();
    let refuses = |what: &str, change: &dyn Fn(&mut Vec<zst::Frame>), checksums: bool| {
        let mut frames = frames.clone();
        change(&mut frames);
        fs::write(bench.path("image"), zst::file(&frames, checksums)).unwrap();
        for words in [["convert", "-O", "raw", "image", "out"], ["dd", "-O", "raw", "if=image", "of=out"]] {
            let outcome = run(bench, &words);
            outcome.fails();
            assert!(
                outcome.errors().contains("damaged") || outcome.errors().contains("skip"),
                "{what}: {outcome}"
            );
            assert!(!bench.path("out").exists(), "{what}");
        }
    };
    refuses("decodes to more", &|frames| frames[1].0 -= 1, true);
    refuses("decodes to less", &|frames| frames[1].0 += 1, false);
    refuses(
        "a second frame behind it",
        &|frames| frames[1].1 = [frames[1].1.clone(), frames[2].1.clone()].concat(),
        false,
    );
    refuses("half of it", &|frames| frames[1].1.truncate(1000), false);
    refuses("hidden", &|frames| frames[1].0 = 0, true);
    refuses("another content", &|frames| frames[1].1[100_000] ^= 1, false);
    // Frames without a checksum of their own, so that only that of the table can be wrong.
    let bare = zst::frames(&disk::pattern(0, MIB, 1), 512 << 10, &["--no-check"]);
    fs::write(bench.path("image"), zst::file(&bare, true)).unwrap();
    refused(bench, "image", "damaged");
    fs::write(bench.path("image"), zst::file(&bare, false)).unwrap();
    run(bench, &["checksum", "image"]).succeeds();
}

/// Zeros compress well, and are as many as they are.
fn c3_frames_of_much_zero_are_within_what_the_caller_allows(bench: &Bench) {
    let frame = zst::frames(&vec![0; 64 << 20], 64 << 20, &[]).remove(0);
    fs::write(bench.path("image"), zst::file(&vec![frame; 1 << 14], true)).unwrap();
    assert!(allocated(&bench.path("image")) < 64 * MIB);
    run(bench, &["info", "image"]).succeeds();
    run(bench, &["convert", "--untrusted", "--max-size", "1G", "-O", "raw", "image", "out"]).fails();
    assert!(!bench.path("out").exists());
    run_within(bench, PATIENT, &["convert", "--timeout", "1", "-O", "raw", "image", "out"]).fails();
    assert!(!bench.path("out").exists());
}

fn c2_a_table_of_gigabytes_of_hole_is_refused(bench: &Bench) {
    let (frames, _) = seekable();
    fs::write(bench.path("image"), &frames[0].1).unwrap();
    let image = Edited::open(&bench.path("image"));
    let count = u32::MAX / 12 - 1;
    let table = image.end();
    let bytes = count * 12 + 9;
    let end = table + 8 + u64::from(bytes);
    image
        .length(end)
        .put(table, &0x184d_2a5e_u32.to_le_bytes())
        .put(table + 4, &bytes.to_le_bytes())
        .put(end - 9, &count.to_le_bytes())
        .put(end - 5, &[0x80])
        .put(end - 4, &0x8f92_eab1_u32.to_le_bytes());
    refused(bench, "image", "supported are at most");
}
