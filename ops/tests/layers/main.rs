//! `rebase` and `commit`, natively: the disk stays what it was, judged by the installed qemu-img, at the end and after a power cut at any
//! moment.
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

mod bench;
mod commit;
mod power;
mod rebase;
mod sealed;
