//! LUKS version 2, read only.
//!
//! ```text
//!  0             4096         header size    2 × header size                   offset of the segment
//!  ┌─────────────┬────────────┬──────────────┬────────────────────────────────┬───────────────
//!  │ RawHeader   │ JSON, NULs │ both again   │ materials, where the JSON says │ sealed sectors
//!  └─────────────┴────────────┴──────────────┴────────────────────────────────┴───────────────
//! ```
//!
//! Of the two copies the newer valid one counts. The JSON says everything else: key slots, one encrypted segment, digests of its key. What
//! changes the meaning of the sectors and is not known here, integrity above all, is refused by name.
//!
//! Specification: LUKS2 On-Disk Format 1.1.4 (cryptsetup). The reference tool does not read it.

mod base64;
mod header;
mod json;
mod raw;
mod unlock;

pub use header::{Header, Slot};
pub use raw::{MAGIC_SECOND, RawHeader};
