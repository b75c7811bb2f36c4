//! Reads, converts and checks disk images, hostile ones too, in the sandbox of the program `instar`.
//!
//! ```text
//!  your process ─ Instar ─ order and open files ─► instar worker ─► sandbox: parses the image
//!                  ▲                                    │
//!                  └──────── answers, progress ─────────┘
//! ```
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/x86_64-unknown-linux-gnu/debug/instar");
//! # assert!(std::path::Path::new(PROGRAM).exists(), "build the program first: cargo build -p instar");
//! # let room = tempfile::tempdir()?;
//! # std::env::set_current_dir(&room)?;
//! # std::fs::write("disk.img", [7; 65536])?;
//! use std::ops::ControlFlow;
//! use instar_client::{Image, Instar, NewImage, Target};
//!
//! let instar = Instar::at(PROGRAM);
//! let disk = Image::open("disk.img")?;
//! println!("{} bytes", instar.info(&disk)?.virtual_size);
//! let target = Target::create("disk.qcow2", NewImage::qcow2())?;
//! instar.convert(&disk, target, |step| {
//!     println!("{} of {}", step.done, step.total);
//!     ControlFlow::Continue(())
//! })?;
//! # assert_eq!(std::fs::read("disk.qcow2")?[..4], *b"QFI\xfb");
//! # Ok(())
//! # }
//! ```
//!
//! Principles:
//!
//! 1. There is no way to parse an image in the caller's process, nor without a sandbox. Each call starts a worker, which is confined for
//!    good and ends with the call.
//! 2. A worker opens nothing by name. The caller opens files, by whatever rights and rules are his; what an image names and nobody handed
//!    over is refused, as [`Kind::Refused`]. A layer below an image is handed over with [`Image::above`].
//! 3. What goes wrong has a [`Kind`] to decide by, and words for people.
//! 4. A [`Target`] with a name appears under it when it is complete, or not at all.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod error;
mod image;
mod new;
mod policy;
mod target;
mod verbs;
mod wire;

pub use answer::{
    Algorithm, Backing, Check, Checksum, Comparison, Extent, Info, Measurement, Progress, Qcow2, Snapshot,
};
pub use error::{Error, Kind};
pub use image::{Format, Image};
pub use new::{Compression, NewImage, Preallocation, Qcow2Options};
pub use policy::{Policy, Sandbox};
pub use target::Target;
pub use verbs::{Conversion, Instar};
