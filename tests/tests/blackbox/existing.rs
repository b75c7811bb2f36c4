//! Existing targets: they are written in place (`-n`), replaced, or left alone after a failure.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use instar_tests::compare::{checks_clean, checks_clean_as, qemu_reads, same_bytes};
use instar_tests::craft::Crafted;
use instar_tests::disk::{self, Piece};
use instar_tests::ledger::deviates;
use instar_tests::{Bench, both_sandboxes};

/// A qcow2 image that names a file which no user may open.
fn hostile(bench: &Bench, name: &str) {
    Crafted::image(bench, name, "4M", "", 65536).backing(b"/etc/passwd");
}

/// A compressed image whose last data is damaged, so that a conversion fails late.
fn damaged(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 16 << 20, &[Piece::Text(0, 16 << 20)]);
    bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "disk.raw", "damaged"]).succeeds();
    let image = Crafted::open(&bench.path("damaged"));
    let table = image.get(image.get(40)) & 0x00ff_ffff_ffff_fe00;
    let entry = image.get(table + 255 * 8);
    assert_ne!(entry & instar_tests::craft::COMPRESSED, 0);
    image.bytes(entry & ((1 << 54) - 1), &[0xff; 32]);
}

/// Formats besides raw and qcow2 whose images can be written in place, and ways in which those are made.
const IN_PLACE: &[(&str, &str)] = &[
    ("vdi", "static=off"),
    ("vdi", "static=on"),
    ("qcow", "nocow=off"),
    ("parallels", "cluster_size=64k"),
    ("parallels", "cluster_size=49152"),
    ("qed", "cluster_size=4k"),
    ("qed", "cluster_size=4M,table_size=2"),
    ("vpc", "force_size=on"),
    ("vpc", "subformat=dynamic"),
    ("vpc", "subformat=fixed"),
    ("vhdx", "block_size=1M"),
    ("vhdx", "block_size=8M"),
    ("vhdx", "block_state_zero=off"),
    ("vhdx", "subformat=fixed"),
    ("vmdk", "subformat=monolithicSparse"),
    ("vmdk", "zeroed_grain=on"),
    ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ("vmdk", "subformat=twoGbMaxExtentFlat"),
];

/// Two images of the format with old data: blocks that are there, blocks that are not, and one that is full.
fn used(bench: &Bench, format: &str, options: &str, size: u64) {
    let pieces = [
        Piece::Data(0, 70_000, 60),
        Piece::Data(2 << 20, 1 << 20, 61),
        Piece::Data(size - (1 << 20), 4096, 62),
    ];
    disk::make(&bench.path("old.raw"), size, &pieces);
    for target in ["theirs", "ours"] {
        bench.qemu(["convert", "-f", "raw", "-O", format, "-o", options, "old.raw", target]).succeeds();
    }
}

both_sandboxes!(
    writes_into_existing_images_of_other_formats,
    writes_into_every_extent_of_a_split_vmdk,
    compressed_vmdks_and_overlays_are_not_written_to,
    an_existing_image_of_other_formats_that_is_too_small_stays_as_it_is,
    an_existing_image_of_other_formats_is_unmistakably_incomplete_after_a_late_failure,
    writes_into_an_existing_raw_file,
    a_source_that_ends_inside_a_cluster_leaves_what_lies_behind_it,
    target_is_zero_is_believed,
    writes_into_an_existing_qcow2,
    writes_into_a_qcow2_whose_data_file_lies_beside_it,
    writes_into_no_data_file_that_the_gate_would_not_open,
    refuses_a_target_that_is_too_small,
    replaces_an_existing_file,
    an_existing_target_survives_a_refused_conversion,
    an_existing_qcow2_target_is_unmistakably_incomplete_after_a_late_failure,
    a_conversion_that_fails_late_leaves_no_file,
    keeps_the_permissions_that_the_umask_gives,
    source_and_target_may_not_be_the_same_file,
    writes_to_a_device_in_place,
);

fn writes_into_existing_images_of_other_formats(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (format, options) in bench.share(IN_PLACE) {
        // A target as large as the source, and a larger one.
        for size in [disk::USUAL_BYTES, 24 << 20] {
            let what = format!("{format} {options} of {size} bytes");
            used(bench, format, options, size);
            let before = bench.path("ours").metadata().unwrap().ino();
            let words = |target| ["convert", "-n", "-f", "raw", "-O", format, "disk.raw", target];
            bench.qemu(words("theirs")).succeeds();
            let ours = bench.instar(words("ours"));
            assert_eq!(ours.code(), Some(0), "{what}: {ours}");
            assert_eq!(bench.path("ours").metadata().unwrap().ino(), before, "{what}: the file was replaced");
            for target in ["theirs", "ours"] {
                bench
                    .qemu(["convert", "-f", format, "-O", "raw", target, &format!("{target}.raw")])
                    .succeeds();
            }
            same_bytes(bench, "theirs.raw", "ours.raw", &what);
            if !["vpc", "qcow"].contains(format) {
                checks_clean_as(bench, format, "ours", &what);
            }
            bench.instar(["convert", "-f", format, "-O", "raw", "ours", "back.raw"]).succeeds();
            same_bytes(bench, "theirs.raw", "back.raw", &what);
            let lengths = ["theirs", "ours"].map(|name| bench.path(name).metadata().unwrap().len());
            assert!(lengths[1] <= lengths[0] + (16 << 20), "{what}: {lengths:?}");
            for name in ["theirs", "ours", "theirs.raw", "ours.raw", "back.raw"] {
                fs::remove_file(bench.path(name)).unwrap();
            }
        }
    }
}

/// Disks whose pieces have a boundary inside: every one of them is written to, and the boundary with them.
fn writes_into_every_extent_of_a_split_vmdk(bench: &Bench) {
    let size = (4 << 30) + (5 << 20);
    disk::make(
        &bench.path("old.raw"),
        size,
        &[
            Piece::Data(1 << 20, 300_000, 1),
            Piece::Data((2 << 30) - 70_000, 200_000, 2),
            Piece::Data(size - (1 << 20), 1 << 20, 3),
        ],
    );
    let source = size - 1536;
    disk::make(
        &bench.path("disk.raw"),
        source,
        &[
            Piece::Data(70_000, 100_000, 4),
            Piece::Data((2 << 30) - 700, 70_000, 5),
            Piece::Data((4 << 30) - 1024, 2048, 6),
            Piece::Data(source - 512, 512, 7),
        ],
    );
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        bench
            .qemu([
                "convert",
                "-f",
                "raw",
                "-O",
                "vmdk",
                "-o",
                &format!("subformat={subformat}"),
                "old.raw",
                "ours.vmdk",
            ])
            .succeeds();
        let descriptor = fs::read_to_string(bench.path("ours.vmdk")).unwrap();
        bench.instar(["convert", "-n", "-f", "raw", "-O", "vmdk", "disk.raw", "ours.vmdk"]).succeeds();
        // The zeros behind it take the room of leading zeros of an ID, which qemu-img leaves out.
        let but_id = |text: &str| {
            text.trim_end_matches('\0')
                .lines()
                .filter(|line| !line.starts_with("CID="))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let now = fs::read_to_string(bench.path("ours.vmdk")).unwrap();
        assert_eq!(but_id(&now), but_id(&descriptor), "{subformat}");
        assert_ne!(now, descriptor, "{subformat}: another content ID");
        // The end of the old disk stays behind the source.
        let kept = fs::OpenOptions::new().read(true).write(true).open(bench.path("disk.raw")).unwrap();
        let mut tail = [0; 1536];
        fs::File::open(bench.path("old.raw")).unwrap().read_exact_at(&mut tail, source).unwrap();
        kept.write_all_at(&tail, source).unwrap();
        let compared = bench.qemu(["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "ours.vmdk"]);
        assert_eq!(compared.code(), Some(0), "{subformat}: {compared}");
        kept.set_len(source).unwrap();
    }
}

fn compressed_vmdks_and_overlays_are_not_written_to(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let words = |target| ["convert", "-n", "-f", "raw", "-O", "vmdk", "disk.raw", target];
    bench
        .qemu([
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
            "disk.raw",
            "stream.vmdk",
        ])
        .succeeds();
    bench.qemu(["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "below.vmdk"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vmdk", "-b", "below.vmdk", "-F", "vmdk", "over.vmdk"]).succeeds();
    bench
        .qemu([
            "create",
            "-q",
            "-f",
            "vmdk",
            "-o",
            "subformat=twoGbMaxExtentSparse",
            "-b",
            "below.vmdk",
            "-F",
            "vmdk",
            "split.vmdk",
        ])
        .succeeds();
    for image in ["stream.vmdk", "over.vmdk", "split.vmdk"] {
        let before = fs::read(bench.path(image)).unwrap();
        let ours = bench.instar(words(image));
        ours.fails_with("parent");
        assert!(fs::read(bench.path(image)).unwrap() == before, "{image}");
        if image != "stream.vmdk" {
            let theirs = bench.qemu(words(image));
            assert_eq!(theirs.code(), Some(0), "{theirs}");
            deviates("vmdk-existing", &theirs.code(), &ours.code());
        }
    }
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "flat.vmdk", "8M"])
        .succeeds();
    bench
        .instar(["convert", "-n", "-c", "-f", "raw", "-O", "vmdk", "disk.raw", "flat.vmdk"])
        .fails_with("Compression not supported");
}

fn an_existing_image_of_other_formats_that_is_too_small_stays_as_it_is(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 9 << 20, &[Piece::Data(0, 9 << 20, 63)]);
    for (format, options) in IN_PLACE {
        used(bench, format, options, 4 << 20);
        let before = fs::read(bench.path("ours")).unwrap();
        let words = |target| ["convert", "-n", "-f", "raw", "-O", format, "disk.raw", target];
        bench.qemu(words("theirs")).fails_with("output file is smaller than input file");
        bench.instar(words("ours")).fails_with("output file is smaller than input file");
        assert!(fs::read(bench.path("ours")).unwrap() == before, "{format} {options}: was written to");
    }
}

/// What stands there after a failure is not taken for a finished image, not even where the failure was late.
fn an_existing_image_of_other_formats_is_unmistakably_incomplete_after_a_late_failure(bench: &Bench) {
    damaged(bench);
    for (format, options) in IN_PLACE {
        used(bench, format, options, 16 << 20);
        bench.instar(["convert", "-n", "-O", format, "damaged", "ours"]).fails();
        for words in
            [["info", "-f", format, "ours"].as_slice(), &["convert", "-f", format, "-O", "raw", "ours", "x"]]
        {
            assert_ne!(
                bench.qemu(words).code(),
                Some(0),
                "{format} {options}: {words:?} takes it for finished"
            );
        }
    }
}

fn writes_into_an_existing_raw_file(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for target in ["theirs", "ours"] {
        fs::write(bench.path(target), disk::pattern(0, 6 << 20, 50)).unwrap();
    }
    let before = bench.path("ours").metadata().unwrap().ino();
    bench.qemu(["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", "theirs"]).succeeds();
    bench.instar(["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", "ours"]).succeeds();
    same_bytes(bench, "theirs", "ours", "-n");
    assert_eq!(bench.path("ours").metadata().unwrap().ino(), before, "the file was replaced");
}

/// A source that ends inside a cluster, with data or with zeros: what the target has behind it stays.
fn a_source_that_ends_inside_a_cluster_leaves_what_lies_behind_it(bench: &Bench) {
    let size = (3 << 20) + (3 << 9);
    for pieces in
        [vec![Piece::Data(0, 70_000, 1)], vec![Piece::Data(0, 70_000, 1), Piece::Data(size - 700, 700, 2)]]
    {
        disk::make(&bench.path("disk.raw"), size, &pieces);
        let listed = IN_PLACE.iter().chain(&[
            ("qcow2", "cluster_size=64k"),
            ("qcow2", "extended_l2=on"),
            ("qcow2", "compat=0.10"),
        ]);
        for (format, options) in bench.share(listed) {
            for old in [vec![], vec![Piece::Data(0, 8 << 20, 63)]] {
                let what = format!("{format} {options}, {} pieces, {} old", pieces.len(), old.len());
                disk::make(&bench.path("old.raw"), 8 << 20, &old);
                for target in ["theirs", "ours"] {
                    bench
                        .qemu(["convert", "-f", "raw", "-O", format, "-o", options, "old.raw", target])
                        .succeeds();
                    let words = ["convert", "-n", "-f", "raw", "-O", format, "disk.raw", target];
                    let outcome = if target == "ours" {
                        bench.instar(words)
                    } else {
                        bench.qemu(words)
                    };
                    assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
                    bench
                        .qemu(["convert", "-f", format, "-O", "raw", target, &format!("{target}.raw")])
                        .succeeds();
                }
                same_bytes(bench, "theirs.raw", "ours.raw", &what);
            }
        }
    }
}

fn target_is_zero_is_believed(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for target in ["theirs", "ours"] {
        fs::File::create(bench.path(target)).unwrap().set_len(5 << 20).unwrap();
    }
    let words = |target| ["convert", "-n", "--target-is-zero", "-f", "raw", "-O", "raw", "disk.raw", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    same_bytes(bench, "theirs", "ours", "--target-is-zero");
}

fn writes_into_an_existing_qcow2(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (index, list) in
        ["cluster_size=64k", "cluster_size=4k", "extended_l2=on", "compat=0.10", "refcount_bits=1"]
            .iter()
            .enumerate()
    {
        for target in ["theirs", "ours"] {
            bench.qemu(["create", "-q", "-f", "qcow2", "-o", list, target, "6M"]).succeeds();
            fs::write(bench.path("piece"), disk::pattern(0, 3 << 20, index as u64)).unwrap();
            instar_tests::variant::io(bench, target, &["write -s piece 256k 2M", "write -z 4M 1M"]);
            let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", target];
            if target == "ours" {
                bench.instar(words)
            } else {
                bench.qemu(words)
            }
            .succeeds();
        }
        checks_clean(bench, "ours", list);
        bench.qemu(["convert", "-O", "raw", "theirs", "theirs.raw"]).succeeds();
        qemu_reads(bench, "ours", "theirs.raw", list);
    }
}

fn writes_into_a_qcow2_whose_data_file_lies_beside_it(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for options in ["", ",data_file_raw=on"] {
        for target in ["theirs", "ours"] {
            let list = format!("data_file={target}.data{options}");
            bench.qemu(["create", "-q", "-f", "qcow2", "-o", &list, target, "6M"]).succeeds();
            instar_tests::variant::io(bench, target, &["write -P 9 256k 2M"]);
            let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", target];
            if target == "ours" {
                bench.instar(words)
            } else {
                bench.qemu(words)
            }
            .succeeds();
        }
        checks_clean(bench, "ours", options);
        bench.qemu(["convert", "-O", "raw", "theirs", "theirs.raw"]).succeeds();
        qemu_reads(bench, "ours", "theirs.raw", options);
        same_bytes(bench, "theirs.data", "ours.data", options);
        // Nobody who was not asked is written to.
        bench
            .instar(["convert", "-n", "--untrusted", "-f", "raw", "-O", "qcow2", "disk.raw", "ours"])
            .fails_with("--untrusted");
    }
    fs::create_dir(bench.path("sub")).unwrap();
    fs::rename(bench.path("ours.data"), bench.path("sub/far")).unwrap();
    let words = ["create", "-q", "-f", "qcow2", "-o", "data_file=sub/far", "far", "6M"];
    bench.qemu(words).succeeds();
    let before = fs::read(bench.path("sub/far")).unwrap();
    let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "far"];
    bench.instar(words).fails_with("not beside it");
    assert_eq!(fs::read(bench.path("sub/far")).unwrap(), before);
    let words = ["convert", "-n", "--allow-dir", "sub", "-f", "raw", "-O", "qcow2", "disk.raw", "far"];
    bench.instar(words).succeeds();
    qemu_reads(bench, "far", "theirs.raw", "allowed");
}

/// The image names a file that the gate would not let it read either.
fn writes_into_no_data_file_that_the_gate_would_not_open(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let refused = |image: &str, data: &str, policy: &[&str]| {
        let before = fs::read(bench.path(data)).unwrap();
        let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", image];
        bench.instar([&words[..], policy].concat()).fails_with("not beside it");
        assert_eq!(fs::read(bench.path(data)).unwrap(), before, "{image}");
    };
    // A hidden file is not beside an image.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=.hidden", "image", "4194816"]).succeeds();
    refused("image", ".hidden", &[]);
    // Somebody else's image gets nothing, in allowed directories neither.
    for directory in ["upload", "allowed"] {
        fs::create_dir(bench.path(directory)).unwrap();
    }
    let allowed = format!("data_file={}", bench.path("allowed/data").display());
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", &allowed, "upload/image", "4194816"]).succeeds();
    refused("upload/image", "allowed/data", &["--allow-dir", "allowed", "--untrusted-dir", "upload"]);
    // qemu-img makes a data file in its own directory, and looks for it beside the image.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "other", "4194816"]).succeeds();
    for name in ["other", "data"] {
        fs::rename(bench.path(name), bench.path("upload").join(name)).unwrap();
    }
    let both = ["--allow-dir", "upload", "--untrusted-dir", "upload"];
    refused("upload/other", "upload/data", &both);
    // Beside a link to the image is not beside the image.
    fs::create_dir(bench.path("links")).unwrap();
    std::os::unix::fs::symlink("../upload/other", bench.path("links/other")).unwrap();
    fs::copy(bench.path("upload/data"), bench.path("links/data")).unwrap();
    refused("links/other", "links/data", &[]);
    // What may be allowed is written to as before.
    let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "image", "--allow-dir", "."];
    bench.instar(words).succeeds();
    qemu_reads(bench, "image", "disk.raw", "allowed");
}

fn refuses_a_target_that_is_too_small(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::write(bench.path("out"), disk::pattern(0, 1 << 20, 51)).unwrap();
    let words = ["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", "out"];
    bench.qemu(words).fails_with("output file is smaller than input file");
    bench.instar(words).fails_with("output file is smaller than input file");
    assert_eq!(fs::read(bench.path("out")).unwrap(), disk::pattern(0, 1 << 20, 51));
}

fn replaces_an_existing_file(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for format in ["raw", "qcow2"] {
        fs::write(bench.path("out"), disk::pattern(0, 9 << 20, 52)).unwrap();
        bench.instar(["convert", "-f", "raw", "-O", format, "disk.raw", "out"]).succeeds();
        qemu_reads(bench, "out", "disk.raw", format);
    }
    assert_eq!(bench.names(), ["disk.raw", "out"]);
}

fn an_existing_target_survives_a_refused_conversion(bench: &Bench) {
    hostile(bench, "image");
    for format in ["raw", "qcow2"] {
        fs::write(bench.path("out"), disk::pattern(0, 1 << 20, 53)).unwrap();
        bench.instar(["convert", "-O", format, "image", "out"]).fails();
        assert_eq!(fs::read(bench.path("out")).unwrap(), disk::pattern(0, 1 << 20, 53));
    }
    assert_eq!(bench.names(), ["image", "out"]);
}

/// An existing file is written in place, so its old content is lost; what stands there is not taken for a finished image.
fn an_existing_qcow2_target_is_unmistakably_incomplete_after_a_late_failure(bench: &Bench) {
    damaged(bench);
    disk::usual(&bench.path("old.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "old.raw", "out"]).succeeds();
    bench.instar(["convert", "-O", "qcow2", "damaged", "out"]).fails();
    for words in [
        ["check", "out"].as_slice(),
        &["info", "-f", "qcow2", "out"],
        &["convert", "-f", "qcow2", "-O", "raw", "out", "x"],
    ] {
        assert_ne!(bench.qemu(words).code(), Some(0), "{words:?} takes it for finished");
    }
}

fn a_conversion_that_fails_late_leaves_no_file(bench: &Bench) {
    damaged(bench);
    for format in ["raw", "qcow2"] {
        bench.instar(["convert", "-O", format, "damaged", "new"]).fails();
    }
    bench.instar(["dd", "if=damaged", "of=new"]).fails();
    assert_eq!(bench.names(), ["damaged", "disk.raw"]);
}

fn keeps_the_permissions_that_the_umask_gives(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let words = |target| ["convert", "-f", "raw", "-O", "qcow2", "disk.raw", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    let [theirs, ours] = ["theirs", "ours"].map(|name| bench.path(name).metadata().unwrap().mode());
    assert_eq!(theirs, ours);
}

fn source_and_target_may_not_be_the_same_file(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::copy(bench.path("disk.raw"), bench.path("copy")).unwrap();
    bench.instar(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.raw"]).fails();
    same_bytes(bench, "copy", "disk.raw", "source");
}

fn writes_to_a_device_in_place(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    // No block device can be had here without privileges; /dev/null shows that a target which is no regular file is not replaced.
    bench.instar(["convert", "-f", "raw", "-O", "raw", "disk.raw", "/dev/null"]).is_civil();
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}
