use instar_abi::report::Info;
use instar_abi::{Format, Slot};

use super::{Child, FileInfo, Layer, Name, human, json};
use crate::json::pretty;
use crate::show::{LocalTime, beside};

fn report() -> Info {
    Info {
        slot: Slot(0),
        format: Format::Raw,
        virtual_size: 1024,
        cluster_size: None,
        encrypted: false,
        compressed: false,
        dirty: false,
        backing: None,
        export_size: None,
        snapshots: Vec::new(),
        specific: None,
    }
}

fn layer<'a>(report: &'a Info, name: &'a Name) -> Layer<'a> {
    Layer {
        name,
        report,
        full_backing: None,
        bare_file: false,
        children: vec![Child {
            role: "file".to_owned(),
            name: name.clone(),
            parts: Vec::new(),
            file: FileInfo {
                length: 1000,
                allocated: Some(4096),
                protocol: "file",
            },
        }],
        limits: None,
    }
}

#[test]
fn a_raw_file_looks_as_the_reference_tool_shows_it() {
    let report = report();
    let text = human(&layer(&report, &Name::given(b"k.raw")), &LocalTime::load());
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "image: k.raw\nfile format: raw\nvirtual size: 1 KiB (1024 bytes)\ndisk size: 4 KiB\n\
         Child node '/file':\n    filename: k.raw\n    protocol type: file\n    file length: 1 KiB (1024 bytes)\n    disk size: 4 KiB\n"
    );
}

#[test]
fn json_is_valid_for_any_name() {
    let report = report();
    let value = json(&layer(&report, &Name::found(b"\xff\"\n")));
    let parsed: serde_json::Value = serde_json::from_str(&pretty(&value)).unwrap();
    assert_eq!(parsed["filename"], "\u{fffd}\"\n");
    assert_eq!(parsed["children"][0]["info"]["virtual-size"], 1024);
}

#[test]
fn names_in_images_start_at_the_directory_of_the_image() {
    assert_eq!(beside(b"a/b.qcow2", b"c"), b"a/c");
    assert_eq!(beside(b"b.qcow2", b"c"), b"c");
    assert_eq!(beside(b"a/b", b"/c"), b"/c");
}
