//! Virtual machines packed by OVF (OVA): a tar archive of a descriptor, a manifest, and disks.
//!
//! ```text
//!  tar   │ header │ vm.ovf │ header │ vm.mf │ header │ disk.vmdk            │ zeros │
//!        └────────┴────────┴────────┴───────┴────────┴──────────────────────┴───────┘
//!                   │                 │                 ▲
//!   DiskSection/Disk│fileRef          │SHA256(disk.vmdk)= …
//!   References/File │id, href ────────┴─────────────────┘ looked up among the members, never as a path
//! ```
//!
//! Principles:
//!
//! 1. This crate says where disks are, and no more: a disk is a part of the file, and the driver of its own format reads it there.
//! 2. What two readers would understand differently is refused: names that occur twice, sparse members, entities, a DOCTYPE.
//! 3. Members, names, the descriptor and the manifest are bounded before anything is kept of them.
//!
//! References: POSIX.1-2017 `pax`, for ustar and pax; the manual of GNU tar for its long names and large sizes; DMTF DSP0243 for
//! OVF. See `docs/formats/ova.md`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod choose;
mod header;
mod manifest;
mod members;
mod ovf;
mod package;
mod pax;
mod probe;
pub mod raw;
mod spaces;
mod xml;

pub use manifest::Expected;
pub use members::Member;
pub use package::{Disk, Package};
pub use probe::{is_package, probe};
