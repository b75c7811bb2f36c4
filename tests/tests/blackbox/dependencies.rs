//! The crates that are linked into the process with the file descriptors, as cargo resolves them.

use std::process::Command;

use instar_tests::Outcome;

/// What is linked into a package, a crate a line.
fn tree(package: &str) -> String {
    shown(package, "{p}")
}

fn shown(package: &str, format: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args([
        "tree",
        "--offline",
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        format,
        "--package",
        package,
    ]);
    let outcome = Outcome::of(&mut command);
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    outcome.text()
}

#[test]
fn host_crates_link_no_format_code() {
    for package in ["instar", "instar-run", "instar-engine", "instar-sandbox", "instar-jail", "instar-memory"]
    {
        let linked = tree(package);
        assert!(linked.contains("instar-abi"), "{package} does not even link abi: {linked}");
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
            "instar-testkit",
            "zlib-rs",
            "zstd-safe",
            "ruzstd",
        ] {
            assert!(!linked.contains(&format!("{name} v")), "{package} links {name}:\n{linked}");
        }
    }
}

#[test]
fn the_sandboxed_side_links_few_crates_and_no_system() {
    let linked = tree("instar-guest");
    for name in ["libc", "rustix", "nix", "tempfile", "instar-testkit"] {
        assert!(!linked.contains(&format!("{name} v")), "the guest links {name}:\n{linked}");
    }
    let mut foreign: Vec<&str> =
        linked.lines().filter(|line| !line.starts_with("instar-") && !line.is_empty()).collect();
    foreign.sort_unstable();
    foreign.dedup_by_key(|line| line.split(' ').next());
    println!("{} foreign crates: {foreign:?}", foreign.len());
}

/// Licences that ask for nothing but to be named.
const LICENCES: &[&str] =
    &["MIT", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "Unlicense", "CC0-1.0", "0BSD", "Apache-2.0"];

#[test]
fn every_linked_crate_has_a_permissive_licence() {
    for package in ["instar", "instar-guest"] {
        let lines = shown(package, "{p}|{l}");
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let (name, licence) = line.trim_end_matches(" (*)").rsplit_once('|').unwrap();
            // One alternative is enough; all that is joined by AND must be permissive.
            let permissive = licence.replace('/', " OR ").split(" OR ").any(|choice| {
                let mut parts = choice.split(" AND ");
                parts.all(|part| LICENCES.contains(&part.trim_matches(['(', ')', ' '])))
            });
            assert!(permissive, "{name}: {licence}");
        }
    }
}

#[test]
fn no_crate_is_linked_in_two_versions() {
    for package in ["instar", "instar-guest"] {
        let linked = tree(package);
        let mut crates: Vec<(&str, &str)> =
            linked.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once(' ')).collect();
        crates.sort_unstable();
        crates.dedup();
        // The crates for KVM still use the first bitflags.
        crates.retain(|(name, version)| (*name, version.starts_with("v1.")) != ("bitflags", true));
        for pair in crates.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "{package} links {pair:?}");
        }
    }
}
