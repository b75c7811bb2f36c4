//! Damaged images repaired, judged by the installed qemu-img: `check` finds nothing afterwards, and the disk and the snapshot are what they were,
//! also after a power cut or a failure at any moment of the repair.
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

mod damage;
mod repaired;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod undone;
