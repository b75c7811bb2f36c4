//! A container image of one layer, from nothing, as an OCI layout in one archive.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::VERSION;
use crate::contents::BILL;
use crate::date::Epoch;
use crate::gzip::gzip;
use crate::tar::Archive;
use crate::tree::Tree;

/// Nobody: an image needs no rights of its own. `--user` gives it those of a caller.
const USER: &str = "65532:65532";

/// The archive.
///
/// # Errors
/// If a name is too long.
pub fn pack(tree: &Tree, epoch: Epoch) -> Result<Vec<u8>, String> {
    let mut layer = Archive::new(epoch);
    tree.archive("usr/", &mut layer)?;
    let layer = layer.finish();
    let stored = gzip(&layer)?;
    let config = config(&digest(&layer), epoch).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &stored)],
        "annotations": labels(epoch),
    });
    let manifest = manifest.to_string().into_bytes();
    let mut named = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": VERSION });
    named["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named],
    });
    let mut layout = Archive::new(epoch);
    layout.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    layout.file("index.json", 0o644, index.to_string().as_bytes())?;
    layout.directory("blobs")?;
    layout.directory("blobs/sha256")?;
    for blob in [&manifest, &config, &stored] {
        layout.file(&format!("blobs/sha256/{}", digest(blob)), 0o644, blob)?;
    }
    Ok(layout.finish())
}

fn config(layer: &str, epoch: Epoch) -> Value {
    json!({
        "created": epoch.timestamp(),
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": USER,
            "Env": ["PATH=/usr/lib/instar/bin:/usr/bin"],
            "Entrypoint": ["/usr/bin/instar"],
            "Cmd": ["--help"],
            "WorkingDir": "/",
            "Labels": labels(epoch),
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": epoch.timestamp(), "created_by": "cargo xtask package" }],
    })
}

fn labels(epoch: Epoch) -> Value {
    json!({
        "org.opencontainers.image.title": "instar",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.created": epoch.timestamp(),
        "instar.sbom": format!("/usr/{BILL}"),
    })
}

fn descriptor(kind: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{}", digest(blob)), "size": blob.len() })
}

/// SHA-256, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
