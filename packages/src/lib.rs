//! What people install: the program with its pages, completions, licences and bill of materials, as an archive and as packages.
//!
//! ```text
//!  cargo build --release ─► program ─┐
//!  tables of options ─► papers ──────┤                 ┌─► archive   instar-VERSION-x86_64-linux.tar.gz
//!  cargo tree ─► linked ─► copyright ┼─► contents: Tree┼─► foreign   deb (cargo-deb), rpm (cargo-generate-rpm)
//!                       └► sbom ─────┤                 └─► oci       an image of one layer, without a daemon
//!  files/ ───────────────────────────┘                      └─► SHA256SUMS
//! ```
//!
//! Principles:
//!
//! 1. One tree. Every package is made from the same [`tree::Tree`], so that none lacks what another has.
//! 2. Equal sources give equal bytes: no clock, no user and no directory gets into a package. The one time is that of `SOURCE_DATE_EPOCH`.
//! 3. What is linked is asked of cargo, the sandboxed program included; no list of it is kept by hand.
#![forbid(unsafe_code)]

pub mod archive;
pub mod audit;
pub mod contents;
pub mod copyright;
pub mod date;
pub mod files;
pub mod foreign;
pub mod gzip;
pub mod linked;
pub mod oci;
pub mod papers;
pub mod program;
pub mod release;
pub mod sbom;
pub mod tar;
pub mod tree;

use std::path::Path;

/// The workspace in which this was built.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The version of everything.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
