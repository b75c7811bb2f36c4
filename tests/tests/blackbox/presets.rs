//! `convert --for`: images as clouds and hypervisors take them, judged by qemu-img and by the bytes that the platform looks at.

use std::fs;

use instar_tests::compare::{checks_clean_as, qemu_info};
use instar_tests::{Bench, both_sandboxes, disk};

const MIB: u64 = 1 << 20;

both_sandboxes!(
    azure_gets_a_fixed_vhd_of_whole_mebibytes,
    gcp_gets_a_raw_disk_of_whole_gibibytes,
    vmware_and_aws_get_a_stream_for_lsilogic,
    hyperv_gets_a_dynamic_vhdx,
    options_that_contradict_a_preset_are_refused,
);

/// Makes `out` for a platform; gives what was said of it.
fn make(bench: &Bench, words: &[&str]) -> String {
    disk::usual(&bench.path("disk.raw"));
    let all = ["convert", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "out"]);
    let outcome = bench.instar(all);
    assert_eq!(outcome.code(), Some(0), "{outcome:?}");
    outcome.errors()
}

/// That `out` shows `disk.raw`, and zeros up to its end.
fn shows_the_disk(bench: &Bench, format: &str) {
    let same = bench.qemu(["compare", "-f", format, "-F", "raw", "out", "disk.raw"]);
    assert_eq!(same.code(), Some(0), "{same:?}");
}

fn azure_gets_a_fixed_vhd_of_whole_mebibytes(bench: &Bench) {
    let said = make(bench, &["--for", "azure"]);
    let size = disk::USUAL_BYTES.next_multiple_of(MIB);
    let note = format!(
        "the disk has {} bytes; zeros at its end make it {size}, as the target has to be",
        disk::USUAL_BYTES
    );
    assert!(said.contains(&note), "{said}");
    let file = fs::read(bench.path("out")).unwrap();
    assert_eq!(file.len() as u64, size + 512);
    // The footer: cookie, current size at 48, type 2 (fixed) at 60; a sum over all of it without its own field.
    let footer = &file[file.len() - 512..];
    assert_eq!(&footer[..8], b"conectix");
    assert_eq!(u64::from_be_bytes(footer[48..56].try_into().unwrap()), size);
    assert_eq!(u32::from_be_bytes(footer[60..64].try_into().unwrap()), 2);
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = footer[64..68].iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(u32::from_be_bytes(footer[64..68].try_into().unwrap()), !(sum - own));
    shows_the_disk(bench, "vpc");
    // A disk that has whole mebibytes already is not mentioned.
    disk::make(&bench.path("disk.raw"), 3 * MIB, &[]);
    let exact = bench.instar(["convert", "--for=azure", "-f", "raw", "disk.raw", "out"]);
    exact.succeeds();
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 3 * MIB + 512);
}

fn gcp_gets_a_raw_disk_of_whole_gibibytes(bench: &Bench) {
    let said = make(bench, &["--for", "gcp"]);
    assert!(said.contains("zeros at its end make it 1073741824"), "{said}");
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 1 << 30);
    shows_the_disk(bench, "raw");
}

fn vmware_and_aws_get_a_stream_for_lsilogic(bench: &Bench) {
    for platform in ["vmware", "aws"] {
        assert_eq!(make(bench, &["--for", platform]), "");
        let info = qemu_info(bench, "out");
        assert_eq!(info["format"], "vmdk");
        assert_eq!(info["format-specific"]["data"]["create-type"], "streamOptimized");
        let file = fs::read(bench.path("out")).unwrap();
        let descriptor = String::from_utf8_lossy(&file[512..2048]).into_owned();
        assert!(descriptor.contains("ddb.adapterType = \"lsilogic\""), "{descriptor}");
        shows_the_disk(bench, "vmdk");
    }
}

fn hyperv_gets_a_dynamic_vhdx(bench: &Bench) {
    assert_eq!(make(bench, &["--for", "hyperv"]), "");
    assert_eq!(qemu_info(bench, "out")["format"], "vhdx");
    checks_clean_as(bench, "vhdx", "out", "hyperv");
    shows_the_disk(bench, "vhdx");
}

fn options_that_contradict_a_preset_are_refused(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (words, why) in [
        (
            &["--for=azure", "-O", "qcow2"][..],
            "--for azure makes an image with -O vpc, and the command line says qcow2",
        ),
        (
            &["--for=azure", "-o", "subformat=dynamic"],
            "--for azure makes an image with -o subformat fixed, and the command line says dynamic",
        ),
        (
            &["--for=vmware", "-o", "adapter_type=ide"],
            "--for vmware makes an image with -o adapter_type lsilogic",
        ),
        (&["--for=azure", "-n"], "--for makes a new image and cannot be used with -n"),
        (&["--for=moon"], "--for expects one of azure, aws, gcp, vmware, hyperv, not 'moon'"),
    ] {
        let all = ["convert", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "out"]);
        bench.instar(all).fails_with(why);
        assert!(!bench.path("out").exists(), "{words:?}");
    }
    // What does not contradict it is joined.
    bench
        .instar([
            "convert",
            "-f",
            "raw",
            "--for=vmware",
            "-O",
            "vmdk",
            "-o",
            "hwversion=13",
            "disk.raw",
            "out",
        ])
        .succeeds();
    let file = fs::read(bench.path("out")).unwrap();
    assert!(String::from_utf8_lossy(&file[512..2048]).contains("ddb.virtualHWVersion = \"13\""));
}
