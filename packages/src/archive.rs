//! The archive for machines without a package manager.

use crate::VERSION;
use crate::date::Epoch;
use crate::gzip::gzip;
use crate::tar::Archive;
use crate::tree::Tree;

/// The name of the directory in it, and of its file without the ending.
#[must_use]
pub fn name() -> String {
    format!("instar-{VERSION}-x86_64-linux")
}

/// Everything below one directory.
///
/// # Errors
/// If a name is too long.
pub fn pack(tree: &Tree, epoch: Epoch) -> Result<Vec<u8>, String> {
    let mut archive = Archive::new(epoch);
    tree.archive(&format!("{}/", name()), &mut archive)?;
    gzip(&archive.finish())
}
