//! Machines packed by OVF: archives of several writers, disks of several formats, and manifests. Archives are packed by tar, disks are
//! made by qemu-img, and digests by the programs of coreutils.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use instar_testkit::lay::ova;
use instar_testkit::packed;
use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, both_sandboxes};
use serde_json::Value;

both_sandboxes!(
    archives_of_every_kind_of_tar_are_read,
    one_of_several_disks_is_chosen_by_number_or_name,
    disks_of_every_format_are_read,
    a_manifest_that_holds_says_nothing,
    a_member_with_another_digest_fails_before_the_target_has_its_name,
    whoever_calls_qemu_img_gets_a_raw_disk,
    nothing_outside_of_an_archive_is_opened,
    what_is_packed_in_another_way_is_refused_with_the_remedy,
);

/// The usual disk, and an image of it that qemu-img makes.
fn make(bench: &Bench, format: &str, options: &str, image: &str) {
    disk::usual(&bench.path("disk.raw"));
    let words = ["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", image];
    let words = words.into_iter().filter(|word| !(options.is_empty() && ["-o", ""].contains(word)));
    bench.qemu(words).succeeds();
}

fn make_stream(bench: &Bench, image: &str) {
    make(bench, "vmdk", "subformat=streamOptimized", image);
}

/// A descriptor of these disks, each a file and the address of its format.
fn describe(bench: &Bench, disks: &[(&str, &str)]) {
    let disks: Vec<_> = disks
        .iter()
        .map(|(name, format)| ova::Disk {
            name,
            bytes: b"",
            capacity: disk::USUAL_BYTES,
            format,
        })
        .collect();
    fs::write(bench.path("vm.ovf"), ova::descriptor(&disks)).unwrap();
}

fn tar(bench: &Bench, words: &[&str]) {
    let output = Command::new("tar").args(words).current_dir(bench.directory()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a program of coreutils prints of files, in the spelling of ESXi.
fn sums(bench: &Bench, program: &str, files: &[&str]) -> String {
    let output =
        Command::new(program).arg("--tag").args(files).current_dir(bench.directory()).output().unwrap();
    assert!(output.status.success(), "{program}");
    String::from_utf8(output.stdout).unwrap().replace(" (", "(").replace(") = ", ")= ")
}

fn is_read(bench: &Bench, what: &str) {
    bench.instar(["convert", "-O", "raw", "vm.ova", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", what);
    fs::remove_file(bench.path("ours")).unwrap();
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.succeeds().stdout).unwrap()
}

fn archives_of_every_kind_of_tar_are_read(bench: &Bench) {
    let long = format!("{}.vmdk", "long".repeat(40));
    for disk in ["disk.vmdk", "of a disk (1) ü.vmdk", &long] {
        make_stream(bench, disk);
        describe(bench, &[(disk, ova::STREAM)]);
        for format in ["ustar", "gnu", "oldgnu", "pax"] {
            // Such a name does not fit ustar.
            if (format, disk) == ("ustar", &long) {
                continue;
            }
            let format = format!("--format={format}");
            for names in [["vm.ovf", disk], [disk, "vm.ovf"]] {
                tar(bench, &[&["-cf", "vm.ova", &format][..], &names].concat());
                is_read(bench, &format);
            }
            let [first, second] = ["vm.ovf", disk].map(|name| format!("./{name}"));
            tar(bench, &["-cf", "vm.ova", &format, &first, &second]);
            is_read(bench, &format);
        }
    }
    // A directory, a link, what macOS adds, and no zeros at the end.
    symlink("nowhere", bench.path("link")).unwrap();
    fs::create_dir(bench.path("folder")).unwrap();
    fs::write(bench.path("._vm.ovf"), "Mac OS X").unwrap();
    make_stream(bench, "disk.vmdk");
    describe(bench, &[("disk.vmdk", ova::STREAM)]);
    tar(bench, &["-cf", "vm.ova", "._vm.ovf", "link", "folder", "vm.ovf", "disk.vmdk"]);
    is_read(bench, "other members");
    tar(bench, &["-b", "1", "-cf", "vm.ova", "vm.ovf", "disk.vmdk"]);
    let bytes = fs::read(bench.path("vm.ova")).unwrap();
    fs::write(bench.path("vm.ova"), &bytes[..bytes.len() - 1024]).unwrap();
    is_read(bench, "no zeros at the end");
}

fn one_of_several_disks_is_chosen_by_number_or_name(bench: &Bench) {
    make_stream(bench, "b.vmdk");
    disk::make(&bench.path("a.img"), 1 << 20, &[Piece::Data(4096, 5000, 7)]);
    describe(bench, &[("a.img", ova::RAW), ("b.vmdk", ova::STREAM)]);
    tar(bench, &["-cf", "vm.ova", "vm.ovf", "a.img", "b.vmdk"]);
    for words in
        [&["info", "vm.ova"][..], &["convert", "vm.ova", "out"], &["map", "vm.ova"], &["checksum", "vm.ova"]]
    {
        let words_of_both = "it holds 2 disks: 1 (a.img), 2 (b.vmdk); choose one with --disk";
        bench.instar(words).fails_with(words_of_both);
        assert!(!bench.path("out").exists());
    }
    for (disk, file) in [
        ("1", "a.img"),
        ("a.img", "a.img"),
        ("disk1", "a.img"),
        ("2", "disk.raw"),
        ("b.vmdk", "disk.raw"),
        ("disk2", "disk.raw"),
    ] {
        bench.instar(["convert", "--disk", disk, "vm.ova", "ours"]).succeeds();
        same_bytes(bench, file, "ours", disk);
        bench.instar(["compare", "--disk", disk, "-F", "raw", "vm.ova", file]).succeeds();
        bench.instar(["dd", "--disk", disk, "if=vm.ova", "of=first", "bs=64k", "count=3"]).succeeds();
        assert_eq!(fs::read(bench.path("first")).unwrap(), fs::read(bench.path(file)).unwrap()[..3 << 16]);
        let info = json(&bench.instar(["info", "--output=json", "--disk", disk, "vm.ova"]));
        assert_eq!(info["virtual-size"], fs::metadata(bench.path(file)).unwrap().len(), "{disk}");
        bench.instar(["map", "--disk", disk, "--output=json", "vm.ova"]).succeeds();
        bench.instar(["measure", "-O", "qcow2", "--disk", disk, "vm.ova"]).succeeds();
        bench.instar(["checksum", "--disk", disk, "vm.ova"]).succeeds();
    }
    for wrong in ["0", "3", "c.vmdk", ""] {
        bench
            .instar(["info", "--disk", wrong, "vm.ova"])
            .fails_with("--disk names none of its disks: 1 (a.img), 2 (b.vmdk)");
    }
    for (words, code) in [
        (&["convert", "--disk", "1", "b.vmdk", "out"][..], 1),
        (&["info", "--disk", "1", "b.vmdk"], 1),
        (&["compare", "--disk", "1", "b.vmdk", "b.vmdk"], 2),
    ] {
        let outcome = bench.instar(words);
        assert_eq!(outcome.code(), Some(code), "{outcome}");
        let why = "--disk chooses among the disks of an ova, but this image is vmdk";
        assert!(outcome.errors().contains(why), "{outcome}");
        assert!(!bench.path("out").exists());
    }
}

fn disks_of_every_format_are_read(bench: &Bench) {
    for (format, options, address) in [
        ("vmdk", "", ova::STREAM),
        ("vmdk", "", ""),
        ("vpc", "force_size=on", "http://go.microsoft.com/fwlink/?LinkId=137171"),
        ("vhdx", "", ""),
        ("qcow2", "", "http://www.gnome.org/~markmc/qcow-image-format.html"),
        ("qcow2", "compression_type=zstd", ""),
        ("vdi", "", ""),
        ("raw", "", ova::RAW),
        ("raw", "", ""),
    ] {
        make(bench, format, options, "inner");
        describe(bench, &[("inner", address)]);
        tar(bench, &["-cf", "vm.ova", "vm.ovf", "inner"]);
        is_read(bench, format);
        let info = json(&bench.instar(["info", "--output=json", "vm.ova"]));
        assert_eq!(info["format"], "ova");
        assert_eq!(info["format-specific"]["data"]["disk-format"], format, "{info}");
        let safety = bench.instar(["info", "--safety", "vm.ova"]);
        assert_eq!(safety.code(), Some(0), "{format}: {safety}");
    }
    // What the descriptor says counts, also of a raw disk on which a guest wrote an image.
    make(bench, "qcow2", "", "inner");
    describe(bench, &[("inner", ova::RAW)]);
    tar(bench, &["-cf", "vm.ova", "vm.ovf", "inner"]);
    bench.instar(["convert", "-O", "raw", "vm.ova", "ours"]).succeeds();
    same_bytes(bench, "inner", "ours", "said to be raw");
    describe(bench, &[("inner", ova::STREAM)]);
    tar(bench, &["-cf", "vm.ova", "vm.ovf", "inner"]);
    bench.instar(["info", "vm.ova"]).fails_with("vm.ova");
}

fn a_manifest_that_holds_says_nothing(bench: &Bench) {
    make_stream(bench, "disk.vmdk");
    describe(bench, &[("disk.vmdk", ova::STREAM)]);
    for program in ["sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum"] {
        let sums = sums(bench, program, &["vm.ovf", "disk.vmdk"]);
        for text in [sums.clone(), sums.replace('(', " (").replace(")= ", ") = "), sums.replace('\n', "\r\n")]
        {
            fs::write(bench.path("vm.mf"), text).unwrap();
            tar(bench, &["-cf", "vm.ova", "vm.ovf", "vm.mf", "disk.vmdk"]);
            is_read(bench, program);
        }
        let outcome = bench.instar(["checksum", "vm.ova"]);
        assert_eq!(outcome.succeeds().errors(), "");
    }
    let info = json(&bench.instar(["info", "--output=json", "vm.ova"]));
    let data = &info["format-specific"]["data"];
    assert_eq!(data["manifest"], "vm.mf", "{info}");
    assert_eq!(data["disks"][0]["file"], "disk.vmdk", "{info}");
    assert_eq!(data["disks"][0]["capacity"], disk::USUAL_BYTES, "{info}");
    assert_eq!(data["members"][2]["size"], fs::metadata(bench.path("disk.vmdk")).unwrap().len(), "{info}");
}

fn a_member_with_another_digest_fails_before_the_target_has_its_name(bench: &Bench) {
    make_stream(bench, "disk.vmdk");
    describe(bench, &[("disk.vmdk", ova::STREAM)]);
    for (program, file) in [
        ("sha1sum", "disk.vmdk"),
        ("sha256sum", "disk.vmdk"),
        ("sha512sum", "disk.vmdk"),
        ("sha256sum", "vm.ovf"),
    ] {
        let right = sums(bench, program, &["vm.ovf", "disk.vmdk"]);
        let digest = sums(bench, program, &[file]).trim_end().rsplit(' ').next().unwrap().to_owned();
        let wrong = digest.chars().rev().collect::<String>();
        fs::write(bench.path("vm.mf"), right.replace(&digest, &wrong)).unwrap();
        tar(bench, &["-cf", "vm.ova", "vm.ovf", "vm.mf", "disk.vmdk"]);
        for words in [
            &["convert", "-O", "raw", "vm.ova", "out"][..],
            &["convert", "-O", "qcow2", "vm.ova", "out"],
            &["convert", "-m", "1", "-O", "vmdk", "vm.ova", "out"],
            &["checksum", "vm.ova"],
        ] {
            let outcome = bench.instar(words);
            outcome
                .fails_with(&format!("of '{file}' is {digest}, where the manifest says {wrong}"))
                .fails_with("vm.ova");
            assert_eq!(outcome.stdout, b"", "{outcome}");
            assert!(!bench.path("out").exists(), "{words:?}");
        }
        // Who reads only a part of the disk does not read all of the archive for it.
        bench.instar(["dd", "if=vm.ova", "of=part", "bs=512", "count=1"]).succeeds();
    }
    // One chunk of three.
    let bytes = fs::read(bench.path("disk.vmdk")).unwrap();
    let mut names = vec!["vm.ovf".to_owned(), "vm.mf".to_owned()];
    for (number, chunk) in bytes.chunks(bytes.len() / 3 + 1).enumerate() {
        names.push(format!("disk.vmdk.{number:09}"));
        fs::write(bench.path(&names[number + 2]), chunk).unwrap();
    }
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    let right = sums(bench, "sha256sum", &words[2..]);
    for (manifest, holds) in [
        (right.clone(), true),
        (right.replacen("SHA256(disk.vmdk.000000002)= ", "SHA256(disk.vmdk.000000002)= 0", 1), false),
    ] {
        // A digit too many at the front, one less at the end.
        let manifest = if holds {
            manifest
        } else {
            manifest.trim_end().strip_suffix(|_: char| true).unwrap().to_owned()
        };
        fs::write(bench.path("vm.mf"), manifest).unwrap();
        tar(bench, &[&["-cf", "vm.ova"], &words[..]].concat());
        if holds {
            is_read(bench, "chunks");
        } else {
            bench.instar(["convert", "vm.ova", "out"]).fails_with("the SHA256 of 'disk.vmdk.000000002' is");
        }
    }
    fs::write(bench.path("vm.mf"), "MD5(disk.vmdk)= 00\nnonsense\n").unwrap();
    tar(bench, &["-cf", "vm.ova", "vm.ovf", "vm.mf", "disk.vmdk"]);
    bench.instar(["checksum", "vm.ova"]).fails_with("line 1 of the manifest has the hash 'MD5'");
}

fn whoever_calls_qemu_img_gets_a_raw_disk(bench: &Bench) {
    make_stream(bench, "disk.vmdk");
    describe(bench, &[("disk.vmdk", ova::STREAM)]);
    tar(bench, &["-cf", "vm.ova", "vm.ovf", "disk.vmdk"]);
    symlink(bench.command(["info"]).get_program(), bench.path("qemu-img")).unwrap();
    let called = |words: &[&str]| {
        let mut command = Command::new(bench.path("qemu-img"));
        Outcome::of(
            command.args(words).args(["--sandbox", bench.sandbox().name()]).current_dir(bench.directory()),
        )
    };
    let info = called(&["info", "--output=json", "vm.ova"]);
    assert_eq!(json(&info)["format"], json(&bench.qemu(["info", "--output=json", "vm.ova"]))["format"]);
    called(&["convert", "-O", "raw", "vm.ova", "ours"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "vm.ova", "theirs"]).succeeds();
    same_bytes(bench, "theirs", "ours", "raw");
    called(&["convert", "-f", "ova", "-O", "raw", "vm.ova", "named"]).succeeds();
    same_bytes(bench, "disk.raw", "named", "named");
    let safety = called(&["info", "--safety", "vm.ova"]);
    assert_eq!(safety.code(), Some(1), "{safety}");
    assert!(safety.text().contains("ova"), "{safety}");
}

fn nothing_outside_of_an_archive_is_opened(bench: &Bench) {
    make(bench, "vmdk", "subformat=monolithicFlat", "inner");
    let members = fs::read_dir(bench.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let flat = members.into_iter().find(|name| name.to_string_lossy().contains("-flat")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "over"]).succeeds();
    for (inner, named) in [("inner", flat.to_str().unwrap()), ("over", "disk.raw")] {
        describe(bench, &[(inner, "")]);
        tar(bench, &["-cf", "vm.ova", "vm.ovf", inner, "disk.raw"]);
        for (words, code) in [
            (&["convert", "vm.ova", "out"][..], 1),
            (&["map", "vm.ova"], 1),
            (&["checksum", "vm.ova"], 1),
            (&["compare", "vm.ova", "disk.raw"], 2),
        ] {
            let outcome = bench.instar(words);
            assert_eq!(outcome.code(), Some(code), "{outcome}");
            let why = format!("names the file '{named}', and nothing but the ova itself is read");
            assert!(outcome.errors().contains(&why), "{outcome}");
            assert!(!bench.path("out").exists());
        }
    }
    for href in ["../disk.raw", "/etc/passwd", "folder/../disk.raw", "file:///etc/passwd"] {
        describe(bench, &[(href, ova::RAW)]);
        tar(bench, &["-cf", "vm.ova", "vm.ovf", "disk.raw"]);
        bench.instar(["convert", "vm.ova", "out"]).fails_with("is not among the members of the archive");
    }
}

fn what_is_packed_in_another_way_is_refused_with_the_remedy(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let bytes = fs::read(bench.path("disk.raw")).unwrap();
    fs::write(bench.path("disk.raw.gz"), packed("gzip", &["-c"], &bytes)).unwrap();
    let file = |words: &str| format!("<File ovf:id='f' ovf:href='disk.raw.gz' {words}/>");
    let disk = |words: &str| format!("<Disk ovf:diskId='d' ovf:capacity='1' {words}/>");
    for (files, disks, words) in [
        (
            file("ovf:compression='gzip'"),
            disk("ovf:fileRef='f'"),
            "'disk.raw.gz' is compressed by 'gzip', which is not supported inside an ova: unpack",
        ),
        (file(""), disk("ovf:fileRef='f' ovf:parentRef='e'"), "holds only what differs from another disk"),
        (file(""), disk(""), "lists no disk with a file"),
        (file(""), String::new(), "lists no disk with a file"),
        (file(""), disk("ovf:fileRef='g'"), "'g' is not among the members"),
        (file("").repeat(2), disk("ovf:fileRef='f'"), "the name 'f' stands for two things"),
    ] {
        fs::write(bench.path("vm.ovf"), ova::envelope(&files, &disks)).unwrap();
        tar(bench, &["-cf", "vm.ova", "vm.ovf", "disk.raw.gz"]);
        bench.instar(["convert", "vm.ova", "out"]).fails_with(words);
        assert!(!bench.path("out").exists());
    }
    describe(bench, &[("disk.raw", ova::RAW)]);
    tar(bench, &["--sparse", "-cf", "vm.ova", "vm.ovf", "disk.raw"]);
    let why = "is stored without its holes";
    bench.instar(["convert", "vm.ova", "out"]).fails_with(why);
    tar(bench, &["--sparse", "--format=pax", "-cf", "vm.ova", "vm.ovf", "disk.raw"]);
    bench.instar(["convert", "vm.ova", "out"]).fails_with(why);
    // An archive without a descriptor is a raw disk, as it always was.
    tar(bench, &["-cf", "vm.ova", "disk.raw"]);
    assert_eq!(json(&bench.instar(["info", "--output=json", "vm.ova"]))["format"], "raw");
    bench.instar(["info", "-f", "ova", "vm.ova"]).fails_with("Image not in ova format");
}
