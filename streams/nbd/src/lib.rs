//! The client's side of the NBD protocol: a connection to one export, and its bytes.
//!
//! ```text
//!  server                                              client
//!  NBDMAGIC, IHAVEOPT, flags ────────────────────────►
//!                            ◄──── structured replies? base:allocation? go, with the export's name
//!  answers: its size, what it can do, its blocks ────►          handshake ─► Export
//!                            ◄──── requests, each with a cookie, several before the first reply
//!  replies in any order, whole or in chunks ─────────►          Connection: read, extents, write, zero, …
//! ```
//!
//! All fields are big-endian.
//!
//! Principles:
//!
//! 1. Nothing here knows what carries the bytes: a [`Wire`] sends and receives them.
//! 2. A server is a stranger. Each length that it gives is judged before anything is allocated or received for it, and a reply counts
//!    only as the answer to a request that was made.
//! 3. After the first breach of the protocol nothing more is sent or believed: what comes next cannot be told from what should come.
//!
//! Reference: the NBD protocol, `doc/proto.md` of the NBD project.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )
)]

extern crate alloc;

mod connection;
mod covered;
mod export;
mod extents;
mod handshake;
pub mod raw;
mod reads;
mod replies;
#[cfg(test)]
mod tests;
mod wire;

pub use connection::Connection;
pub use export::Export;
pub use reads::Read;
pub use wire::Wire;
