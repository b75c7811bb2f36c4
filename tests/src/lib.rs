//! What the black-box tests share: instar and qemu-img as programs, disks with known content, images in every variant.
//!
//! ```text
//!  Bench   a temporary directory, and both programs run in it
//!    ├─ reference  releases of qemu-img that can be started here
//!    ├─ formats  what is written
//!    ├─ disk     raw disks whose every byte tells where it belongs
//!    ├─ variant  images that qemu-img made of such a disk, one for each feature
//!    ├─ craft    images that qemu-img would never make, edited byte by byte
//!    ├─ seal     the same for foreign formats, checksums made right
//!    ├─ server   disks behind servers that speak NBD
//!    ├─ xfs      a filesystem that shares extents
//!    ├─ missing  kernels and filesystems that lack something
//!    └─ compare  byte for byte, JSON for JSON
//! ```
//!
//! Principles:
//!
//! 1. qemu-img is the reference: what instar reads was written by qemu-img, what instar writes is read by qemu-img.
//! 2. Every case runs in both sandboxes; [`both_sandboxes!`] makes two tests of one function.
//! 3. Nothing passes in silence: a test that cannot run says so in the ledger, which `cargo xtask ci` reads.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test support: a failure here is a test failure"
)]

mod bench;
mod binary;
pub mod compare;
pub mod craft;
pub mod device;
pub mod disk;
pub mod formats;
pub mod holder;
pub mod ledger;
pub mod missing;
mod pair;
pub mod reference;
pub mod seal;
pub mod sealed;
pub mod server;
pub mod variant;
pub mod wait;
pub mod xfs;

pub use bench::{Bench, Sandbox};
pub use binary::path as instar_path;
pub use instar_testkit::{Dice, Outcome, Running};
pub use pair::Pair;
pub use reference::Reference;

/// Makes two tests of each function that takes a [`Bench`], one a sandbox: `NAME::kvm` and `NAME::process`.
#[macro_export]
macro_rules! both_sandboxes {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[test]
            fn kvm() {
                $crate::Bench::with($crate::Sandbox::Kvm, module_path!(), super::$name);
            }

            #[test]
            fn process() {
                $crate::Bench::with($crate::Sandbox::Process, module_path!(), super::$name);
            }
        }
    )+ };
}
