//! The package for Debian, unpacked into a root of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use instar_packages::foreign::{CARGO_DEB, Effort, Manifest};
use instar_packages::root;
use instar_packages::tree::{Item, Tree};
use instar_testkit::ledger;
use tempfile::tempdir;

use crate::support::{EPOCH, installed, packed, quiet, run_in, verbs};

#[test]
fn the_deb_unpacks_into_a_root_in_which_the_program_starts() {
    let Some(dpkg) = installed("dpkg-deb", "no deb is unpacked") else {
        return;
    };
    let Some(tool) = CARGO_DEB.installed(root()) else {
        return ledger::skip(
            "cargo-deb is not in target/tools, where cargo xtask package installs it: no deb is made",
        );
    };
    let directory = tempdir().unwrap();
    let (tree, _) = packed(&directory);
    let manifest = Manifest::write(&directory.path().join("manifest"), &tree, EPOCH).unwrap();
    let deb = directory.path().join("instar.deb");
    manifest.deb(&tool, Effort::Quick, &deb).unwrap();
    let field = |name: &str| {
        quiet(Command::new(&dpkg).arg("--field").arg(&deb).arg(name))
            .trim()
            .to_owned()
    };
    assert_eq!(field("Package"), "instar");
    assert_eq!(field("Architecture"), "amd64");
    assert_eq!(field("Depends"), "");
    assert_eq!(field("Version"), format!("{}-1", instar_packages::VERSION));
    let place = directory.path().join("root");
    quiet(Command::new(&dpkg).arg("--extract").arg(&deb).arg(&place));
    holds(&place, &tree);
    starts(&place);
}

/// Everything is where the tree has it.
fn holds(root: &Path, tree: &Tree) {
    for (place, item) in tree.items() {
        let path = root
            .join("usr")
            .join(place.replace("zsh/site-functions", "zsh/vendor-completions"));
        match item {
            Item::File { bytes, mode } => {
                assert!(fs::read(&path).unwrap() == *bytes, "{place}: other bytes");
                let facts = fs::metadata(&path).unwrap();
                assert_eq!(facts.permissions().mode() & 0o7777, *mode, "{place}");
            }
            Item::Link(target) => {
                assert_eq!(fs::read_link(&path).unwrap(), Path::new(target), "{place}");
                assert!(
                    path.canonicalize()
                        .unwrap()
                        .starts_with(root.canonicalize().unwrap()),
                    "{place}"
                );
            }
        }
    }
    for verb in verbs() {
        let page = root.join(format!("usr/share/man/man1/instar-{verb}.1.gz"));
        assert!(page.is_file(), "{}", page.display());
    }
    let changelog = root.join("usr/share/doc/instar/changelog.Debian.gz");
    let text = quiet(
        Command::new("gzip")
            .args(["--decompress", "--stdout"])
            .arg(changelog),
    );
    assert!(
        text.starts_with("instar (") && text.contains("Tue, 14 Nov 2023 22:13:20 +0000"),
        "{text}"
    );
}

/// Nothing but the package is there: no library, no /proc, no /dev.
fn starts(root: &Path) {
    let Some(version) = run_in(root, &["/usr/bin/instar", "--version"]) else {
        return;
    };
    assert!(version.starts_with("instar "), "{version}");
    let version = run_in(root, &["/usr/lib/instar/bin/qemu-img", "--version"]).unwrap();
    assert!(version.starts_with("qemu-img version "), "{version}");
    let created = run_in(
        root,
        &[
            "/usr/bin/instar",
            "create",
            "-q",
            "-f",
            "qcow2",
            "/disk.qcow2",
            "1G",
        ],
    )
    .unwrap();
    assert_eq!(created, "");
    let info = run_in(root, &["/usr/lib/instar/bin/qemu-img", "info", "/disk.qcow2"]).unwrap();
    assert!(
        info.contains("file format: qcow2\nvirtual size: 1 GiB (1073741824 bytes)"),
        "{info}"
    );
}
