//! What is read of a descriptor, and what is refused.

use super::*;

const GOOD: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\n\
    isNativeSnapshot=\"no\"\ncreateType=\"twoGbMaxExtentSparse\"\n\n# Extent description\n\
    RW 4192256 SPARSE \"a b-s001.vmdk\"\n RW 100 FLAT \"x\" 7 \n\n# DDB\n\nddb.adapterType = \"ide\"\n";

/// A descriptor file.
fn read(text: &str) -> Result<Descriptor> {
    parse(text.as_bytes(), Home::File)
}

fn refusal(text: &str) -> FaultCode {
    read(text).unwrap_err().code
}

#[test]
fn a_descriptor_is_read_whatever_its_line_ends() {
    for text in [
        GOOD.to_owned(),
        GOOD.replace('\n', "\r\n"),
        format!("{GOOD}\0\0garbage"),
    ] {
        let found = read(&text).unwrap();
        assert_eq!(found.create_type, b"twoGbMaxExtentSparse");
        assert_eq!((found.cid, found.parent_cid), (0xffff_fffe, 0xffff_ffff));
        assert_eq!(found.parent_name, None);
        assert_eq!(
            found.extents,
            [
                Line {
                    sectors: 4_192_256,
                    kind: LineKind::Sparse,
                    name: b"a b-s001.vmdk".to_vec()
                },
                Line {
                    sectors: 100,
                    kind: LineKind::Flat { sector: 7 },
                    name: b"x".to_vec()
                },
            ]
        );
    }
}

#[test]
fn the_parent_is_found() {
    let text = GOOD.replace("createType", "parentFileNameHint=\"base disk.vmdk\"\ncreateType");
    assert_eq!(read(&text).unwrap().parent_name, Some(b"base disk.vmdk".to_vec()));
    for bad in [
        "parentFileNameHint=base\n",
        "parentFileNameHint= \"base\"\n",
        "parentFileNameHint=\"a\"b\"\n",
    ] {
        assert_eq!(
            refusal(&GOOD.replace("createType", &format!("{bad}createType"))),
            fault::vmdk::DESCRIPTOR
        );
    }
}

#[test]
fn a_parent_without_a_name_is_remembered() {
    let text = GOOD.replace("createType", "parentFileNameHint=\"\"\ncreateType");
    assert_eq!(read(&text).unwrap().parent_name, None);
    let uuids = |parent: &str| {
        let text = format!(
            "{GOOD}ddb.uuid.image=\"00000000-0000-0000-0000-000000000001\"\nddb.uuid.parent=\"{parent}\"\n"
        );
        let found = read(&text).unwrap();
        (
            found.uuid.map(u128::from_be_bytes),
            found.parent_uuid.map(u128::from_be_bytes),
        )
    };
    assert_eq!(uuids("00000000-0000-0000-0000-000000000000"), (Some(1), None));
    assert_eq!(uuids("00000000-0000-0000-0000-000000000002"), (Some(1), Some(2)));
}

#[test]
fn what_must_be_said_must_be_said_well() {
    for (from, to) in [
        ("CID=fffffffe\n", ""),
        ("parentCID=ffffffff\n", ""),
        ("createType=\"twoGbMaxExtentSparse\"\n", ""),
        ("CID=fffffffe", "CID=0x"),
        ("CID=fffffffe", "CID=12345678901234567"),
        ("CID=fffffffe", "CID="),
        ("CID=fffffffe", "CID =fffffffe"),
        ("CID=fffffffe", "CID=xyz"),
        ("=\"twoGb", "=twoGb"),
        ("createType=", "createType= "),
    ] {
        assert_eq!(
            refusal(&GOOD.replacen(from, to, 1)),
            fault::vmdk::DESCRIPTOR,
            "{from} {to}"
        );
    }
    assert_eq!(refusal(""), fault::vmdk::DESCRIPTOR);
}

#[test]
fn content_ids_are_read_as_by_the_scanf_of_c() {
    for (text, value) in [
        ("4015623897", 0x1562_3897),
        ("180953948", 0x8095_3948),
        ("0x1e", 0x1e),
        ("0XFFFFFFFE", 0xffff_fffe),
        ("\t1e \r", 0x1e),
        ("1234567890abcdef", 0x90ab_cdef),
    ] {
        let found = read(&GOOD.replacen("CID=fffffffe", &format!("CID={text}"), 1));
        assert_eq!(found.unwrap().cid, value, "{text}");
    }
}

#[test]
fn texts_that_readers_would_take_differently_are_refused() {
    for (from, to) in [
        ("CID=fffffffe\n", "CID=fffffffe\nCID=1\n"),
        ("CID=fffffffe\n", "CID=fffffffe\ncid=fffffffe\n"),
        ("# Disk", "# CID=1 Disk"),
        ("# Disk", "# createType=\"vmfs\" Disk"),
        ("createType", "CreateType=\"vmfs\"\ncreateType"),
        ("createType", "xcreateType=\"vmfs\"\ncreateType"),
        ("a b-s001", "parentFileNameHint=\\"),
        ("# DDB", "# parentFileNameHint is not set"),
        ("version=1\n", "version=1 CID=1\n"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        assert_eq!(refusal(&text), fault::vmdk::AMBIGUOUS, "{from} {to}");
    }
}

#[test]
fn lines_that_change_no_disk_are_read_over() {
    let expected = read(GOOD).unwrap();
    for line in [
        "garbage",
        "=1",
        "a b=1",
        "; a comment",
        "// another",
        "\u{1a}",
        "\u{1}=2",
        "ddb.with blank = \"1\"",
        "ddb.a/b = \"1\"",
        "ddb.list[0] = \"1\"",
        "version=1",
        "version=4",
        "CID=fffffffe",
        "parentCID=ffffffff",
        "createType=\"twoGbMaxExtentSparse\"",
        "changeTrackPath=\"x-ctk.vmdk\"",
        "# createType is written again",
    ] {
        assert_eq!(read(&format!("{GOOD}{line}\n")).unwrap(), expected, "{line}");
    }
    let swapped = GOOD.replace(
        "CID=fffffffe\nparentCID=ffffffff\n",
        "parentCID=ffffffff\nCID=fffffffe\n",
    );
    assert_eq!(read(&swapped).unwrap(), expected);
    let bare = GOOD.replace("version=1\n", "").replace("\n\n", "\n");
    assert_eq!(read(&bare).unwrap(), expected);
}

#[test]
fn lines_that_some_reader_takes_for_an_extent_are_refused() {
    for line in [
        "RW",
        "RW 100",
        "rw 100 FLAT \"x\" 0",
        "Rdonly 1 FLAT \"x\" 0",
        "\u{b}RW 100 FLAT \"x\"",
        "\u{feff}RW 100 FLAT \"x\" 0",
        "ddb.x = 1\rRW 100 FLAT \"x\" 0",
        "ddb.x = 1\u{b}RW 100 FLAT \"x\" 0",
    ] {
        let refused = refusal(&format!("{GOOD}{line}\n"));
        assert!(
            [
                fault::vmdk::LINE,
                fault::vmdk::EXTENT_LINE,
                fault::vmdk::EXTENT_TYPE
            ]
            .contains(&refused),
            "{line}"
        );
    }
}

#[test]
fn an_embedded_descriptor_must_not_lead_elsewhere() {
    let text = "# Disk DescriptorFile\nversion=1\nCID=7\nparentCID=ffffffff\n";
    let inside = |lines: &str| parse(format!("{text}{lines}\n").as_bytes(), Home::Extent);
    for lines in [
        "",
        "createType=\"streamOptimized\"\nRDONLY 8192 SPARSE \"call-me-stream.vmdk\"",
        "RW 8192 SPARSE \"/elsewhere/x.vmdk\"",
        "RW 0 SPARSE",
        "NOACCESS 1 VMFSSPARSE \"x\"",
        "createType=\"custom\"",
    ] {
        let found = inside(lines).unwrap();
        assert_eq!((found.cid, found.extents.len()), (7, 0), "{lines}");
    }
    for lines in [
        "RW 8192 FLAT \"x\" 0",
        "rw 8192 flat \"x\" 0",
        "RW 8192 VMFS \"x\"",
        "RW 8192 ZERO",
        "RW 8192",
        "RW 8192 SPARSE \"a\"\nRW 8192 SPARSE \"b\"",
    ] {
        assert_eq!(
            inside(lines).unwrap_err().code,
            fault::vmdk::EMBEDDED_EXTENT,
            "{lines}"
        );
    }
}

#[test]
fn extent_lines_are_exact() {
    for (line, code) in [
        ("RW 0 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
        ("RW -1 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
        ("RW 18446744073709551616 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
        ("RW 1 SPARSE a", fault::vmdk::EXTENT_LINE),
        ("RW 1 SPARSE \"a", fault::vmdk::EXTENT_LINE),
        ("RW 1 SPARSE \"\"", fault::vmdk::EXTENT_LINE),
        ("RW 1 SPARSE \"a\rb\"", fault::vmdk::EXTENT_LINE),
        ("RW 1 SPARSE \"a\" 0", fault::vmdk::EXTENT_LINE),
        ("RW 1 FLAT \"a\"", fault::vmdk::EXTENT_LINE),
        ("RW 1 FLAT \"a\" -1", fault::vmdk::EXTENT_LINE),
        ("RW 1 FLAT \"a\" 0 junk", fault::vmdk::EXTENT_LINE),
        ("RW 1 VMFS \"a\" 0", fault::vmdk::EXTENT_LINE),
        ("RW 1 ZERO", fault::vmdk::EXTENT_TYPE),
        ("RW 1 VMFSRDM \"a\"", fault::vmdk::EXTENT_TYPE),
        ("RDONLY 1 FLAT \"a\" 0", fault::vmdk::EXTENT_TYPE),
        ("NOACCESS 1 FLAT \"a\" 0", fault::vmdk::EXTENT_TYPE),
    ] {
        assert_eq!(refusal(&format!("{GOOD}{line}\n")), code, "{line}");
    }
    let many = "RW 1 FLAT \"a\" 0\n".repeat(EXTENTS_MAX);
    assert_eq!(refusal(&format!("{GOOD}{many}")), fault::vmdk::EXTENT_COUNT);
    assert_eq!(
        read(&format!("{GOOD}{}", &many[32..])).unwrap().extents.len(),
        EXTENTS_MAX
    );
}

#[test]
fn what_follows_the_text_of_a_descriptor_file_must_not_count() {
    let expected = read(GOOD).unwrap();
    for rest in [
        "\0\0\0",
        "\0\0x",
        "\0anything\nat all = 7\n\0",
        // Content IDs have become shorter by two digits, and by seven: the end of the old text stands there.
        "\0\"\n\0\0",
        "\0\"ide\"\n\0",
    ] {
        assert_eq!(read(&format!("{GOOD}{rest}")).unwrap(), expected, "{rest:?}");
    }
    for rest in [
        "\0RW 1 FLAT \"y\" 0\n",
        "\0\0\n rdonly 1 FLAT \"y\" 0\n",
        "\0x\nCID=1\n",
        "\0# parentfilenamehint=\"y\"\n",
    ] {
        assert_eq!(
            refusal(&format!("{GOOD}{rest}")),
            fault::vmdk::AFTER_TEXT,
            "{rest:?}"
        );
    }
    assert!(
        parse(
            format!("{GOOD}\0RW 1 FLAT \"y\" 0")
                .replace("RW 100 FLAT \"x\" 7", "")
                .as_bytes(),
            Home::Extent
        )
        .is_ok()
    );
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let mut state = 1_u64;
    for round in 0..2000 {
        let mut text = GOOD.as_bytes().to_vec();
        for _ in 0..=round % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).unwrap() % text.len();
            text[at] = state.to_le_bytes()[3];
        }
        for home in [Home::File, Home::Extent] {
            let _ = parse(&text, home);
        }
    }
}
