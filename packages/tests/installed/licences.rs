//! Licences and bills of materials: everything that is linked is in them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use instar_packages::tree::Tree;
use instar_packages::{audit, linked, root};
use instar_tests::instar_path;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{packed, quiet};

fn text(tree: &Tree, name: &str) -> String {
    let bytes = tree.bytes(&format!("share/doc/instar/{name}")).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the program itself says: messages of its own mistakes name the source of the crate, `…/NAME-VERSION/src/…`.
#[test]
fn no_crate_is_in_the_program_that_is_not_in_the_list() {
    let listed: BTreeSet<String> = linked::crates(root())
        .unwrap()
        .iter()
        .map(|linked| format!("{}-{}", linked.id.0, linked.id.1))
        .collect();
    let program = fs::read(instar_path()).unwrap();
    let program = String::from_utf8_lossy(&program);
    let mut seen = BTreeSet::new();
    // In strings, and in information for debuggers if there is any, which ends a directory without a slash.
    let of_a_name = |byte: char| byte.is_ascii_alphanumeric() || "-_.+".contains(byte);
    for tail in program.split("/registry/src/").skip(1) {
        let (_, name) = tail.split_once('/').unwrap();
        seen.insert(name.split(|byte| !of_a_name(byte)).next().unwrap().to_owned());
    }
    assert!(seen.len() > 5, "{seen:?}");
    let missing: Vec<&String> = seen.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_licences_of_all_linked_crates_are_in_the_package() {
    let directory = tempdir().unwrap();
    let (tree, crates) = packed(&directory);
    let copyright = text(&tree, "copyright");
    let foreign: Vec<_> = crates.iter().filter(|linked| !linked.ours).collect();
    let rule = "-".repeat(76);
    assert!(foreign.len() > 40);
    // Of both sides of the wall.
    for name in ["landlock", "kvm-ioctls", "zlib-rs", "zstd-sys", "blake3"] {
        assert!(foreign.iter().any(|linked| linked.id.0 == name), "{name}");
    }
    for linked in foreign {
        let (name, version) = &linked.id;
        assert!(
            copyright.contains(&format!("\n{name} {version}: {}\n", linked.licence)),
            "{name}"
        );
        let owners = copyright
            .split(&rule)
            .skip(1)
            .map(|section| section.trim_start().lines().next().unwrap());
        let texts = owners.filter(|owners| {
            owners
                .split(", ")
                .any(|owner| owner == format!("{name} {version}"))
        });
        assert!(texts.count() > 0, "{name}: no text");
    }
    for phrase in [
        "Permission is hereby granted, free of charge",
        "GNU LESSER GENERAL PUBLIC LICENSE",
        "Meta Platforms",
    ] {
        assert!(copyright.contains(phrase), "{phrase}");
    }
    assert!(text(&tree, "rust-standard-library.html").contains("Apache License"));
}

#[test]
fn the_bill_of_materials_has_every_crate_once_and_leads_to_each_of_them() {
    let directory = tempdir().unwrap();
    let (tree, crates) = packed(&directory);
    let bill: Value = serde_json::from_str(&text(&tree, "sbom.cdx.json")).unwrap();
    let top = bill["metadata"]["component"]["bom-ref"]
        .as_str()
        .unwrap()
        .to_owned();
    let components = bill["components"].as_array().unwrap();
    let mut known: BTreeSet<&str> = components
        .iter()
        .map(|part| part["bom-ref"].as_str().unwrap())
        .collect();
    assert_eq!(known.len(), components.len());
    assert!(known.insert(&top));
    assert_eq!(known.len(), crates.len() + 3);
    let dependencies = bill["dependencies"].as_array().unwrap();
    let mut open = vec![top.clone()];
    let mut reached = BTreeSet::new();
    while let Some(name) = open.pop() {
        let entry = dependencies
            .iter()
            .find(|entry| entry["ref"] == name)
            .unwrap_or_else(|| panic!("{name}"));
        for on in entry["dependsOn"].as_array().unwrap() {
            let on = on.as_str().unwrap().to_owned();
            assert!(known.contains(on.as_str()), "{on}");
            if reached.insert(on.clone()) {
                open.push(on);
            }
        }
    }
    assert_eq!(reached.len() + 1, crates.len());
    for part in components.iter().filter(|part| part["purl"].is_string()) {
        assert_eq!(part["hashes"][0]["content"].as_str().unwrap().len(), 64, "{part}");
    }
}

#[test]
fn the_list_of_crates_can_be_read_out_of_the_program() {
    let directory = tempdir().unwrap();
    let (tree, crates) = packed(&directory);
    let program = directory.path().join("packaged");
    fs::write(&program, tree.bytes("bin/instar").unwrap()).unwrap();
    let section = directory.path().join("section");
    quiet(
        Command::new("objcopy")
            .arg("--dump-section")
            .arg(format!("{}={}", audit::SECTION, section.display()))
            .args([&program, &directory.path().join("unused")]),
    );
    let script =
        "import sys, zlib; sys.stdout.write(zlib.decompress(open(sys.argv[1], 'rb').read()).decode())";
    let list = quiet(Command::new("python3").args(["-c", script]).arg(&section));
    let list: Value = serde_json::from_str(&list).unwrap();
    let packages = list["packages"].as_array().unwrap();
    assert_eq!(packages.len(), crates.len());
    let index = |name: &str| {
        packages
            .iter()
            .position(|package| package["name"] == name)
            .unwrap()
    };
    assert_eq!(packages[index("instar")]["root"], true);
    let inner = packages[index("instar-sandbox")]["dependencies"]
        .as_array()
        .unwrap();
    assert!(inner.contains(&index("instar-guest").into()));
    // Without symbols: it is small.
    assert!(fs::metadata(&program).unwrap().len() < fs::metadata(instar_path()).unwrap().len());
}
