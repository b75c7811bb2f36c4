//! The package for Fedora and its kin, read by rpm.

use std::process::Command;

use instar_packages::foreign::{CARGO_GENERATE_RPM, Manifest};
use instar_packages::root;
use instar_packages::tree::Item;
use instar_testkit::ledger;
use tempfile::tempdir;

use crate::support::{EPOCH, installed, packed, quiet};

#[test]
fn rpm_finds_every_file_in_the_package_and_needs_no_library() {
    let Some(rpm) = installed("rpm", "no RPM package is read") else {
        return;
    };
    let Some(tool) = CARGO_GENERATE_RPM.installed(root()) else {
        return ledger::skip(
            "cargo-generate-rpm is not in target/tools, where cargo xtask package installs it: no RPM package is made",
        );
    };
    let directory = tempdir().unwrap();
    let (mut tree, _) = packed(&directory);
    // It is not started here, and its compression takes long.
    tree.program("bin/instar", b"program".to_vec());
    let manifest = Manifest::write(&directory.path().join("manifest"), &tree, EPOCH).unwrap();
    let package = directory.path().join("instar.rpm");
    manifest.rpm(&tool, &package).unwrap();
    let query = |what: &str| {
        let database = format!("--dbpath={}", directory.path().display());
        quiet(
            Command::new(&rpm)
                .arg(database)
                .args(["-qp", "--nosignature", what])
                .arg(&package),
        )
    };
    let files = query("--list");
    let scripts = query("--scripts");
    for (place, item) in tree.items() {
        match item {
            Item::File { .. } => assert!(
                files.lines().any(|line| line == format!("/usr/{place}")),
                "{place}"
            ),
            Item::Link(target) => {
                assert!(
                    scripts.contains(&format!("ln -sfn {target} /usr/{place}\n")),
                    "{scripts}"
                );
                assert!(scripts.contains(&format!("rm -f /usr/{place}\n")), "{scripts}");
            }
        }
    }
    for line in query("--requires").lines() {
        assert!(line.starts_with("rpmlib(") || line == "/bin/sh", "{line}");
    }
}
