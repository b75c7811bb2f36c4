//! A3, B2, B3, C7, D2: hostile images of the formats that other products write.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece, mix};
use instar_tests::{Bench, both_sandboxes};

use crate::run;

fn flat(bench: &Bench, extent: &str) {
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n# Extent description\nRW 16 FLAT \"{extent}\" 0\n\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"1\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n"
    );
    fs::write(bench.path("in/image.vmdk"), text).unwrap();
}

fn put(bench: &Bench, name: &str, offset: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(bench.path(name)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

both_sandboxes!(
    a3_an_extent_outside_the_directory_is_refused,
    a3_an_extent_that_is_nobodys_to_write_to_is_not_written_to,
    b2_a_file_of_two_formats_is_refused_when_untrusted,
    b3_a_footer_that_disagrees_with_its_header_is_refused,
    images_of_every_format_cut_off_or_changed_anywhere_are_refused_or_read,
);

fn a3_an_extent_outside_the_directory_is_refused(bench: &Bench) {
    fs::create_dir(bench.path("in")).unwrap();
    fs::write(bench.path("secret"), [b's'; 8192]).unwrap();
    fs::write(bench.path("in/extent"), disk::pattern(0, 8192, 1)).unwrap();
    flat(bench, "extent");
    run(bench, &["convert", "-O", "raw", "in/image.vmdk", "out"]).succeeds();
    same_bytes(bench, "in/extent", "out", "an extent beside its descriptor");
    fs::remove_file(bench.path("out")).unwrap();
    let absolute = bench.path("secret");
    for name in [
        "../secret",
        "/etc/passwd",
        absolute.to_str().unwrap(),
        "nbd://127.0.0.1/x",
        "json:{\"driver\":\"file\",\"filename\":\"../secret\"}",
    ] {
        flat(bench, name);
        for words in [
            ["convert", "-O", "raw", "in/image.vmdk", "stolen"].as_slice(),
            &["convert", "-f", "vmdk", "-O", "qcow2", "in/image.vmdk", "stolen"],
            &["dd", "if=in/image.vmdk", "of=stolen"],
        ] {
            run(bench, words).fails();
            assert!(!bench.path("stolen").exists(), "{name}");
        }
    }
    flat(bench, "extent");
    run(bench, &["convert", "--untrusted", "-O", "raw", "in/image.vmdk", "stolen"]).fails_with("--untrusted");
}

/// The descriptor is named by the user, what it names is not: written to is what stands beside it, and each file once.
fn a3_an_extent_that_is_nobodys_to_write_to_is_not_written_to(bench: &Bench) {
    fs::create_dir_all(bench.path("in/sub")).unwrap();
    disk::make(&bench.path("in/disk.raw"), 8192, &[Piece::Data(0, 8192, 2)]);
    let outside = bench.path("outside");
    let absolute = outside.to_str().unwrap();
    let changing = [
        ["convert", "-n", "-f", "raw", "-O", "vmdk", "in/disk.raw", "in/image.vmdk"].as_slice(),
        &["resize", "-f", "vmdk", "in/image.vmdk", "1M"],
    ];
    for words in changing {
        for name in [
            "../outside",
            absolute,
            "image.vmdk",
            "./image.vmdk",
            "link",
            "fifo",
            "sub/extent",
            ".hidden",
            "disk.raw",
            "gone",
            "/dev/null",
            "file:extent",
            "nbd://127.0.0.1/x",
        ] {
            if words[0] == "resize" && name == "disk.raw" {
                continue;
            }
            for (number, lines) in
                [vec![name], vec!["extent", name], vec![name, "extent"]].into_iter().enumerate()
            {
                let _ = fs::remove_file(bench.path("in/fifo"));
                let _ = fs::remove_file(bench.path("in/link"));
                for file in ["outside", "in/extent", "in/sub/extent", "in/.hidden"] {
                    fs::write(bench.path(file), [b's'; 8192]).unwrap();
                }
                std::os::unix::fs::symlink("../outside", bench.path("in/link")).unwrap();
                assert!(
                    std::process::Command::new("mkfifo")
                        .arg(bench.path("in/fifo"))
                        .status()
                        .unwrap()
                        .success()
                );
                flat(bench, name);
                let one = fs::read_to_string(bench.path("in/image.vmdk")).unwrap();
                let all: String = lines.iter().map(|name| format!("RW 16 FLAT \"{name}\" 0\n")).collect();
                let text = one.replace(&format!("RW 16 FLAT \"{name}\" 0\n"), &all);
                let text = if number == 0 {
                    text
                } else {
                    text.replace("monolithicFlat", "twoGbMaxExtentFlat")
                };
                fs::write(bench.path("in/image.vmdk"), &text).unwrap();
                run(bench, words).fails();
                for file in ["outside", "in/extent", "in/sub/extent", "in/.hidden"] {
                    assert_eq!(
                        fs::read(bench.path(file)).unwrap(),
                        [b's'; 8192],
                        "{words:?}, {lines:?}: {file}"
                    );
                }
                assert_eq!(
                    fs::read_to_string(bench.path("in/image.vmdk")).unwrap(),
                    text,
                    "{words:?}, {lines:?}"
                );
            }
        }
    }
    // The same file twice, under one name, as a hard link and as a link.
    fs::hard_link(bench.path("in/extent"), bench.path("in/hard")).unwrap();
    std::os::unix::fs::symlink("extent", bench.path("in/soft")).unwrap();
    for name in ["extent", "./extent", "hard", "soft"] {
        flat(bench, "extent");
        let text = fs::read_to_string(bench.path("in/image.vmdk")).unwrap();
        let text = text.replace("monolithicFlat", "twoGbMaxExtentFlat").replace(
            "RW 16 FLAT \"extent\" 0\n",
            &format!("RW 16 FLAT \"extent\" 0\nRW 16 FLAT \"{name}\" 0\n"),
        );
        fs::write(bench.path("in/image.vmdk"), &text).unwrap();
        run(bench, changing[0]).fails();
        assert_eq!(fs::read(bench.path("in/extent")).unwrap(), [b's'; 8192], "{name}");
        assert_eq!(fs::read_to_string(bench.path("in/image.vmdk")).unwrap(), text, "{name}");
    }
    // And the one that is.
    flat(bench, "extent");
    run(bench, &["convert", "-n", "--untrusted", "-f", "raw", "-O", "vmdk", "in/disk.raw", "in/image.vmdk"])
        .fails_with("--untrusted");
    assert_eq!(fs::read(bench.path("in/extent")).unwrap(), [b's'; 8192]);
    run(bench, changing[0]).succeeds();
    same_bytes(bench, "in/extent", "in/disk.raw", "written");
}

fn b2_a_file_of_two_formats_is_refused_when_untrusted(bench: &Bench) {
    // A qcow2 header at the start and a VHD footer copy can not both be at byte 0, but a VDI has its signature at byte 64.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "image", "1M"]).succeeds();
    put(bench, "image", 64, &0xbeda_107f_u32.to_le_bytes());
    let outcome = run(bench, &["convert", "--untrusted", "-O", "raw", "image", "out"]);
    outcome.fails_with("more than one format");
    assert!(outcome.errors().contains("qcow2") && outcome.errors().contains("vdi"), "{outcome}");
    assert!(!bench.path("out").exists());
}

fn b3_a_footer_that_disagrees_with_its_header_is_refused(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 1 << 20, &[Piece::Text(0, 1 << 20)]);
    bench
        .qemu(["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "image"])
        .succeeds();
    let end = bench.path("image").metadata().unwrap().len();
    run(bench, &["convert", "-O", "raw", "image", "out"]).succeeds();
    same_bytes(bench, "disk.raw", "out", "sound");
    fs::remove_file(bench.path("out")).unwrap();
    // What VMware's streaming writer does: the header says that the truth is in the footer, three sectors before the end.
    let header = fs::read(bench.path("image")).unwrap()[..512].to_vec();
    let mut marker = [0; 512];
    marker[12] = 3;
    let end = end.next_multiple_of(512);
    put(bench, "image", end, &marker);
    put(bench, "image", end + 512, &header);
    put(bench, "image", end + 1024, &[0; 512]);
    put(bench, "image", 56, &u64::MAX.to_le_bytes());
    run(bench, &["convert", "-O", "raw", "image", "out"]).succeeds();
    same_bytes(bench, "disk.raw", "out", "a footer that agrees");
    fs::remove_file(bench.path("out")).unwrap();
    // Its capacity stands 12 bytes into it.
    put(bench, "image", end + 512 + 12, &(1_u64 << 30).to_le_bytes());
    run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
    assert!(!bench.path("out").exists());
}

fn images_of_every_format_cut_off_or_changed_anywhere_are_refused_or_read(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        3 << 20,
        &[
            Piece::Data(0, 20 << 10, 1),
            Piece::Text(1 << 20, 100 << 10),
            Piece::Data((3 << 20) - 4096, 4096, 2),
        ],
    );
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("vpc", "subformat=dynamic"),
        ("vpc", "subformat=fixed"),
        ("vhdx", "subformat=dynamic"),
        ("vdi", "static=off"),
    ] {
        bench.qemu(["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "seed"]).succeeds();
        let end = bench.path("seed").metadata().unwrap().len();
        let mut read = 0;
        for number in 0..24_u64 {
            fs::copy(bench.path("seed"), bench.path("image")).unwrap();
            let random = mix(number ^ end);
            if number % 4 == 0 {
                fs::File::options()
                    .write(true)
                    .open(bench.path("image"))
                    .unwrap()
                    .set_len(random % end)
                    .unwrap();
            } else {
                let reach = [512, 4096, 1 << 20, end][(number % 4) as usize].min(end);
                put(bench, "image", mix(random) % reach, &[(random >> 16) as u8]);
            }
            let words = |target| ["convert", "-f", format, "-O", "raw", "image", target];
            let ours =
                run(bench, &["convert", "-f", format, "--max-size", "1G", "-O", "raw", "image", "ours"]);
            run(bench, &["info", "image"]);
            run(bench, &["info", "-f", format, "--output=json", "image"]);
            if ours.code() == Some(0) {
                let theirs = bench.qemu(words("theirs"));
                if theirs.code() == Some(0) {
                    same_bytes(bench, "theirs", "ours", &format!("{format} {options}, case {number}"));
                    read += 1;
                }
            } else {
                assert!(
                    !bench.path("ours").exists(),
                    "{format}: case {number}: refused, yet a target stands"
                );
            }
            for name in ["theirs", "ours"] {
                let _ = fs::remove_file(bench.path(name));
            }
        }
        assert!(read > 0, "{format} {options}: nothing was compared");
    }
}
