//! The command line: what people type becomes a job, what the guest reports becomes words.
//!
//! ```text
//!  words ─► flags ─► a verb's args ─► its run: open files, Job ─► sandbox ─► reports ─► its show, words ─► console
//!             │             ▲                     ▲
//!         help pages   value, create          settings (configuration, environment, policy options)
//! ```
//!
//! What one verb is stands in one folder, `verbs/VERB`: its page, its arguments, how it is carried out, its words. `flags`, `run` and
//! `show` are what all verbs stand on.
//!
//! Principles:
//!
//! 1. Options are data. The parser and the help pages come from the same tables, so they cannot disagree.
//! 2. Host words only: what comes out of an image is printed through one escaping printer; JSON is valid whatever the
//!    bytes.
//! 3. The reference tool decides: messages, order of checks, spacing and exit codes are those of the release of qemu-img that
//!    the caller was written for. What releases do not have in common is one table, [`release`].
//! 4. Exit codes and closed pipes are decided in one place, [`main`].
#![forbid(unsafe_code)]

pub mod completion;
pub mod console;
pub mod create;
mod entry;
mod failure;
pub mod flags;
pub mod json;
pub mod manual;
pub mod program;
pub mod release;
mod run;
pub mod settings;
pub mod show;
pub mod stop;
pub mod value;
mod verbs;
pub mod words;

pub use entry::{judge, main};
