//! C2, C3, D1 for machines packed by OVF: archives, descriptors and manifests that lie or never end.

use std::fs;

use instar_testkit::lay::ova::{self, archive, envelope, header, member, sealed};
use instar_tests::{Bench, both_sandboxes, disk};

use crate::unknown::tell;
use crate::{refused, run};

const MIB: u64 = 1 << 20;

both_sandboxes!(
    c2_d1_lying_tar_headers,
    c2_descriptors_that_lie_are_refused,
    c2_names_that_stand_for_two_things_are_refused,
    c3_archives_that_never_end_are_refused,
    c2_an_archive_that_is_another_image_as_well_is_refused,
    c2_manifests_that_are_none_are_refused,
);

const FILE: &str = "<File ovf:id='f' ovf:href='disk.img'/>";
const DISK: &str = "<Disk ovf:diskId='d' ovf:fileRef='f' ovf:format='http://en.wikipedia.org/wiki/Byte'/>";

fn sound() -> Vec<u8> {
    let bytes = disk::pattern(0, MIB, 1);
    let disk = ova::Disk {
        name: "disk.img",
        bytes: &bytes,
        capacity: MIB,
        format: ova::RAW,
    };
    ova::image(&[disk], None)
}

/// An archive with this descriptor, and a disk.
fn described(bench: &Bench, descriptor: &str) {
    let image = archive(&[("vm.ovf", descriptor.as_bytes()), ("disk.img", &[1; 4096])]);
    fs::write(bench.path("image"), image).unwrap();
}

fn c2_d1_lying_tar_headers(bench: &Bench) {
    let sound = sound();
    let disk = sound.windows(8).rposition(|bytes| bytes == b"disk.img").unwrap();
    let mut lies = Vec::new();
    let fields: [(&'static str, usize, &[&[u8]]); 6] = [
        ("name", 0, &[b"\0", b"../disk.img\0", b"/etc/passwd\0", b"vm.ovf\0"]),
        (
            "size",
            124,
            &[
                b"77777777777\0",
                b"777777777777",
                b"00000000001\0",
                b"0000000000x\0",
                b"-0000000001\0",
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ],
        ),
        ("kind", 156, &[b"S", b"L", b"K", b"x", b"g", b"1", b"5", b"M", b"\xff"]),
        ("magic", 257, &[b"\0", b"ustax", b"ustar "]),
        ("version", 263, &[b"99"]),
        ("prefix", 345, &[b"a/b", b"..", &[b'x'; 155]]),
    ];
    for (what, at, values) in fields {
        for start in [0, disk] {
            for value in values {
                let mut block: [u8; 512] = sound[start..start + 512].try_into().unwrap();
                block[at..at + value.len()].copy_from_slice(value);
                // One that nobody would take for a header, and one that is whole.
                lies.push((what, start as u64, block.to_vec()));
                lies.push((what, start as u64, sealed(block).to_vec()));
            }
        }
    }
    assert!(tell(bench, &sound, &lies) > 20);
}

fn c2_descriptors_that_lie_are_refused(bench: &Bench) {
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>";
    let outside = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>";
    for (descriptor, words) in [
        (String::new(), "is not well-formed XML"),
        ("\0".repeat(4096), "is not well-formed XML"),
        ("<Envelope>".to_owned(), "is not well-formed XML"),
        ("<html/>".to_owned(), "it begins with the element 'html'"),
        (format!("{bomb}<Envelope>&b;</Envelope>"), "has a DOCTYPE"),
        (format!("{outside}<Envelope a='&a;'/>"), "has a DOCTYPE"),
        (envelope("<File ovf:id='&a;'/>", ""), "uses the entity 'a'"),
        (format!("<Envelope>{}", "<a>".repeat(100_000)), "within more than 64 elements"),
        (envelope(&FILE.repeat(1025), DISK), "lists more than 1024 files or disks"),
        (envelope(FILE, &DISK.repeat(1025)), "lists more than 1024 files or disks"),
        (envelope(FILE, &DISK.repeat(1000)), "it holds 1000 disks"),
        (envelope(FILE, "<Disk ovf:fileRef='f' fileRef='g'/>"), "two attributes 'fileRef'"),
        (" ".repeat(1 << 20) + &envelope(FILE, DISK), "at most 1048576 are read"),
        (envelope(FILE, DISK).replace("disk.img", "\u{1b}[31m\n"), "is not among the members"),
    ] {
        described(bench, &descriptor);
        refused(bench, "image", words);
        run(bench, &["info", "image"]).fails_with(words);
        assert_eq!(run(bench, &["info", "--safety", "image"]).code(), Some(1), "{words}");
    }
    described(bench, &envelope(FILE, DISK));
    run(bench, &["checksum", "image"]).succeeds();
}

fn c2_names_that_stand_for_two_things_are_refused(bench: &Bench) {
    let descriptor = envelope(FILE, DISK);
    let (own, one, two): (_, &[u8], &[u8]) = (descriptor.as_bytes(), &[1; 4096], &[2; 4096]);
    for members in [
        &[("vm.ovf", own), ("disk.img", one), ("disk.img", two)][..],
        &[("vm.ovf", own), ("./disk.img", one), ("disk.img", two)],
        &[
            ("vm.ovf", own),
            ("disk.img.000000000", one),
            ("disk.img.000000001", one),
            ("disk.img.000000001", two),
        ],
        &[("vm.ovf", own), ("vm.mf", b""), ("vm.mf", b""), ("disk.img", one)],
    ] {
        fs::write(bench.path("image"), archive(members)).unwrap();
        refused(bench, "image", "stands for two things");
    }
    fs::write(bench.path("image"), archive(&[("vm.ovf", own), ("other.ovf", own), ("disk.img", one)]))
        .unwrap();
    refused(bench, "image", "a second descriptor, 'other.ovf'");
}

fn c3_archives_that_never_end_are_refused(bench: &Bench) {
    let descriptor = envelope(FILE, DISK);
    let start = member("vm.ovf", b'0', descriptor.as_bytes());
    let write = |more: &[u8]| fs::write(bench.path("image"), [&start[..], more].concat()).unwrap();
    write(&header("x", b'0', 0).repeat(5000));
    refused(bench, "image", "more than 4096 members");
    write(&header("x", b'5', 0).repeat(5000));
    refused(bench, "image", "more than 4096 members");
    write(&member("x", b'x', &[b'1'; 70_000]));
    refused(bench, "image", "at most 65536 are read");
    write(&member("x", b'L', &[b'1'; 70_000]));
    refused(bench, "image", "at most 65536 are read");
    write(&member("x", b'x', b"99999 path=x\n"));
    refused(bench, "image", "pax records");
    write(&member("x", b'g', b"10 size=1\n"));
    refused(bench, "image", "pax records");
    let long = [member("x", b'L', &[b'n'; 60_000]), header("x", b'0', 0).to_vec()].concat();
    write(&long.repeat(20));
    refused(bench, "image", "take more than 1048576 bytes");
    write(&header("disk.img", b'0', 1 << 30));
    refused(bench, "image", "it was not copied as a whole");
    // Before there is a descriptor, it may be anything else: a raw disk.
    fs::write(bench.path("image"), header("x", b'0', 0).repeat(5000)).unwrap();
    run(bench, &["info", "image"]).succeeds();
    run(bench, &["info", "-f", "ova", "image"]).fails_with("more than 4096 members");
}

fn c2_an_archive_that_is_another_image_as_well_is_refused(bench: &Bench) {
    let mut first = header("QFI", b'0', 0);
    first[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let descriptor = envelope(FILE, DISK);
    let rest = archive(&[("vm.ovf", descriptor.as_bytes()), ("disk.img", &[1; 4096])]);
    fs::write(bench.path("image"), [&sealed(first)[..], &rest].concat()).unwrap();
    refused(bench, "image", "qcow2 and ova");
    assert_eq!(run(bench, &["info", "--safety", "image"]).code(), Some(1));
    // An archive in an archive.
    fs::write(
        bench.path("image"),
        archive(&[("vm.ovf", envelope(FILE, "<Disk ovf:fileRef='f'/>").as_bytes()), ("disk.img", &rest)]),
    )
    .unwrap();
    refused(bench, "image", "is an ova itself");
}

fn c2_manifests_that_are_none_are_refused(bench: &Bench) {
    let descriptor = envelope(FILE, DISK);
    for manifest in
        [&b"\0"[..], b")(", b"SHA256(disk.img)= 00", &[b'('; 100_000], b"SHA1(disk.img)=", &[b'x'; 2 << 20]]
    {
        let image =
            archive(&[("vm.ovf", descriptor.as_bytes()), ("vm.mf", manifest), ("disk.img", &[1; 4096])]);
        fs::write(bench.path("image"), image).unwrap();
        run(bench, &["convert", "image", "out"]).fails_with("image");
        run(bench, &["checksum", "image"]).fails();
        assert!(!bench.path("out").exists());
    }
}
