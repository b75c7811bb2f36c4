//! The jail, from inside: each test is a child process that locks itself up and tries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a failure is a test failure"
)]

mod calls;
mod child;
mod names;
mod process;
mod threads;
