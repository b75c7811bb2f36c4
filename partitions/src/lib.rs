//! Partition tables: where on a disk each partition is, and whether all programs see the same ones.
//!
//! ```text
//!  sector 0     1        2                  first usable   last usable                  last
//!  ├─────┬──────────┬────────────────┬──────┬───────────────────────┬────────────────┬────────┤
//!  │ MBR │ primary  │ entries of the │      │      partitions       │ entries of the │ backup │
//!  │     │ GPT      │ primary GPT    │      │                       │ backup GPT     │ GPT    │
//!  └─────┴──────────┴────────────────┴──────┴───────────────────────┴────────────────┴────────┘
//! ```
//!
//! Principles:
//!
//! 1. The table that is used is the one that Linux uses: a GPT where the MBR is a protective one, the backup where the primary is damaged.
//! 2. Where programs see different disks, that is a finding, and nothing is read until the user chooses.
//! 3. What a table says is believed only where the disk has it: an entry that leads elsewhere is shown, and not read.
//!
//! Reference: UEFI Specification 2.10, chapter 5.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod chain;
mod gpt;
mod judge;
mod mbr;
mod overlap;
mod raw;

pub use judge::{FIRST_LOGICAL, find, read};
pub use raw::{RawEntry, RawHeader, RawMbr, RawSlot};

use instar_disk::Result;

/// A disk that is read.
pub trait Disk {
    /// Its bytes.
    fn size(&self) -> u64;

    /// Fills `into` with what is there from `offset` on, all of which is inside the disk.
    ///
    /// # Errors
    /// What is wrong with the image.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<()>;
}
