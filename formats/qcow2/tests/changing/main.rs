//! Images changed in place, judged by the installed qemu-img: `check` and the content of the disk and of each snapshot, after the change
//! and after a power cut at any moment of it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure is a test failure, and disks are small"
)]

mod amend;
mod bitmaps;
mod compact;
mod flushes;
mod layers;
mod mutations;
mod power;
mod resize;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
