//! Serves the guest's requests on open files, and never learns what the bytes mean.
//!
//! ```text
//!   user ──► Files::source, in_place, target          image ──► Request::Open ──► gate (by policy)
//!                      │                                                            │
//!                      ▼                                                            ▼
//!   lane's mailbox ─► serve: copy once, judge all ─► slots ─► file: read, write ─── zero, extents, resize
//!                      │                                        └── copy: share, copy in kernel, read and write
//!                      ▼
//!   results, Next                                     Files::commit ──► target: stands under its name, complete
//! ```
//!
//! Principles:
//!
//! 1. A request is copied out of guest memory once; what is judged is the copy, what is carried out is what was judged.
//! 2. The guest names slots. The one string that opens a file goes through the gate, by policy, beneath a directory.
//! 3. Every call that can be short, interrupted or refused is; each has its answer here, and the guest sees an errno.
//! 4. A new target stands under its name complete or not at all.
//!
//! 5. The page cache is asked for what a batch will read, and where memory is short it is not left full of what was written.
//!
//! Lanes are served concurrently. Between them they share only the slot table, the files and the stop sign.

mod ahead;
mod base;
mod behind;
mod birth;
mod buffer;
mod carry_out;
mod compare;
mod copy;
mod directories;
mod elevated;
mod extents;
mod file;
mod files;
mod gate;
mod gather;
mod hidden;
mod key;
mod lock;
mod name;
mod open;
mod pending;
mod provenance;
mod rate;
mod record;
mod resize;
mod room;
mod root;
mod scan;
mod serve;
mod sift;
mod slots;
mod spool;
mod stop;
mod storage;
mod stream;
mod sys;
mod target;
mod walk;
mod wishes;
mod zero;

pub use base::BaseError;
pub use elevated::{is_elevated, is_root};
pub(crate) use file::{Failure, OpenFile};
pub use files::{CommitError, FileStatus, Files, Options};
pub use gate::{Policy, Rule};
pub use key::KeyPlace;
pub use lock::LockConflict;
pub use open::{OpenError, OpenErrorKind, said, words};
pub use provenance::Verdict;
pub use serve::{Engine, ReportLimits, Sink};
pub use target::{Cache, TargetOptions};
pub use wishes::Wishes;
