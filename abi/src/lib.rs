//! What the host and the sandboxed guest agree on: jobs, requests, reports, limits.
//!
//! ```text
//!  host                                                   guest
//!  ────                                                   ─────
//!  Job ─────────── postcard bytes in the job area ──────► reads once, at start
//!  engine ◄─────── Mailbox: up to 256 RawRequests ─────── rings the doorbell
//!         ───────► Mailbox: one RawResult each  ────────► goes on
//!  cli    ◄─────── Report: postcard bytes ─────────────── facts, never words
//! ```
//!
//! Principles:
//!
//! 1. Values only. No pointer of the host's, no path, no sentence crosses; a place in guest memory
//!    is a guest address, a file is a [`Slot`], a failure is a [`Fault`] that the host words.
//! 2. What the guest sends is hostile. [`Request::parse`] is total: any 64 bytes give a request that is
//!    in bounds, or a refusal.
//! 3. Both sides are built from one commit, so there is no version negotiation; the layout is pinned by
//!    compile-time assertions and tests.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod cipher;
mod codec;
pub mod errno;
pub mod fault;
mod file;
pub mod job;
pub mod layout;
pub mod limits;
pub mod mailbox;
pub mod partitions;
pub mod report;
pub mod request;
pub mod safety;
mod secret;
mod sparse;
mod text;
pub mod vmdk;
pub mod worker;

pub use cipher::{CipherAlgorithm, CipherMode, CipherSpec, HashName, IvGenerator};
pub use codec::{DecodeError, decode, encode, encode_into};
pub use fault::{Fault, FaultCode};
pub use file::{FileFacts, FileKind, Format, Role, Slot};
pub use job::Job;
pub use mailbox::{MailboxHeader, RawRequest, RawResult};
pub use report::Report;
pub use request::{BadRequest, CompareRange, CopyRange, Request};
pub use secret::{NamedSecret, Secret};
pub use sparse::{Sieve, Sparse};
pub use text::ImageText;
