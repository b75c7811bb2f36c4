//! Targets that exist: written into (`-n`), replaced, or left alone by a failure.

use std::fs;
use std::os::unix::fs::MetadataExt;

use instar_tests::compare::{checks_clean, qemu_reads, same_bytes};
use instar_tests::craft::Crafted;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, in_both_sandboxes};

/// A qcow2 image that names a file which nobody may open.
fn hostile(bench: &Bench, name: &str) {
    Crafted::image(bench, name, "4M", "", 65536).backing(b"/etc/passwd");
}

/// A compressed image whose last data is damaged, so that a conversion fails late.
fn damaged(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 16 << 20, &[Piece::Text(0, 16 << 20)]);
    bench
        .qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "disk.raw", "damaged"])
        .succeeds();
    let image = Crafted::open(&bench.path("damaged"));
    let table = image.get(image.get(40)) & 0x00ff_ffff_ffff_fe00;
    let entry = image.get(table + 255 * 8);
    assert_ne!(entry & instar_tests::craft::COMPRESSED, 0);
    image.bytes(entry & ((1 << 54) - 1), &[0xff; 32]);
}

in_both_sandboxes! {
    fn writes_into_an_existing_raw_file(bench) {
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

    fn takes_the_word_that_a_target_is_zero(bench) {
        disk::usual(&bench.path("disk.raw"));
        for target in ["theirs", "ours"] {
            fs::File::create(bench.path(target)).unwrap().set_len(5 << 20).unwrap();
        }
        let words = |target| ["convert", "-n", "--target-is-zero", "-f", "raw", "-O", "raw", "disk.raw", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        same_bytes(bench, "theirs", "ours", "--target-is-zero");
    }

    fn writes_into_an_existing_qcow2(bench) {
        disk::usual(&bench.path("disk.raw"));
        for (index, list) in ["cluster_size=64k", "cluster_size=4k", "extended_l2=on", "compat=0.10", "refcount_bits=1"].iter().enumerate() {
            for target in ["theirs", "ours"] {
                bench.qemu(["create", "-q", "-f", "qcow2", "-o", list, target, "6M"]).succeeds();
                fs::write(bench.path("piece"), disk::pattern(0, 3 << 20, index as u64)).unwrap();
                instar_tests::variant::io(bench, target, &["write -s piece 256k 2M", "write -z 4M 1M"]);
                let words = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", target];
                if target == "ours" { bench.instar(words) } else { bench.qemu(words) }.succeeds();
            }
            checks_clean(bench, "ours", list);
            bench.qemu(["convert", "-O", "raw", "theirs", "theirs.raw"]).succeeds();
            qemu_reads(bench, "ours", "theirs.raw", list);
        }
    }

    fn refuses_a_target_that_is_too_small(bench) {
        disk::usual(&bench.path("disk.raw"));
        fs::write(bench.path("out"), disk::pattern(0, 1 << 20, 51)).unwrap();
        let words = ["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", "out"];
        bench.qemu(words).fails_with("output file is smaller than input file");
        bench.instar(words).fails_with("output file is smaller than input file");
        assert_eq!(fs::read(bench.path("out")).unwrap(), disk::pattern(0, 1 << 20, 51));
    }

    fn replaces_an_existing_file(bench) {
        disk::usual(&bench.path("disk.raw"));
        for format in ["raw", "qcow2"] {
            fs::write(bench.path("out"), disk::pattern(0, 9 << 20, 52)).unwrap();
            bench.instar(["convert", "-f", "raw", "-O", format, "disk.raw", "out"]).succeeds();
            qemu_reads(bench, "out", "disk.raw", format);
        }
        assert_eq!(bench.names(), ["disk.raw", "out"]);
    }

    fn an_existing_target_survives_a_refused_conversion(bench) {
        hostile(bench, "image");
        for format in ["raw", "qcow2"] {
            fs::write(bench.path("out"), disk::pattern(0, 1 << 20, 53)).unwrap();
            bench.instar(["convert", "-O", format, "image", "out"]).fails();
            assert_eq!(fs::read(bench.path("out")).unwrap(), disk::pattern(0, 1 << 20, 53));
        }
        assert_eq!(bench.names(), ["image", "out"]);
    }

    /// An existing file is written in place, so its old content is lost; what stands there is not taken for a finished image.
    fn an_existing_qcow2_target_is_unmistakably_incomplete_after_a_late_failure(bench) {
        damaged(bench);
        disk::usual(&bench.path("old.raw"));
        bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "old.raw", "out"]).succeeds();
        bench.instar(["convert", "-O", "qcow2", "damaged", "out"]).fails();
        for words in [["check", "out"].as_slice(), &["info", "-f", "qcow2", "out"], &["convert", "-f", "qcow2", "-O", "raw", "out", "x"]] {
            assert_ne!(bench.qemu(words).code(), Some(0), "{words:?} takes it for finished");
        }
    }

    fn a_conversion_that_fails_late_leaves_no_file(bench) {
        damaged(bench);
        for format in ["raw", "qcow2"] {
            bench.instar(["convert", "-O", format, "damaged", "new"]).fails();
        }
        bench.instar(["dd", "if=damaged", "of=new"]).fails();
        assert_eq!(bench.names(), ["damaged", "disk.raw"]);
    }

    fn keeps_the_permissions_that_the_umask_gives(bench) {
        disk::usual(&bench.path("disk.raw"));
        let words = |target| ["convert", "-f", "raw", "-O", "qcow2", "disk.raw", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        let [theirs, ours] = ["theirs", "ours"].map(|name| bench.path(name).metadata().unwrap().mode());
        assert_eq!(theirs, ours);
    }

    fn source_and_target_may_not_be_the_same_file(bench) {
        disk::usual(&bench.path("disk.raw"));
        fs::copy(bench.path("disk.raw"), bench.path("copy")).unwrap();
        bench.instar(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.raw"]).fails();
        same_bytes(bench, "copy", "disk.raw", "source");
    }

    fn writes_to_a_device_in_place(bench) {
        disk::usual(&bench.path("disk.raw"));
        // No block device can be had here without privileges; /dev/null shows that a target which is no regular file is not replaced.
        bench.instar(["convert", "-f", "raw", "-O", "raw", "disk.raw", "/dev/null"]).is_civil();
        use std::os::unix::fs::FileTypeExt;
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}
