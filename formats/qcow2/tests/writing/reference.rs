//! The installed qemu-img, which has the last word.

use std::path::{Path, PathBuf};

use instar_disk::job::{Compression, Preallocation, Qcow2Create};
use serde_json::Value;

pub(crate) use instar_testkit::oracle::{qemu_in as succeed, run_in as run};

/// The `-o` argument for these options.
pub(crate) fn option_text(options: &Qcow2Create) -> String {
    let on = |value: bool| if value { "on" } else { "off" };
    let mut text = format!(
        "compat={},cluster_size={}",
        if options.version == 2 { "0.10" } else { "1.1" },
        1 << options.cluster_bits
    );
    let mut add = |name: &str, value: &str, default: &str| {
        if value != default {
            text += &format!(",{name}={value}");
        }
    };
    add(
        "refcount_bits",
        &(1_u128 << options.refcount_order).to_string(),
        "16",
    );
    add("lazy_refcounts", on(options.lazy_refcounts), "off");
    add("extended_l2", on(options.extended_l2), "off");
    let zstd = options.compression == Compression::Zstd;
    add("compression_type", if zstd { "zstd" } else { "zlib" }, "zlib");
    text += match options.preallocation {
        Preallocation::Off => "",
        Preallocation::Metadata => ",preallocation=metadata",
        Preallocation::Falloc => ",preallocation=falloc",
        Preallocation::Full => ",preallocation=full",
    };
    let name = |text: &instar_disk::ImageText| String::from_utf8(text.as_bytes().to_vec()).unwrap();
    if let Some(file) = &options.backing_file {
        text += &format!(",backing_file={}", name(file));
    }
    if let Some(format) = &options.backing_format {
        text += &format!(",backing_fmt={}", name(format));
    }
    if let Some((_, file)) = &options.data_file {
        text += &format!(",data_file={}", name(file));
    }
    if options.data_file_raw {
        text += ",data_file_raw=on";
    }
    text
}

/// Makes the image that qemu-img makes of these options, in a directory of its own.
pub(crate) fn create(directory: &Path, options: &Qcow2Create, size: u64) -> PathBuf {
    let own = directory.join("reference");
    std::fs::create_dir_all(&own).unwrap();
    let text = option_text(options);
    succeed(
        &own,
        &[
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-o",
            &text,
            "image.qcow2",
            &size.to_string(),
        ],
    );
    own.join("image.qcow2")
}

/// What `info` says of an image apart from file names and sizes on disk.
pub(crate) fn facts(image: &Path) -> Value {
    let directory = image.parent().unwrap();
    let text = succeed(
        directory,
        &["info", "-f", "qcow2", "--output=json", image.to_str().unwrap()],
    );
    let mut info: Value = serde_json::from_str(&text).unwrap();
    let info = info.as_object_mut().unwrap();
    for key in ["children", "filename", "actual-size", "full-backing-filename"] {
        info.remove(key);
    }
    Value::Object(info.clone())
}

/// `check` has nothing to say: no error, no leak.
pub(crate) fn check(image: &Path) -> Value {
    let directory = image.parent().unwrap();
    let output = run(
        directory,
        &["check", "-f", "qcow2", "--output=json", image.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["leaks", "corruptions", "check-errors"] {
        assert!(report.get(key).is_none_or(|v| v == 0), "{report}");
    }
    report
}

/// The image's guest bytes, read by qemu-img.
pub(crate) fn contents(image: &Path) -> Vec<u8> {
    let directory = image.parent().unwrap();
    let raw = image.with_extension("contents");
    succeed(
        directory,
        &[
            "convert",
            "-f",
            "qcow2",
            "-O",
            "raw",
            image.to_str().unwrap(),
            raw.to_str().unwrap(),
        ],
    );
    let bytes = std::fs::read(&raw).unwrap();
    std::fs::remove_file(raw).unwrap();
    bytes
}
