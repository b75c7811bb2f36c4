//! Images that qemu-img never makes: laid out byte by byte.

use std::fs;

use super::{Variant, made};
use crate::{Bench, disk};
use instar_testkit::lay::{asif, bochs, cloop, dmg, ova, zst};
use instar_testkit::packed;

/// What qemu-img reads and never makes.
pub const READ_ONLY: &[Variant] = &[
    made("bochs", |bench| redolog(bench, bochs::USUAL), &["image"]),
    made(
        "bochs, version 1",
        |bench| {
            redolog(
                bench,
                bochs::Layout {
                    version: 0x10000,
                    ..bochs::USUAL
                },
            )
        },
        &["image"],
    ),
    made(
        "bochs, extents of a sector",
        |bench| {
            redolog(
                bench,
                bochs::Layout {
                    extent: 512,
                    bitmap: 1,
                    ..bochs::USUAL
                },
            )
        },
        &["image"],
    ),
    made(
        "bochs, large extents, backwards",
        |bench| {
            redolog(
                bench,
                bochs::Layout {
                    extent: 1 << 20,
                    bitmap: 700,
                    header: 1024,
                    spare: 0,
                    backwards: true,
                    ..bochs::USUAL
                },
            )
        },
        &["image"],
    ),
    made("cloop", |bench| loop_device(bench, 65536), &["image"]),
    made("cloop, blocks of a sector", |bench| loop_device(bench, 512), &["image"]),
    made("cloop, blocks of 1.5 MiB", |bench| loop_device(bench, 3 << 19), &["image"]),
];

/// The same where the name of the file says what it is.
pub const BY_NAME: &[Variant] = &[
    made("dmg", |bench| apple(bench, 256 << 10, dmg::ZLIB, cloop::zlib, dmg::Home::List), &["image.dmg"]),
    made(
        "dmg, raw chunks",
        |bench| apple(bench, 100 << 10, dmg::RAW, <[u8]>::to_vec, dmg::Home::List),
        &["image.dmg"],
    ),
    made(
        "dmg, resource fork, small chunks",
        |bench| apple(bench, 512, dmg::ZLIB, cloop::zlib, dmg::Home::Fork),
        &["image.dmg"],
    ),
];

/// What only instar reads of it.
pub const BEYOND: &[Variant] = &[
    made("dmg, ADC", |bench| apple(bench, 256 << 10, dmg::ADC, dmg::adc, dmg::Home::List), &["image.dmg"]),
    made(
        "dmg, bzip2",
        |bench| apple(bench, 256 << 10, dmg::BZIP2, |bytes| packed("bzip2", &["-c"], bytes), dmg::Home::List),
        &["image.dmg"],
    ),
    made(
        "dmg, LZFSE",
        |bench| apple(bench, 1 << 20, dmg::LZFSE, dmg::lzfse, dmg::Home::List),
        &["image.dmg"],
    ),
    made(
        "dmg, xz",
        |bench| apple(bench, 1 << 20, dmg::XZ, |bytes| packed("xz", &["-c"], bytes), dmg::Home::List),
        &["image.dmg"],
    ),
];

/// What qemu-img takes for raw disks.
pub const UNKNOWN: &[Variant] = &[
    made("asif", |bench| apple_sparse(bench, asif::USUAL), &["image"]),
    made(
        "asif, second directory",
        |bench| {
            apple_sparse(
                bench,
                asif::Layout {
                    second: true,
                    ..asif::USUAL
                },
            )
        },
        &["image"],
    ),
    made(
        "asif, whole chunks of 32 KiB",
        |bench| {
            apple_sparse(
                bench,
                asif::Layout {
                    chunk: 32 << 10,
                    parts: false,
                    ..asif::USUAL
                },
            )
        },
        &["image"],
    ),
    made(
        "asif, chunks of 32 KiB",
        |bench| {
            apple_sparse(
                bench,
                asif::Layout {
                    chunk: 32 << 10,
                    ..asif::USUAL
                },
            )
        },
        &["image"],
    ),
    made("ova", |bench| packed_machine(bench, ova::STREAM, None), &["image"]),
    made("ova, in chunks", |bench| packed_machine(bench, ova::STREAM, Some(100_001)), &["image"]),
    made("ova, raw disk", |bench| packed_machine(bench, ova::RAW, None), &["image"]),
    made("ova, raw disk in chunks", |bench| packed_machine(bench, ova::RAW, Some(1_000_001)), &["image"]),
    made("zst", |bench| seekable(bench, 1 << 20, &[], true), &["image"]),
    made("zst, without checksums", |bench| seekable(bench, 256 << 10, &["-1"], false), &["image"]),
    made("zst, small frames", |bench| seekable(bench, 5000, &["-1"], true), &["image"]),
    made(
        "zst, one frame, large window",
        |bench| seekable(bench, 8 << 20, &["--ultra", "--long=30"], true),
        &["image"],
    ),
];

/// The usual disk.
fn usual_bytes(bench: &Bench) -> Vec<u8> {
    disk::usual(&bench.path("disk.raw"));
    fs::read(bench.path("disk.raw")).unwrap()
}

fn redolog(bench: &Bench, layout: bochs::Layout) {
    let image = bochs::image(&usual_bytes(bench), layout);
    fs::write(bench.path("image"), image).unwrap();
}

/// In two block tables, the second one smaller.
fn apple(bench: &Bench, chunk: usize, kind: u32, pack: impl Fn(&[u8]) -> Vec<u8>, home: dmg::Home) {
    let chunks = dmg::chunks(&usual_bytes(bench), chunk, kind, pack);
    let (first, second) = chunks.split_at(chunks.len() * 2 / 3);
    fs::write(bench.path("image.dmg"), dmg::image(&[first, second], home)).unwrap();
}

fn apple_sparse(bench: &Bench, layout: asif::Layout) {
    let image = asif::image(&usual_bytes(bench), layout);
    fs::write(bench.path("image"), image).unwrap();
}

/// With a frame between that decoders skip.
fn seekable(bench: &Bench, size: usize, options: &[&str], checksums: bool) {
    let mut frames = zst::frames(&usual_bytes(bench), size, options);
    frames.insert(1, zst::skipped(b"no part of the disk"));
    fs::write(bench.path("image"), zst::file(&frames, checksums)).unwrap();
}

/// With a disk that qemu-img made.
fn packed_machine(bench: &Bench, format: &str, chunk: Option<usize>) {
    let usual = usual_bytes(bench);
    let words =
        ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "d.vmdk"];
    let (name, bytes) = if format == ova::RAW {
        ("disk.img", usual.clone())
    } else {
        bench.qemu(words).succeeds();
        ("disk.vmdk", fs::read(bench.path("d.vmdk")).unwrap())
    };
    let disk = ova::Disk {
        name,
        bytes: &bytes,
        capacity: usual.len() as u64,
        format,
    };
    fs::write(bench.path("image"), ova::image(&[disk], chunk)).unwrap();
}

fn loop_device(bench: &Bench, block_size: u32) {
    let image = cloop::image(&usual_bytes(bench), block_size);
    fs::write(bench.path("image"), image).unwrap();
}
