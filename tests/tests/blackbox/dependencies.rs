//! What is linked into the process that holds file descriptors, as cargo resolves it.

use std::process::Command;

use instar_tests::Outcome;

fn tree(package: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            package,
        ]);
    let outcome = Outcome::of(&mut command);
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    outcome.text()
}

#[test]
fn host_crates_link_no_format_code() {
    for package in [
        "instar",
        "instar-engine",
        "instar-sandbox",
        "instar-jail",
        "instar-memory",
    ] {
        let linked = tree(package);
        assert!(
            linked.contains("instar-abi"),
            "{package} does not even link abi: {linked}"
        );
        for name in [
            "instar-disk",
            "instar-codecs",
            "instar-raw",
            "instar-qcow2",
            "instar-vmdk",
            "instar-vhd",
            "instar-vhdx",
            "instar-vdi",
            "instar-ops",
            "instar-guest",
            "instar-native",
            "zlib-rs",
            "zstd-safe",
            "ruzstd",
        ] {
            assert!(
                !linked.contains(&format!("{name} v")),
                "{package} links {name}:\n{linked}"
            );
        }
    }
}

#[test]
fn the_sandboxed_side_links_few_crates_and_no_system() {
    let linked = tree("instar-guest");
    for name in ["libc", "rustix", "nix", "tempfile", "instar-native"] {
        assert!(
            !linked.contains(&format!("{name} v")),
            "the guest links {name}:\n{linked}"
        );
    }
    let mut foreign: Vec<&str> = linked
        .lines()
        .filter(|line| !line.starts_with("instar-") && !line.is_empty())
        .collect();
    foreign.sort_unstable();
    foreign.dedup_by_key(|line| line.split(' ').next());
    println!("{} foreign crates: {foreign:?}", foreign.len());
}
