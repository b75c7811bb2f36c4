//! The sandboxed binary: the only place where bytes of an image are parsed.
//!
//! ```text
//!  _start(lane) ─┬─ lane 0: Job ──► instar_ops::run ──► Host ──► mailbox ──► doorbell
//!                └─ lane n: sleeps until lane 0 has parallel work
//!
//!  bare/entry.rs     first instructions, and the lanes' loops
//!  bare/doorbell.rs  the two ways to wake the host, sleeping and waking
//!  bare/client.rs    instar_disk::Host over the mailbox
//!  bare/crew.rs      the lanes of this run
//!  crew.rs, bell.rs  one closure on all lanes; whose a mailbox is: the protocols, which models.rs tries in every interleaving
//!  bare/heap.rs      the allocator; bare/c.rs, its face for C
//!  bare/last.rs      panics, and memory that is used up
//!  bytes.rs          memcpy and its family
//! ```
//!
//! Principles:
//!
//! 1. One binary for both backends: a static ELF at a fixed address, without an operating system. Only the doorbell
//!    differs, and the host says which in [`instar_abi::layout::BootInfo`].
//! 2. The host is trusted here, images are not: this code runs behind the wall, and everything it links may be
//!    wrong.
//! 3. Built by the build script of `instar-sandbox` with `--cfg guest_bare`. Built otherwise, as in a workspace
//!    check, it is an empty program; `cargo xtask` lints the bare code with a call of its own.
#![cfg_attr(guest_bare, no_std, no_main)]

#[cfg(guest_bare)]
extern crate alloc;

#[cfg(any(guest_bare, test))]
mod atomic;
#[cfg(guest_bare)]
mod bare;
#[cfg(any(guest_bare, test))]
mod bell;
#[cfg(any(guest_bare, test))]
mod bytes;
#[cfg(any(guest_bare, test))]
mod crew;
#[cfg(any(guest_bare, test))]
mod host;
#[cfg(test)]
mod models;
#[cfg(test)]
#[path = "../../disk/src/turnstile.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the whole file is there, of which models use a part"
)]
mod turnstile;

#[cfg(not(guest_bare))]
fn main() {}
