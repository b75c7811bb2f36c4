//! What we wrote, read by qemu-img and by two readers that share no code with it or us.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test support outside test functions: a failure is a test failure"
)]

mod common;

use std::process::Command;

use common::{Bench, GRAIN, SPLIT, disk, pattern};
use instar_disk::job::{VmdkAdapter, VmdkCreate, VmdkSubformat};
use instar_disk::vmdk::extent_files;
use instar_disk::{File, FileFacts, Host, ImageText, Kind, fault};
use instar_testkit::pattern::assert_same;
use instar_testkit::{Failing, Native};

fn option(subformat: VmdkSubformat) -> String {
    format!("subformat={}", subformat.name())
}

fn text(text: &str) -> ImageText {
    ImageText::new(text.as_bytes())
}

/// `info --output=json` without what differs from run to run: the content ID and what the file system allocated.
fn info(bench: &Bench, name: &str) -> serde_json::Value {
    let mut info: serde_json::Value =
        serde_json::from_str(&bench.qemu(&["info", "--output=json", name])).unwrap();
    info["format-specific"]["data"]
        .as_object_mut()
        .unwrap()
        .remove("cid")
        .unwrap();
    info.as_object_mut().unwrap().remove("actual-size");
    info.as_object_mut().unwrap().remove("children");
    info
}

#[test]
fn qemu_img_reads_every_subformat_at_every_size_around_a_grain() {
    let bench = Bench::new();
    for subformat in VmdkSubformat::ALL {
        for size in [
            512,
            1024,
            GRAIN - 512,
            GRAIN,
            GRAIN + 512,
            5 * GRAIN - 1024,
            9 * GRAIN + 1536,
        ] {
            let data = disk(size);
            bench.create("d.vmdk", subformat, &data);
            assert_same(&bench.qemu_read("d.vmdk"), &data, subformat.name());
            assert_same(&bench.read("d.vmdk").unwrap(), &data, subformat.name());
            bench.qemu(&["check", "d.vmdk"]);
        }
    }
}

#[test]
fn qemu_img_reads_what_lies_around_a_grain_table() {
    let bench = Bench::new();
    for subformat in [VmdkSubformat::MonolithicSparse, VmdkSubformat::StreamOptimized] {
        for grains in [511, 512, 513, 1600] {
            // The third grain table stays empty.
            let data = common::grains(grains, [0, 1, 510, 511, 512, 1023, 1536, 1599]);
            bench.create("d.vmdk", subformat, &data);
            assert_same(&bench.qemu_read("d.vmdk"), &data, subformat.name());
            bench.qemu(&["check", "d.vmdk"]);
        }
    }
}

#[test]
fn sparse_and_flat_images_are_the_same_bytes_as_qemu_imgs() {
    let bench = Bench::new();
    let data = disk(40 * GRAIN + 512);
    bench.put("in.raw", &data);
    for subformat in VmdkSubformat::ALL {
        if subformat == VmdkSubformat::StreamOptimized {
            continue;
        }
        bench.create("d.vmdk", subformat, &data);
        let names: Vec<String> = std::iter::once("d.vmdk".to_owned())
            .chain(
                extent_files(b"d.vmdk", subformat, data.len() as u64)
                    .map(|extent| String::from_utf8(extent.name).unwrap()),
            )
            .collect();
        let ours: Vec<Vec<u8>> = names.iter().map(|name| without_cid(bench.bytes(name))).collect();
        bench.qemu(&[
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            &option(subformat),
            "in.raw",
            "d.vmdk",
        ]);
        for (name, ours) in names.iter().zip(ours) {
            assert_same(&ours, &without_cid(bench.bytes(name)), name);
        }
    }
}

/// The bytes without the content ID, whose length differs from run to run, and without what qemu-img leaves behind a
/// descriptor that became shorter.
fn without_cid(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(start) = bytes.windows(5).position(|window| window == b"\nCID=") else {
        return bytes;
    };
    let embedded = bytes.starts_with(b"KDMV");
    let region = if embedded { 21 * 512 } else { bytes.len() };
    let id = start + 5;
    let id_end = id + bytes[id..].iter().position(|byte| *byte == b'\n').unwrap();
    let end = bytes[..region]
        .iter()
        .skip(id)
        .position(|byte| *byte == 0)
        .map_or(region, |end| id + end);
    let mut text = bytes[..id].to_vec();
    text.extend_from_slice(&bytes[id_end..end]);
    if embedded {
        text.resize(region, 0);
        text.extend_from_slice(&bytes[region..]);
    }
    bytes = text;
    bytes
}

#[test]
fn info_is_as_for_an_image_of_qemu_img() {
    let bench = Bench::new();
    for subformat in VmdkSubformat::ALL {
        for size in [GRAIN as u64, 5 << 30] {
            let host = Native::new(1);
            let options = VmdkCreate {
                subformat,
                ..VmdkCreate::default()
            };
            let mut target = bench.target(&host, "d.vmdk", &options, size).unwrap();
            assert_eq!(target.size(), size);
            target.finish().unwrap();
            let ours = info(&bench, "d.vmdk");
            bench.qemu(&["check", "d.vmdk"]);
            bench.qemu(&[
                "create",
                "-q",
                "-f",
                "vmdk",
                "-o",
                &option(subformat),
                "d.vmdk",
                &size.to_string(),
            ]);
            assert_eq!(ours, info(&bench, "d.vmdk"), "{}", subformat.name());
        }
    }
}

#[test]
fn options_stand_in_the_descriptor_as_qemu_img_writes_them() {
    let bench = Bench::new();
    let cases = [
        (VmdkAdapter::LsiLogic, "6", "", "adapter_type=lsilogic,compat6"),
        (
            VmdkAdapter::BusLogic,
            "17",
            "abc",
            "adapter_type=buslogic,hwversion=17,toolsversion=abc",
        ),
        (
            VmdkAdapter::LegacyEsx,
            "",
            "1",
            "adapter_type=legacyESX,toolsversion=1",
        ),
        (VmdkAdapter::Ide, "", "", "adapter_type=ide"),
    ];
    for subformat in VmdkSubformat::ALL {
        for (adapter, hw_version, tools_version, theirs) in cases {
            let options = VmdkCreate {
                subformat,
                adapter,
                hw_version: text(hw_version),
                tools_version: text(tools_version),
                ..VmdkCreate::default()
            };
            let host = Native::new(1);
            bench
                .target(&host, "d.vmdk", &options, 3 << 30)
                .unwrap()
                .finish()
                .unwrap();
            let ours = descriptor(&bench.bytes("d.vmdk"));
            let all = format!("{theirs},{}", option(subformat));
            bench.qemu(&["create", "-q", "-f", "vmdk", "-o", &all, "d.vmdk", "3G"]);
            assert_eq!(ours, descriptor(&bench.bytes("d.vmdk")));
        }
    }
}

/// The descriptor, content ID blanked.
fn descriptor(file: &[u8]) -> String {
    let start = file.windows(6).position(|window| window == b"# Disk").unwrap();
    let end = file[start..]
        .iter()
        .position(|byte| *byte == 0)
        .map_or(file.len(), |end| start + end);
    String::from_utf8(without_cid(file[start..end].to_vec())).unwrap()
}

#[test]
fn zeroed_grain_is_announced_as_qemu_img_announces_it() {
    let bench = Bench::new();
    for subformat in [
        VmdkSubformat::MonolithicSparse,
        VmdkSubformat::TwoGbMaxExtentSparse,
    ] {
        let options = VmdkCreate {
            subformat,
            zeroed_grain: true,
            ..VmdkCreate::default()
        };
        let host = Native::new(1);
        bench
            .target(&host, "d.vmdk", &options, GRAIN as u64)
            .unwrap()
            .finish()
            .unwrap();
        let part = if subformat == VmdkSubformat::MonolithicSparse {
            "d.vmdk"
        } else {
            "d-s001.vmdk"
        };
        let ours = without_cid(bench.bytes(part));
        let all = format!("zeroed_grain=on,{}", option(subformat));
        bench.qemu(&["create", "-q", "-f", "vmdk", "-o", &all, "d.vmdk", "64k"]);
        assert_same(&ours, &without_cid(bench.bytes(part)), part);
    }
}

#[test]
fn an_overlay_hides_what_it_must_and_shows_what_it_should() {
    let bench = Bench::new();
    let below = disk(30 * GRAIN + 512);
    bench.create("base.vmdk", VmdkSubformat::MonolithicSparse, &below);
    let mut above = below.clone();
    above[3 * GRAIN..5 * GRAIN].fill(0);
    above[6 * GRAIN + 100] ^= 1;
    let end = above.len();
    above[end - 512..].fill(0);
    let sparse = [
        VmdkSubformat::MonolithicSparse,
        VmdkSubformat::TwoGbMaxExtentSparse,
        VmdkSubformat::StreamOptimized,
    ];
    for subformat in sparse {
        for zeroed_grain in [false, true] {
            let options = VmdkCreate {
                subformat,
                zeroed_grain,
                backing_file: Some(text("base.vmdk")),
                ..VmdkCreate::default()
            };
            bench.create_with("top.vmdk", &options, &above, Some(&below));
            let what = format!("{} {zeroed_grain}", subformat.name());
            assert_same(&bench.qemu_read("top.vmdk"), &above, &what);
            assert_same(&bench.read("top.vmdk").unwrap(), &above, &what);
            bench.qemu(&["check", "top.vmdk"]);
            let ours = info(&bench, "top.vmdk");
            let all = format!("zeroed_grain={zeroed_grain},{}", option(subformat))
                .replace("false", "off")
                .replace("true", "on");
            bench.qemu(&[
                "create",
                "-q",
                "-f",
                "vmdk",
                "-o",
                &all,
                "-b",
                "base.vmdk",
                "-F",
                "vmdk",
                "top.vmdk",
            ]);
            assert_eq!(ours, info(&bench, "top.vmdk"));
        }
    }
}

#[test]
fn split_images_are_written_across_the_two_gibibyte_border() {
    let bench = Bench::new();
    let data = pattern(4 * GRAIN);
    for subformat in [
        VmdkSubformat::TwoGbMaxExtentSparse,
        VmdkSubformat::TwoGbMaxExtentFlat,
    ] {
        for size in [SPLIT - 512, SPLIT, SPLIT + 512, 3 * SPLIT] {
            let host = Native::new(1);
            let options = VmdkCreate {
                subformat,
                ..VmdkCreate::default()
            };
            let mut target = bench.target(&host, "d.vmdk", &options, size).unwrap();
            let start = SPLIT - 2 * GRAIN as u64;
            let length = (data.len() as u64).min(size - start);
            let mut done = 0;
            while done < length {
                let place = target.allocate(start + done, length - done).unwrap();
                assert!(place.fresh);
                let part = &data[done as usize..][..place.length as usize];
                common::FileOf::file_of(&host, place.slot)
                    .write(place.offset, part)
                    .unwrap();
                done += place.length;
            }
            target.finish().unwrap();
            bench.qemu(&["check", "d.vmdk"]);
            let expected = &data[..length as usize];
            bench.put("part.raw", expected);
            let skip = format!("skip={}", start / GRAIN as u64);
            bench.qemu(&[
                "dd",
                "-f",
                "vmdk",
                "-O",
                "raw",
                "bs=64k",
                &skip,
                "count=40000",
                "if=d.vmdk",
                "of=o.raw",
            ]);
            assert_same(
                &bench.bytes("o.raw")[..expected.len()],
                expected,
                subformat.name(),
            );
            let ours = info(&bench, "d.vmdk");
            bench.qemu(&[
                "create",
                "-q",
                "-f",
                "vmdk",
                "-o",
                &option(subformat),
                "d.vmdk",
                &size.to_string(),
            ]);
            assert_eq!(ours, info(&bench, "d.vmdk"));
        }
    }
}

#[test]
fn the_stream_is_written_from_front_to_end_with_markers_and_a_footer() {
    let bench = Bench::new();
    let data = common::grains(600, (0..600).filter(|grain| grain % 9 != 0));
    bench.create("d.vmdk", VmdkSubformat::StreamOptimized, &data);
    let file = bench.bytes("d.vmdk");
    assert_eq!(file.len() % 512, 0);
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    assert_eq!(
        (long(56), long(48)),
        (u64::MAX, 0),
        "the header sends the reader to the footer"
    );
    let (mut at, mut grains, mut tables) = (GRAIN, 0, 0);
    loop {
        let (value, size, kind) = (long(at), word(at + 8) as usize, word(at + 12));
        if size > 0 {
            // Grains stand in ascending order, each where its marker says.
            assert!((value as usize * 512).is_multiple_of(GRAIN) && size < 2 * GRAIN);
            grains += 1;
            at += (12 + size).next_multiple_of(512);
            continue;
        }
        match kind {
            1 => {
                tables += 1;
                assert_eq!(value, 4);
            }
            2 => assert_eq!(value, 1),
            3 => {
                assert_eq!(value, 1);
                assert_eq!(file[at + 512..at + 516], *b"KDMV");
            }
            0 => break,
            kind => panic!("marker {kind} at {at}"),
        }
        at += 512 + value as usize * 512;
    }
    assert_eq!(at + 512, file.len(), "the end marker is the end");
    assert_eq!(
        (grains, tables),
        (
            data.chunks(GRAIN)
                .filter(|grain| !instar_testkit::pattern::is_zero(grain))
                .count(),
            2
        )
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bench = Bench::new();
    let data = disk(9 * GRAIN);
    bench.create("d.vmdk", VmdkSubformat::StreamOptimized, &data);
    let first = bench.bytes("d.vmdk");
    bench.create("d.vmdk", VmdkSubformat::StreamOptimized, &data);
    assert!(first == bench.bytes("d.vmdk"));
}

#[test]
fn an_unfinished_image_is_not_a_vmdk() {
    let bench = Bench::new();
    for subformat in VmdkSubformat::ALL {
        let host = Native::new(1);
        let options = VmdkCreate {
            subformat,
            ..VmdkCreate::default()
        };
        let mut target = bench
            .target(&host, "d.vmdk", &options, 10 * GRAIN as u64)
            .unwrap();
        match target.encoding() {
            Some(_) => drop(target.allocate_encoded(0, 512).unwrap()),
            None => drop(target.allocate(0, 512).unwrap()),
        }
        assert!(bench.read("d.vmdk").is_err(), "{}", subformat.name());
        assert!(
            !bench.try_qemu(&["info", "-f", "vmdk", "d.vmdk"]).status.success(),
            "{}",
            subformat.name()
        );
    }
}

#[test]
fn an_existing_file_is_emptied_first() {
    let bench = Bench::new();
    let data = disk(5 * GRAIN);
    for subformat in [VmdkSubformat::MonolithicSparse, VmdkSubformat::StreamOptimized] {
        bench.create("new.vmdk", subformat, &data);
        bench.put("d.vmdk", &[0xaa; 3 << 20]);
        let host = Native::new(1);
        let file = instar_disk::File::new(&host, host.existing(bench.path("d.vmdk")));
        let options = VmdkCreate {
            subformat,
            file_name: text("new.vmdk"),
            ..VmdkCreate::default()
        };
        let seed = instar_disk::job::Seed {
            random: [9; 32],
            unix_seconds: 1,
        };
        let mut target = instar_vmdk::create(file, &[], &options, data.len() as u64, None, &seed).unwrap();
        target.finish().unwrap();
        assert!(bench.qemu_read("d.vmdk").iter().all(|byte| *byte == 0));
    }
}

#[test]
fn options_that_a_vmdk_cannot_express_are_refused() {
    let bench = Bench::new();
    let host = Native::new(1);
    let text = |text: &str| Some(ImageText::new(text.as_bytes()));
    let options = |subformat, tools: Option<ImageText>, zeroed_grain, backing_file| VmdkCreate {
        subformat,
        tools_version: tools.unwrap_or_default(),
        zeroed_grain,
        backing_file,
        ..VmdkCreate::default()
    };
    let (flat, sparse) = (VmdkSubformat::MonolithicFlat, VmdkSubformat::MonolithicSparse);
    bench.create("base.vmdk", sparse, &[1; 512]);
    for (options, size, code) in [
        (
            options(sparse, None, false, None),
            257 << 40,
            fault::core::TARGET_TOO_LARGE,
        ),
        (options(flat, None, true, None), 512, fault::vmdk::FLAT_ZEROED),
        (
            options(flat, None, false, text("base.vmdk")),
            512,
            fault::vmdk::FLAT_BACKING,
        ),
        (options(sparse, text("a\"b"), false, None), 512, fault::vmdk::TEXT),
        (options(sparse, text("a\nb"), false, None), 512, fault::vmdk::TEXT),
    ] {
        assert_eq!(
            bench.target(&host, "d.vmdk", &options, size).err().unwrap().code,
            code
        );
    }
    let long = options(sparse, text(&"x".repeat(4096)), false, None);
    let longer = VmdkCreate {
        hw_version: ImageText::new(&[b'y'; 4096]),
        ..long.clone()
    };
    drop(bench.target(&host, "d.vmdk", &longer, 512).unwrap());
    let name = "z".repeat(2048);
    let file = File::new(&host, host.target(bench.path("d.vmdk")));
    let longest = VmdkCreate {
        file_name: ImageText::new(name.as_bytes()),
        ..longer
    };
    let seed = instar_disk::job::Seed::default();
    let refused = instar_vmdk::create(file, &[], &longest, 512, None, &seed)
        .err()
        .unwrap();
    assert_eq!(refused.code, fault::vmdk::DESCRIPTOR_SIZE);
    assert_eq!(
        instar_vmdk::fillable(&long, 0).unwrap_err().code,
        fault::vmdk::EMPTY
    );
}

#[test]
fn refusals_have_qemu_imgs_words() {
    let bench = Bench::new();
    bench.create("base.vmdk", VmdkSubformat::MonolithicSparse, &[1; 512]);
    for (options, code) in [
        (
            "subformat=monolithicFlat,zeroed_grain=on",
            fault::vmdk::FLAT_ZEROED,
        ),
        (
            "subformat=monolithicFlat,backing_file=base.vmdk,backing_fmt=vmdk",
            fault::vmdk::FLAT_BACKING,
        ),
    ] {
        let output = bench.try_qemu(&["create", "-f", "vmdk", "-o", options, "x.vmdk", "1M"]);
        let words = code.template().unwrap();
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(words),
            "{options}"
        );
    }
}

#[test]
fn an_image_without_bytes_is_made_and_not_opened_again() {
    let bench = Bench::new();
    for subformat in VmdkSubformat::ALL {
        let host = Native::new(1);
        let options = VmdkCreate {
            subformat,
            ..VmdkCreate::default()
        };
        bench
            .target(&host, "d.vmdk", &options, 0)
            .unwrap()
            .finish()
            .unwrap();
        assert!(bench.read("d.vmdk").is_err());
        let ours = descriptor(&bench.bytes("d.vmdk"));
        bench.qemu(&[
            "create",
            "-q",
            "-f",
            "vmdk",
            "-o",
            &option(subformat),
            "d.vmdk",
            "0",
        ]);
        assert_eq!(ours, descriptor(&bench.bytes("d.vmdk")));
        assert!(bench.read("d.vmdk").is_err());
        assert!(!bench.try_qemu(&["info", "d.vmdk"]).status.success());
    }
}

/// Grains need places below 2 TiB of file: known before a byte is written.
#[test]
fn a_file_that_would_outgrow_its_sector_numbers_is_refused() {
    let bench = Bench::new();
    let host = Native::new(1);
    let mut target = bench
        .target(&host, "d.vmdk", &VmdkCreate::default(), 3 << 40)
        .unwrap();
    target.allocate(0, 1 << 30).unwrap();
    assert_eq!(
        target.allocate(1 << 30, 2 << 40).unwrap_err().code,
        fault::vmdk::FILE_FULL
    );
}

#[test]
fn seven_zip_reads_what_we_write() {
    let bench = Bench::new();
    if Command::new("7zz").output().is_err() {
        instar_testkit::ledger::skip("7zz is not installed");
        return;
    }
    let data = common::grains(600, (0..600).filter(|grain| grain % 5 != 0));
    for subformat in [VmdkSubformat::MonolithicSparse, VmdkSubformat::StreamOptimized] {
        bench.create("d.vmdk", subformat, &data);
        let output = run(&bench, "7zz", &["x", "-so", "-tvmdk", "d.vmdk"]);
        assert_same(&output, &data, subformat.name());
    }
}

#[test]
fn libvmdk_reads_what_we_write() {
    let bench = Bench::new();
    let known = Command::new("/usr/bin/python3")
        .args(["-c", "import pyvmdk"])
        .output();
    if !known.is_ok_and(|output| output.status.success()) {
        instar_testkit::ledger::skip("python3-libvmdk is not installed");
        return;
    }
    let data = common::grains(600, (0..600).filter(|grain| grain % 5 != 0));
    let program = "import pyvmdk,sys\nh=pyvmdk.handle()\nh.open('d.vmdk')\nh.open_extent_data_files()\n\
                   sys.stdout.buffer.write(h.read_buffer(h.get_media_size()))\n";
    for subformat in VmdkSubformat::ALL {
        bench.create("d.vmdk", subformat, &data);
        let output = run(&bench, "/usr/bin/python3", &["-c", program]);
        assert_same(&output, &data, subformat.name());
    }
}

fn run(bench: &Bench, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(bench.directory())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn map_of_what_we_wrote_covers_the_disk_without_gap_or_overlap() {
    let bench = Bench::new();
    for subformat in VmdkSubformat::ALL {
        let mut data = common::grains(1100, (0..1100).filter(|grain| grain % 3 != 0));
        data.extend_from_slice(&[1; 512]);
        bench.create("d.vmdk", subformat, &data);
        let host = Native::new(1);
        let mut image =
            instar_vmdk::open(instar_disk::File::new(&host, host.source(bench.path("d.vmdk")))).unwrap();
        let mut at = 0;
        while at < image.size() {
            let mapping = image.map(at).unwrap();
            let within = image.map(at + mapping.length / 2).unwrap();
            assert!(
                within.length >= mapping.length - mapping.length / 2
                    || matches!(within.kind, Kind::Encoded(_))
            );
            at += mapping.length;
        }
        assert_eq!(at, data.len() as u64);
    }
}

/// A descriptor of a disk of 8 grains and a sector: sparse, flat from some sector on, and sparse again. qemu-img reads such a mixture
/// as something else.
fn split(bench: &Bench) -> [&'static str; 4] {
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n\n\
        RW 513 SPARSE \"d-1.vmdk\"\nRW 384 FLAT \"d-2.vmdk\" 3\nRW 128 SPARSE \"d-3.vmdk\"\n";
    bench.put("d.vmdk", text.as_bytes());
    for (name, sectors) in [("d-1.vmdk", 513), ("d-3.vmdk", 128)] {
        bench.qemu(&["create", "-q", "-f", "vmdk", name, &(sectors * 512).to_string()]);
    }
    bench.put("d-2.vmdk", &[0xee; 387 * 512]);
    ["d.vmdk", "d-1.vmdk", "d-2.vmdk", "d-3.vmdk"]
}

/// Fills the disk through the driver.
fn fill(host: &dyn Host, files: [FileFacts; 4], data: &[u8]) -> instar_disk::Result<()> {
    let [file, extents @ ..] = files.map(|facts| File::new(host, facts));
    let seed = instar_disk::job::Seed {
        random: [7; 32],
        unix_seconds: 1,
    };
    let mut target = instar_vmdk::existing(file, &extents, data.len() as u64, &seed)?;
    assert_eq!(target.size(), data.len() as u64);
    let mut at = 0;
    while at < data.len() {
        let placement = target.allocate(at as u64, (data.len() - at).min(3 * GRAIN) as u64)?;
        let length = placement.length as usize;
        let facts = files.iter().find(|facts| facts.slot == placement.slot).unwrap();
        File::new(host, *facts).write(placement.offset, &data[at..at + length])?;
        at += length;
    }
    target.finish()
}

#[test]
fn a_split_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let bench = Bench::new();
    let names = split(&bench);
    let before = names.map(|name| bench.bytes(name));
    let data = disk(8 * GRAIN + 512);
    let old = bench.read("d.vmdk").unwrap();
    for allowed in 0.. {
        for (name, bytes) in names.iter().zip(&before) {
            bench.put(name, bytes);
        }
        let host = Failing::after(allowed);
        let outcome = fill(
            &host,
            names.map(|name| host.native.existing(bench.path(name))),
            &data,
        );
        let found = bench.read("d.vmdk");
        if outcome.is_ok() {
            assert_same(&found.unwrap(), &data, "written");
            let text = String::from_utf8(bench.bytes("d.vmdk")).unwrap();
            assert!(
                text.starts_with("# Disk DescriptorFile\n") && !text.contains("CID=1\n"),
                "{text}"
            );
            // What is in front of a flat extent is not the disk's.
            assert_eq!(bench.bytes("d-2.vmdk")[..3 * 512], [0xee; 3 * 512]);
            assert!(allowed > 10);
            return;
        }
        if let Ok(found) = found {
            let untouched = found == old && bench.bytes("d.vmdk") == before[0];
            assert!(
                untouched || found == data,
                "after {allowed} changes it is taken for an image"
            );
        } else {
            let refused = bench.try_qemu(&["info", "-f", "vmdk", "d.vmdk"]);
            assert!(!refused.status.success(), "after {allowed} changes");
        }
    }
}

#[test]
fn extents_that_are_not_what_the_descriptor_says_are_not_written_to() {
    let bench = Bench::new();
    let names = split(&bench);
    let before = names.map(|name| bench.bytes(name));
    let data = disk(8 * GRAIN + 512);
    let refused = |files: &dyn Fn(&Native) -> Vec<FileFacts>, size: usize| {
        let host = Native::new(1);
        let files = files(&host).into_iter().map(|facts| File::new(&host, facts));
        let files: Vec<File<'_>> = files.collect();
        let seed = instar_disk::job::Seed::default();
        let fault = instar_vmdk::existing(files[0], &files[1..], size as u64, &seed)
            .err()
            .unwrap();
        for (name, bytes) in names.iter().zip(&before) {
            assert!(bench.bytes(name) == *bytes, "{name}");
        }
        fault.code
    };
    let some = |order: &'static [usize]| {
        let paths = names.map(|name| bench.path(name));
        move |host: &Native| -> Vec<FileFacts> {
            let facts = paths.clone().map(|path| host.existing(path));
            order.iter().map(|at| facts[*at]).collect()
        }
    };
    let size = data.len();
    for (order, size, code) in [
        (&[0, 1, 2, 3][..], size + 1, fault::core::TARGET_TOO_SMALL),
        (&[0, 1, 2], size, fault::vmdk::EXTENT_FILES),
        (&[0, 1, 2, 3, 3], size, fault::vmdk::EXTENT_FILES),
        (&[0, 3, 2, 1], size, fault::vmdk::EXTENT_SIZE),
        (&[0, 1, 0, 3], size, fault::vmdk::EXTENT_LOOP),
        (&[0, 1, 1, 3], size, fault::vmdk::TRUNCATED),
        (&[0, 0, 2, 3], size, fault::vmdk::EXTENT_LOOP),
    ] {
        assert_eq!(refused(&some(order), size), code, "{order:?}, {size}");
    }
    // Two flat extents in one file.
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n\n\
        RW 128 FLAT \"d-2.vmdk\" 0\nRW 128 FLAT \"d-2.vmdk\" 128\n";
    bench.put("d.vmdk", text.as_bytes());
    let before = bench.bytes("d-2.vmdk");
    let host = Native::new(1);
    let [file, extent] = ["d.vmdk", "d-2.vmdk"].map(|name| File::new(&host, host.existing(bench.path(name))));
    let seed = instar_disk::job::Seed::default();
    let fault = instar_vmdk::existing(file, &[extent, extent], 512, &seed)
        .err()
        .unwrap();
    assert_eq!(fault.code, fault::core::UNSUPPORTED);
    assert!(bench.bytes("d-2.vmdk") == before && bench.bytes("d.vmdk") == text.as_bytes());
}
