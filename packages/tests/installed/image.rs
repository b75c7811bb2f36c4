//! The container image, unpacked by tar.

use std::fs;
use std::path::Path;
use std::process::Command;

use instar_packages::oci;
use instar_packages::tree::Tree;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{EPOCH, installed, packed, quiet, run_in};

#[test]
fn the_image_is_one_layer_that_needs_nothing_else() {
    let directory = tempdir().unwrap();
    let (tree, _) = packed(&directory);
    let archive = directory.path().join("image.tar");
    fs::write(&archive, oci::pack(&tree, EPOCH).unwrap()).unwrap();
    let layout = directory.path().join("layout");
    fs::create_dir(&layout).unwrap();
    quiet(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&layout),
    );
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    assert_eq!(json(&layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(&layout.join("index.json"));
    let manifest = json(&blob(&layout, &index["manifests"][0]));
    let config = json(&blob(&layout, &manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    let layer = blob(&layout, &layers[0]);
    let plain = Command::new("gzip")
        .args(["-dc"])
        .arg(&layer)
        .output()
        .unwrap()
        .stdout;
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", oci::digest(&plain))
    );
    assert_ne!(config["config"]["User"], "root");
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    quiet(
        Command::new("tar")
            .arg("-xzf")
            .arg(&layer)
            .arg("-C")
            .arg(&root)
            .arg("--no-same-owner"),
    );
    let entry = config["config"]["Entrypoint"][0].as_str().unwrap();
    assert!(root.join(entry.trim_start_matches('/')).is_file());
    let bill = config["config"]["Labels"]["instar.sbom"].as_str().unwrap();
    assert!(root.join(bill.trim_start_matches('/')).is_file());
    if let Some(version) = run_in(&root, &[entry, "--version"]) {
        assert!(version.starts_with("instar "), "{version}");
    }
}

/// A second reader, which knows what container engines accept.
#[test]
fn skopeo_reads_the_image() {
    let Some(skopeo) = installed("skopeo", "no second program reads the container image") else {
        return;
    };
    let directory = tempdir().unwrap();
    let mut tree = Tree::default();
    tree.program("bin/instar", b"program".to_vec());
    tree.link("lib/instar/bin/qemu-img", "../../../bin/instar");
    let archive = directory.path().join("image.tar");
    fs::write(&archive, oci::pack(&tree, EPOCH).unwrap()).unwrap();
    let text = quiet(
        Command::new(skopeo)
            .arg("inspect")
            .arg(format!("oci-archive:{}", archive.display())),
    );
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["Architecture"], "amd64");
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(seen["Labels"]["org.opencontainers.image.title"], "instar");
}

/// The file of a descriptor, whose digest and size are right.
fn blob(layout: &Path, descriptor: &Value) -> std::path::PathBuf {
    let digest = descriptor["digest"]
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap();
    let path = layout.join("blobs/sha256").join(digest);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(oci::digest(&bytes), digest);
    assert_eq!(descriptor["size"], bytes.len());
    path
}
