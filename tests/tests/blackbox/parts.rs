//! Images inside a part of a file, as in an OVA: raw nodes below a format, in `json:` and in `--image-opts`.

use std::fs;

use instar_tests::compare::{agree, same_bytes, same_outcome};
use instar_tests::{Bench, both_sandboxes, disk};

/// Where images stand in the container: bytes before each.
const GAP: usize = 1536;

/// A container of images of one disk; gives name, offset and size of each.
fn container(bench: &Bench) -> Vec<(&'static str, u64, u64)> {
    disk::usual(&bench.path("disk.raw"));
    let mut whole = Vec::new();
    let mut parts = Vec::new();
    for (format, options) in [
        ("raw", ""),
        ("qcow2", ""),
        ("vmdk", "subformat=streamOptimized"),
        ("vpc", "force_size=on"),
        ("vdi", ""),
        ("vhdx", ""),
    ] {
        let mut words = vec!["convert", "-O", format];
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        words.extend(["disk.raw", "image"]);
        bench.qemu(words).succeeds();
        // What lies around an image is not zero.
        whole.resize(whole.len() + GAP, 0xA5);
        let image = fs::read(bench.path("image")).unwrap();
        parts.push((format, whole.len() as u64, image.len() as u64));
        whole.extend(image);
        whole.resize(whole.len().next_multiple_of(512), 0x5A);
    }
    whole.resize(whole.len() + GAP, 0xA5);
    fs::write(bench.path("disk.ova"), whole).unwrap();
    parts
}

fn json(driver: &str, offset: u64, size: u64) -> String {
    let driver = if driver.is_empty() {
        String::new()
    } else {
        format!(r#""driver":"{driver}","#)
    };
    format!(
        r#"json:{{{driver}"file":{{"driver":"raw","offset":{offset},"size":{size},"file":{{"driver":"file","filename":"disk.ova"}}}}}}"#
    )
}

both_sandboxes!(
    an_image_inside_a_file_is_read_in_every_verb,
    parts_of_parts_and_options_are_named_as_the_reference_names_them,
    a_part_that_does_not_lie_in_its_file_is_refused,
    a_vhd_may_be_read_by_its_geometry_or_by_its_size,
);

fn an_image_inside_a_file_is_read_in_every_verb(bench: &Bench) {
    for (format, offset, size) in container(bench) {
        let size = size.next_multiple_of(512);
        // With the format named, and found.
        for driver in ["", format] {
            let name = json(driver, offset, size);
            if driver.is_empty() && matches!(format, "vpc") {
                continue;
            }
            for words in [
                ["info", &name].as_slice(),
                &["info", "--output=json", &name],
                &["map", "--output=json", &name],
                &["measure", "-O", "qcow2", "--output=json", &name],
                &["measure", "-O", "raw", &name],
                &["check", "--output=json", &name],
                &["compare", &name, "disk.raw"],
                &["compare", "-s", &name, &name],
                &["snapshot", "-l", &name],
            ] {
                agree(bench, words, &words.join(" "));
            }
            for (words, target) in [
                (["convert", "-O", "raw", &name, "ours"].as_slice(), "ours"),
                (&["convert", "-O", "raw", "--checksum=sha256", &name, "ours"], "ours"),
                (&["convert", "-C", "-O", "raw", &name, "ours"], "ours"),
                (&["dd", "bs=64k", &format!("if={name}"), "of=ours"], "ours"),
            ] {
                bench.instar(words).succeeds();
                let mut read = fs::read(bench.path(target)).unwrap();
                assert!(read.len() as u64 >= disk::USUAL_BYTES, "{words:?}");
                let rest = read.split_off(disk::USUAL_BYTES as usize);
                assert!(rest.iter().all(|byte| *byte == 0), "{words:?}: bytes from behind the part");
                fs::write(bench.path("read"), read).unwrap();
                same_bytes(bench, "disk.raw", "read", &words.join(" "));
            }
        }
    }
}

fn parts_of_parts_and_options_are_named_as_the_reference_names_them(bench: &Bench) {
    let parts = container(bench);
    let (_, offset, size) = parts[1];
    let (inner, outer) = (offset - 1024, size + 2048);
    for name in [
        format!(
            r#"json:{{"driver":"qcow2","file":{{"driver":"raw","offset":1024,"size":{size},"file":{{"driver":"raw","offset":{inner},"size":{outer},"file":{{"filename":"disk.ova"}}}}}}}}"#
        ),
        format!(
            r#"json:{{"driver":"raw","offset":1024,"file":{{"driver":"raw","offset":{inner},"size":{outer},"file":{{"filename":"disk.ova"}}}}}}"#
        ),
        format!(
            r#"json:{{"driver":"qcow2","file":{{"driver":"raw","offset":"{offset}","file":{{"filename":"disk.ova"}}}}}}"#
        ),
        r#"json:{"driver":"raw","size":"1k","file":{"filename":"disk.ova"}}"#.to_owned(),
        r#"json:{"file":{"driver":"raw","file":{"driver":"raw","file":{"filename":"disk.raw"}}}}"#.to_owned(),
        r#"json:{"file":{"driver":"raw","offset":512,"size":512,"file":{"filename":"disk.raw"}}}"#.to_owned(),
    ] {
        for verb in [["info"].as_slice(), &["info", "--output=json"], &["map", "--output=json"], &["map"]] {
            agree(bench, &[verb, &[&name]].concat(), &name);
        }
    }
    let list = format!(
        "driver=qcow2,file.driver=raw,file.offset={offset},file.size={size},file.file.filename=disk.ova"
    );
    for verb in [["info"].as_slice(), &["measure", "-O", "raw"], &["check"]] {
        agree(bench, &[verb, &["--image-opts", &list]].concat(), &list);
    }
}

fn a_part_that_does_not_lie_in_its_file_is_refused(bench: &Bench) {
    container(bench);
    let length = fs::metadata(bench.path("disk.ova")).unwrap().len();
    for file in [
        format!(r#""driver":"raw","offset":{},"file":{{"filename":"disk.ova"}}"#, length + 1),
        format!(r#""driver":"raw","offset":512,"size":{length},"file":{{"filename":"disk.ova"}}"#),
        r#""driver":"raw","offset":512,"size":45,"file":{"filename":"disk.ova"}"#.to_owned(),
        r#""driver":"raw","offset":-1,"file":{"filename":"disk.ova"}"#.to_owned(),
        r#""driver":"raw","foo":1,"file":{"filename":"disk.ova"}"#.to_owned(),
        r#""driver":"raw","file":{"filename":"disk.ova","foo":1}"#.to_owned(),
        r#""file":{"filename":"disk.ova"}"#.to_owned(),
        r#""driver":"raw","file":{"driver":"host_device","filename":"disk.ova"}"#.to_owned(),
    ] {
        let name = format!(r#"json:{{"driver":"qcow2","file":{{{file}}}}}"#);
        assert_eq!(same_outcome(bench, &["info", &name], &name).code(), Some(1), "{name}");
    }
}

fn a_vhd_may_be_read_by_its_geometry_or_by_its_size(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "vpc", "disk.raw", "image"]).succeeds();
    bench.qemu(["convert", "-O", "vpc", "-o", "force_size=on", "disk.raw", "forced"]).succeeds();
    for image in ["image", "forced"] {
        for rule in ["chs", "current_size", "nonsense"] {
            let name = format!("driver=vpc,force_size_calc={rule},file.filename={image}");
            for verb in [["info"].as_slice(), &["info", "--output=json"], &["measure", "-O", "raw"]] {
                agree(bench, &[verb, &["--image-opts", &name]].concat(), &name);
            }
            if rule != "nonsense" {
                for target in ["theirs", "ours"] {
                    let words = ["convert", "-O", "raw", "--image-opts", &name, target];
                    if target == "ours" {
                        bench.instar(words)
                    } else {
                        bench.qemu(words)
                    }
                    .succeeds();
                }
                same_bytes(bench, "theirs", "ours", &name);
            }
        }
    }
}
