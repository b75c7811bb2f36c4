//! The engine as the sandbox drives it: through mailboxes in guest memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

mod cache;
mod compares;
mod copies;
mod devices;
mod gate;
mod guest;
mod locks;
mod provenance;
mod requests;
mod residence;
mod serving;
mod stopping;
mod targets;
