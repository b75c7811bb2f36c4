//! Images that qemu-img makes, of a few disks and in many ways: few enough for most of them to be made once.

use instar_testkit::lay::{bochs, cloop, dmg};
use instar_tests::Dice;

use crate::case::{Step, words};
use crate::content::Piece;

/// An image with all that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) steps: Vec<Step>,
    pub(crate) name: String,
    pub(crate) format: &'static str,
}

/// The raw disk that images are made of.
pub(crate) const DISK: &str = "disk.raw";

/// One of the disks.
pub(crate) fn disk(dice: &mut Dice) -> Step {
    let (size, pieces) = content(dice.of(&[0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7]));
    Step::Disk(DISK.to_owned(), size, pieces)
}

fn content(number: u64) -> (u64, Vec<Piece>) {
    use Piece::{Fill, Lines, Noise};
    match number {
        0 => (0, Vec::new()),
        1 => (512, vec![Lines(0, 512)]),
        2 => (1000, vec![Lines(0, 1000)]),
        3 => (
            66_048,
            vec![Lines(0, 4096), Fill(8192, 4096, 0), Noise(65_536, 512, 7)],
        ),
        4 => (
            300 << 10,
            vec![
                Noise(0, 20 << 10, 1),
                Lines(64 << 10, 100 << 10),
                Lines(200 << 10, 4096),
                Fill(250 << 10, 8192, 0),
            ],
        ),
        5 => (
            (1 << 20) + 1024,
            vec![
                Lines(512, 30 << 10),
                Fill(128 << 10, 64 << 10, 0),
                Noise(320 << 10, 70_000, 3),
                Fill(600 << 10, 33_333, 0xa5),
                Lines((1 << 20) - 2048, 3072),
            ],
        ),
        6 => (
            (2 << 20) + 512,
            vec![
                Lines(0, 4096),
                Lines(64 << 10, 200 << 10),
                Noise((512 << 10) + 512, 512, 4),
                Noise(1 << 20, 100 << 10, 5),
                Fill((1 << 20) + (100 << 10), 100 << 10, 0),
                Lines((2 << 20) - 1024, 1536),
            ],
        ),
        _ => (3 << 20, vec![Lines(1 << 20, 1 << 20)]),
    }
}

/// An image in one of the formats.
pub(crate) fn image(dice: &mut Dice) -> Image {
    let format = dice.of(&[
        "raw",
        "qcow2",
        "qcow2",
        "qcow2",
        "qcow2",
        "vmdk",
        "vmdk",
        "vmdk",
        "vdi",
        "vpc",
        "vpc",
        "vhdx",
        "vhdx",
        "qed",
        "qcow",
        "parallels",
        "laid",
    ]);
    of_format(dice, format)
}

/// An image of `format`; `laid` stands for those that are only read.
pub(crate) fn of_format(dice: &mut Dice, format: &'static str) -> Image {
    match format {
        "raw" => Image {
            steps: vec![disk(dice)],
            name: DISK.to_owned(),
            format: "raw",
        },
        "laid" => laid(dice),
        "qcow2" if dice.one_in(3) => layered(dice),
        _ => converted(dice, format),
    }
}

fn converted(dice: &mut Dice, format: &'static str) -> Image {
    let options = options(dice, format);
    let mut line = words(&format!("convert -f raw -O {format}"));
    line.extend(words(options));
    line.extend([DISK.to_owned(), "image".to_owned()]);
    Image {
        steps: vec![disk(dice), Step::Setup(line)],
        name: "image".to_owned(),
        format,
    }
}

/// Words for `convert` that choose a variant of a format.
pub(crate) fn options(dice: &mut Dice, format: &str) -> &'static str {
    match format {
        "qcow2" => dice.of(QCOW2),
        "vmdk" => dice.of(&[
            "",
            "-o subformat=streamOptimized",
            "-o subformat=monolithicFlat",
            "-o subformat=twoGbMaxExtentSparse",
            "-o subformat=twoGbMaxExtentFlat",
            "-o hwversion=6,adapter_type=lsilogic",
        ]),
        "vdi" => dice.of(&["", "-o static=on"]),
        "vpc" => dice.of(&[
            "",
            "-o force_size=on",
            "-o subformat=fixed",
            "-o subformat=fixed,force_size=on",
        ]),
        "vhdx" => dice.of(&["", "-o block_size=1M", "-o subformat=fixed", "-o log_size=2M"]),
        "qed" => dice.of(&[
            "",
            "-o cluster_size=4k",
            "-o cluster_size=4k,table_size=2",
            "-o table_size=4",
        ]),
        "qcow" => dice.of(&["", "-c"]),
        "parallels" => dice.of(&["", "-o cluster_size=64k", "-o cluster_size=4k"]),
        _ => "",
    }
}

const QCOW2: &[&str] = &[
    "",
    "-c",
    "-o cluster_size=512",
    "-o cluster_size=4k",
    "-o cluster_size=4k",
    "-c -o cluster_size=4k",
    "-c -o cluster_size=16k,compression_type=zstd",
    "-o cluster_size=16k,extended_l2=on",
    "-c -o extended_l2=on",
    "-o compat=0.10,cluster_size=4k",
    "-c -o compat=0.10,cluster_size=512",
    "-o refcount_bits=1,cluster_size=4k",
    "-o refcount_bits=8,cluster_size=1k",
    "-o refcount_bits=64,cluster_size=1k",
    "-o lazy_refcounts=on",
    "-o preallocation=metadata,cluster_size=4k",
    "-o preallocation=falloc,cluster_size=16k",
    "-o data_file=image.data",
    "-o data_file=image.data,data_file_raw=on",
    "-o cluster_size=2M",
];

/// A layer over another image, with snapshots or bitmaps: written to after it was made.
fn layered(dice: &mut Dice) -> Image {
    let variety = dice.below(6);
    let options = dice.of(&[
        "cluster_size=4k",
        "cluster_size=64k",
        "cluster_size=16k,extended_l2=on",
        "cluster_size=512",
    ]);
    let mut steps = vec![disk(dice)];
    let create = |backing: &str, size: &str| {
        Step::setup(&format!("create -q -f qcow2 -o {options} {backing} image {size}"))
    };
    match variety {
        0 | 1 => steps.push(create("-b disk.raw -F raw", "")),
        2 => steps.push(create("-b disk.raw -F raw", "1536k")),
        3 => {
            steps.push(Step::setup("convert -f raw -O qcow2 -c disk.raw base"));
            steps.push(create("-b base -F qcow2", "2M"));
        }
        _ => steps.push(create("", "1M")),
    }
    let io = |commands: &[&str]| {
        Step::Io(
            "qcow2".to_owned(),
            "image".to_owned(),
            commands.iter().map(|&words| words.to_owned()).collect(),
        )
    };
    // Where the disk is too small for these, there is no such image.
    match dice.below(3) {
        0 => steps.push(io(&["write -P 65 2k 8k", "write -z 32k 16k", "discard 0 4k"])),
        1 => steps.push(io(&[
            "write -P 66 100k 30k",
            "write -z 64k 4k",
            "write -P 67 512 512",
        ])),
        _ => {}
    }
    match variety {
        4 => {
            steps.push(Step::setup("snapshot -c first image"));
            steps.push(io(&["write -P 68 96k 40k"]));
            if dice.one_in(2) {
                steps.push(Step::setup("snapshot -c second image"));
            }
        }
        5 => {
            steps.push(Step::setup("bitmap --add -g 4k image b0"));
            steps.push(io(&["write -P 69 200k 40k"]));
            if dice.one_in(2) {
                steps.push(Step::setup("bitmap --add --disable image b1"));
            }
        }
        _ => {}
    }
    Image {
        steps,
        name: "image".to_owned(),
        format: "qcow2",
    }
}

/// Formats that qemu-img reads and never makes.
fn laid(dice: &mut Dice) -> Image {
    let bytes: Vec<u8> = (0..4096_u64)
        .flat_map(|line| format!("{line:031}\n").into_bytes())
        .collect();
    let (format, image) = match dice.below(4) {
        0 => ("bochs", bochs::image(&bytes, bochs::USUAL)),
        1 => ("cloop", cloop::image(&bytes, 64 << 10)),
        other => {
            let (kind, home) = if other == 2 {
                (dmg::ZLIB, dmg::Home::List)
            } else {
                (dmg::RAW, dmg::Home::Fork)
            };
            let chunks = match other {
                2 => dmg::chunks(&bytes, 32 << 10, kind, cloop::zlib),
                _ => dmg::chunks(&bytes, 16 << 10, kind, <[u8]>::to_vec),
            };
            let (first, second) = chunks.split_at(chunks.len() * 2 / 3);
            ("dmg", dmg::image(&[first, second], home))
        }
    };
    // qemu-img takes this format for granted where a name says so.
    let name = if format == "dmg" { "image.dmg" } else { "image" };
    Image {
        steps: vec![Step::File(name.to_owned(), image.into())],
        name: name.to_owned(),
        format,
    }
}
