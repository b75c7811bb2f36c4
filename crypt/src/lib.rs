//! The cryptography of sealed disks: sector ciphers, key derivation, and the headers of LUKS.
//!
//! ```text
//!  passphrase ─► PBKDF2 or Argon2 ─► key of a slot ─► opens the slot's material ─► merge of its stripes ─► key of the disk ─► Cipher
//!                (derive)            (Secret)                                      (stripes)
//! ```
//!
//! Principles:
//!
//! 1. Primitives come from RustCrypto, which takes the processor's instructions for AES and SHA where it has them and is constant-time
//!    where it has not. What is here joins them: modes over runs of sectors, key slots, checks.
//! 2. A header is hostile. What a key slot costs is compared with [`Limits`] before it is spent, and the work that remains asks
//!    [`Effort::go_on`] every few milliseconds.
//! 3. Keys, passphrases and what comes between them are [`Secret`], which is wiped when it is dropped. Comparisons of digests take the same
//!    time whatever is in them.
//! 4. Nothing here reads or writes a file: callers hand in what is stored, and get what is to be stored.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod blocks;
mod cipher;
mod derive;
mod effort;
mod hash;
mod iv;
pub mod luks1;
pub mod luks2;
mod modes;
mod pbkdf2;
mod random;
mod secret;
mod sectors;
mod stripes;
mod twofish;
mod xts;

pub use cipher::Cipher;
pub use derive::Derivation;
pub use effort::{Effort, Limits};
pub use hash::{Hasher, digest};
pub use pbkdf2::pbkdf2;
pub use random::Random;
pub use secret::Secret;
pub use sectors::legacy_key;
pub use stripes::{STRIPES, merge, split};
