//! LUKS version 1.
//!
//! ```text
//!  0       592          4096                                  payload offset
//!  ┌────────┬────────────┬──────────────┬─────┬──────────────┬───────────────
//!  │ header │            │ material 0   │  …  │ material 7   │ sealed sectors, numbered from 0
//!  └────────┴────────────┴──────────────┴─────┴──────────────┴───────────────
//!    digest of the key,    the key, split into 4000 stripes, encrypted under
//!    eight slots           the key that the slot's passphrase gives
//! ```
//!
//! A detached header is a file without the sectors; its payload offset is 0.
//!
//! Specification: LUKS1 On-Disk Format 1.2.1 (cryptsetup). The order of the checks and their words are qemu-img's.

mod create;
mod header;
mod keys;
mod made;
mod raw;
mod slots;
mod time;
mod unlock;

pub use create::{New, Options};
pub use header::{Header, Slot};
pub(crate) use header::{hash_named, luks_cipher, until_nul};
pub use keys::{Passphrase, Plan};
pub use made::Made;
pub use raw::{HEADER_BYTES, MAGIC, RawHeader, RawSlot, SECTOR, state};
pub use slots::Write;
pub use unlock::{ReadAt, Unlocked};
