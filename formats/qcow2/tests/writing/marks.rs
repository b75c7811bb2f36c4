//! Until `finish` returns nobody takes the image for a complete one.

use instar_disk::fault;
use instar_disk::job::{Preallocation, Qcow2Create};
use instar_disk::{File, ImageText};
use instar_testkit::Native;

use crate::copier::as_device;
use crate::made::target;
use crate::reference;

/// Every verb that opens an image, as it would be called on one that a killed run left behind.
const VERBS: [&[&str]; 11] = [
    &["info", "image.qcow2"],
    &["check", "-f", "qcow2", "image.qcow2"],
    &["check", "-r", "all", "-f", "qcow2", "image.qcow2"],
    &["convert", "-f", "qcow2", "-O", "raw", "image.qcow2", "out.raw"],
    &["compare", "-f", "qcow2", "image.qcow2", "image.qcow2"],
    &["map", "-f", "qcow2", "image.qcow2"],
    &["snapshot", "-f", "qcow2", "-c", "s", "image.qcow2"],
    &["resize", "-f", "qcow2", "image.qcow2", "+1M"],
    &["amend", "-f", "qcow2", "-o", "compat=1.1", "image.qcow2"],
    &["rebase", "-u", "-f", "qcow2", "-b", "", "image.qcow2"],
    &["dd", "-f", "qcow2", "if=image.qcow2", "of=out.raw"],
];

#[test]
fn an_unfinished_image_is_refused_by_every_verb_and_says_why() {
    for bits in [9, 12, 16, 21] {
        let directory = instar_testkit::scratch();
        let image = directory.path().join("image.qcow2");
        let host = Native::new(1);
        let options = Qcow2Create {
            cluster_bits: bits,
            backing_file: Some(ImageText::new(b"below")),
            backing_format: Some(ImageText::new(b"raw")),
            ..Qcow2Create::default()
        };
        let mut target = target(&host, &image, &options, 1 << 30);
        target.allocate(0, 4 << 21).unwrap();
        for verb in VERBS {
            let output = reference::run(directory.path(), verb);
            assert!(!output.status.success(), "{verb:?}");
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(
                words.contains("Unsupported qcow2 feature(s): conversion incomplete"),
                "{verb:?}: {words}"
            );
        }
        target.finish().unwrap();
        drop(target);
        reference::succeed(directory.path(), VERBS[0]);
    }
}

#[test]
fn an_unfinished_version_2_image_is_refused_by_every_verb() {
    let directory = instar_testkit::scratch();
    let image = directory.path().join("image.qcow2");
    // What was there before does not shine through either.
    reference::succeed(
        directory.path(),
        &["create", "-q", "-f", "qcow2", "image.qcow2", "1M"],
    );
    std::fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    let host = Native::new(1);
    let options = Qcow2Create {
        version: 2,
        ..Qcow2Create::default()
    };
    let file = as_device(&host, host.existing(&image));
    let mut target = instar_qcow2::create(file, &options, 1 << 20, None, false).unwrap();
    target.allocate(0, 1 << 20).unwrap();
    for verb in VERBS {
        let output = reference::run(directory.path(), verb);
        assert!(!output.status.success(), "{verb:?}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            words.contains("Unsupported qcow2 version 1229865807"),
            "{verb:?}: {words}"
        );
    }
    target.finish().unwrap();
    drop(target);
    reference::check(&image);
}

#[test]
fn options_that_do_not_go_together_are_refused_in_the_words_of_the_reference() {
    let base = Qcow2Create::default;
    let v2 = || Qcow2Create { version: 2, ..base() };
    let name = |text: &str| Some(ImageText::new(text.as_bytes()));
    let data_file = Some((instar_disk::Slot(1), ImageText::new(b"data.raw")));
    let metadata = Preallocation::Metadata;
    #[rustfmt::skip]
    let wrong = [
        Qcow2Create { cluster_bits: 8, ..base() },
        Qcow2Create { cluster_bits: 22, ..base() },
        Qcow2Create { refcount_order: 7, ..base() },
        Qcow2Create { extended_l2: true, cluster_bits: 13, ..base() },
        Qcow2Create { extended_l2: true, ..v2() },
        Qcow2Create { data_file: data_file.clone(), ..v2() },
        Qcow2Create { data_file_raw: true, backing_file: name("b"), backing_format: name("raw"), data_file, ..base() },
        Qcow2Create { preallocation: metadata, backing_file: name("b"), backing_format: name("raw"), ..base() },
    ];
    let directory = instar_testkit::scratch();
    let host = Native::new(1);
    for options in wrong {
        let text = reference::option_text(&options);
        let arguments = [
            "create",
            "-u",
            "-f",
            "qcow2",
            "-o",
            &text,
            "reference.qcow2",
            "1M",
        ];
        let output = reference::run(directory.path(), &arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        let path = directory.path().join("image.qcow2");
        let file = File::new(&host, host.target(path));
        let data = options.data_file.as_ref().map(|_| file);
        let fault = instar_qcow2::create(file, &options, 1 << 20, data, false)
            .err()
            .unwrap();
        let template = fault.code.template().unwrap();
        assert_eq!(words.trim_end(), format!("qemu-img: reference.qcow2: {template}"));
    }
}

#[test]
fn sizes_that_need_too_large_a_table_are_refused() {
    let host = Native::new(1);
    let directory = instar_testkit::scratch();
    for (bits, extended_l2, limit) in [
        (9, false, 128_u64 << 30),
        (16, false, 1 << 51),
        (16, true, 1 << 50),
        (21, false, 1 << 61),
    ] {
        let options = Qcow2Create {
            cluster_bits: bits,
            extended_l2,
            ..Qcow2Create::default()
        };
        let path = directory.path().join("image.qcow2");
        for size in [limit + 1, u64::MAX] {
            let file = File::new(&host, host.target(&path));
            let fault = instar_qcow2::create(file, &options, size, None, false)
                .err()
                .unwrap();
            assert_eq!(fault.code, fault::qcow2_write::TOO_LARGE);
        }
        let file = File::new(&host, host.target(&path));
        let mut target = instar_qcow2::create(file, &options, limit, None, false).unwrap();
        // The last unit of the largest disk.
        target.allocate(limit - (1 << bits), 1 << bits).unwrap();
        target.finish().unwrap();
        drop(target);
        let report = reference::check(&path);
        assert_eq!(report["allocated-clusters"], 1);
    }
}

#[test]
fn names_that_do_not_fit_the_first_cluster_are_refused() {
    let host = Native::new(1);
    let directory = instar_testkit::scratch();
    let path = directory.path().join("image.qcow2");
    for (bits, length, code) in [
        (9, 392, None),
        (9, 393, Some(fault::qcow2_write::HEADER_TOO_LONG)),
        (16, 1023, None),
        (16, 1024, Some(fault::qcow2_write::NAME_TOO_LONG)),
    ] {
        let options = Qcow2Create {
            cluster_bits: bits,
            backing_file: Some(ImageText::new(&vec![b'a'; length])),
            ..Qcow2Create::default()
        };
        let file = File::new(&host, host.target(&path));
        match instar_qcow2::create(file, &options, 1 << 20, None, false) {
            Ok(mut target) => {
                assert_eq!(code, None);
                target.finish().unwrap();
                let text = reference::succeed(directory.path(), &["info", "image.qcow2"]);
                assert!(text.contains(&"a".repeat(length)));
            }
            Err(fault) => assert_eq!(Some(fault.code), code),
        }
    }
}
