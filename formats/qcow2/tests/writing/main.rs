//! What the writing half makes is judged by the installed qemu-img: `check` must be silent, `info` and the first cluster
//! must be those of the same image made by `qemu-img create`, and `convert` must give back the bytes that were written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure, and disks are small"
)]

mod combinations;
mod copier;
mod existing;
mod failing;
mod large;
mod made;
mod marks;
mod reference;
