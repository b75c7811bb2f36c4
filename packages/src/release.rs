//! All packages of one release.

use std::path::{Path, PathBuf};

use crate::VERSION;
use crate::date::Epoch;
use crate::files::{make_anew, read, write};
use crate::foreign::{CARGO_DEB, CARGO_GENERATE_RPM, Effort, Manifest};
use crate::{archive, contents, linked, oci, program};

/// Makes all of them of the workspace at `root`, in `target/package/out` below it. The programs that make packages are those of the
/// workspace at `tools`.
///
/// # Errors
/// What failed.
pub fn make(root: &Path, tools: &Path, epoch: Epoch) -> Result<PathBuf, String> {
    let (deb, rpm) = self::tools(tools)?;
    let built = program::build(root, epoch)?;
    let place = root.join("target/package");
    let crates = linked::crates(root)?;
    let program = program::finished(&built, &crates, &place.join("scratch"))?;
    let tree = contents::tree(root, program, &crates, epoch)?;
    let out = place.join("out");
    make_anew(&out)?;
    write(
        &out.join(format!("{}.tar.gz", archive::name())),
        &archive::pack(&tree, epoch)?,
    )?;
    let of_image = tree.only(|place| {
        ["bin/", "lib/instar/bin/", "share/doc/"]
            .iter()
            .any(|start| place.starts_with(start))
    });
    write(
        &out.join(format!("instar-{VERSION}-oci.tar")),
        &oci::pack(&of_image, epoch)?,
    )?;
    write(
        &out.join(format!("instar-{VERSION}.cdx.json")),
        tree.bytes(contents::BILL).unwrap_or_default(),
    )?;
    let manifest = Manifest::write(&place.join("manifest"), &tree, epoch)?;
    let canonical = out
        .canonicalize()
        .map_err(|error| format!("{}: {error}", out.display()))?;
    manifest.deb(
        &deb,
        Effort::Small,
        &canonical.join(format!("instar_{VERSION}-1_amd64.deb")),
    )?;
    manifest.rpm(&rpm, &canonical.join(format!("instar-{VERSION}-1.x86_64.rpm")))?;
    write(&out.join("SHA256SUMS"), sums(&out)?.as_bytes())?;
    Ok(out)
}

/// The two programs that make packages, installed into the workspace at `root` if they are missing: for deb, and for RPM.
///
/// # Errors
/// If one cannot be installed.
pub fn tools(root: &Path) -> Result<(PathBuf, PathBuf), String> {
    Ok((CARGO_DEB.install(root)?, CARGO_GENERATE_RPM.install(root)?))
}

/// Lines for `sha256sum --check`.
fn sums(directory: &Path) -> Result<String, String> {
    let mut lines = String::new();
    for name in names(directory)? {
        lines.push_str(&format!(
            "{}  {name}\n",
            oci::digest(&read(&directory.join(&name))?)
        ));
    }
    Ok(lines)
}

/// The files of a directory, sorted.
///
/// # Errors
/// If it cannot be read.
pub fn names(directory: &Path) -> Result<Vec<String>, String> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}
