use std::ffi::OsStr;

use instar_abi::job::{Create, Preallocation, Qcow2Create};
use instar_abi::{Format, ImageText, Slot};

use super::{Companion, Ground, Settings, Surroundings, help, table};

fn create(format: Format, list: &str) -> Result<Create, String> {
    let settings =
        Settings::parse(format, Some(list.as_bytes())).map_err(|e| String::from_utf8(e).unwrap())?;
    let mut companion = |_: &OsStr, _: Companion| Ok(Slot(9));
    let mut around = Surroundings {
        name: OsStr::new("dir.d/disk.vmdk"),
        companion: &mut companion,
        size: &mut || Ok(5 << 30),
    };
    settings
        .create(&mut around)
        .map_err(|e| String::from_utf8(e).unwrap())
}

#[test]
fn qcow2_options_arrive() {
    let Ok(Create::Qcow2(options)) = create(
        Format::Qcow2,
        "cluster_size=4k,refcount_bits=0x8,lazy_refcounts,compression_type=zstd,preallocation=metadata,data_file=x",
    ) else {
        panic!()
    };
    assert_eq!(
        options,
        Qcow2Create {
            cluster_bits: 12,
            refcount_order: 3,
            lazy_refcounts: true,
            compression: instar_abi::job::Compression::Zstd,
            preallocation: Preallocation::Metadata,
            data_file: Some((Slot(9), ImageText::new(b"x"))),
            ..Qcow2Create::default()
        }
    );
}

#[test]
fn later_settings_win() {
    let Ok(Create::Qcow2(options)) = create(Format::Qcow2, "compat=v2,compat=v3") else {
        panic!()
    };
    assert_eq!(options.version, 3);
}

#[test]
fn a_split_vmdk_has_its_extents_beside_it() {
    for (options, expected) in [
        ("subformat=monolithicFlat", &["disk-flat.vmdk"][..]),
        (
            "subformat=twoGbMaxExtentSparse",
            &["disk-s001.vmdk", "disk-s002.vmdk", "disk-s003.vmdk"],
        ),
        ("subformat=streamOptimized", &[]),
    ] {
        let settings = Settings::parse(Format::Vmdk, Some(options.as_bytes())).unwrap();
        let mut names = Vec::new();
        let mut companion = |name: &OsStr, _: Companion| {
            names.push(name.to_owned());
            Ok(Slot(1))
        };
        let mut around = Surroundings {
            name: OsStr::new("dir.d/disk.vmdk"),
            companion: &mut companion,
            size: &mut || Ok(5 << 30),
        };
        settings.create(&mut around).unwrap();
        assert_eq!(names, expected);
    }
}

#[test]
fn help_is_sorted_and_lists_what_the_file_below_takes_only_with_a_name() {
    let short = help(Format::Raw, Ground::Unknown);
    assert!(short.starts_with("Supported raw options:\n  size=<size>            - "));
    assert!(!short.contains("nocow"));
    let long = help(Format::Qcow2, Ground::File);
    let names: Vec<&str> = long
        .lines()
        .skip(1)
        .map(|line| line.trim().split('=').next().unwrap())
        .collect();
    assert!(names.is_sorted());
    assert!(names.contains(&"nocow"));
    assert_eq!(names.iter().filter(|name| **name == "preallocation").count(), 1);
}

#[test]
fn option_names_are_unique() {
    for format in Format::ALL {
        let mut names: Vec<_> = table::rows(format).iter().map(|row| row.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
