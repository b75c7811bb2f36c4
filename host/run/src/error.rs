//! Why a run did not take place, or did not end by itself.

use std::ffi::OsString;
use std::io;

use instar_engine::OpenError;
use instar_memory::Violation;
use instar_sandbox::{Choice, GuestFault};

use crate::{Limit, Refusal};

/// Why a run did not take place, or did not end by itself.
#[derive(Debug)]
pub enum Error {
    /// The policy asks for the process sandbox and requires the other one.
    Contradiction,
    /// The policy requires Landlock, and this kernel has none.
    NoLandlock,
    /// A directory of the policy is there and cannot be opened.
    Directory(OpenError),
    /// An image was not opened.
    Image {
        /// What the caller calls it.
        name: OsString,
        /// It is a layer below the one that the caller asked for.
        is_layer: bool,
        /// Why not.
        why: Refusal,
    },
    /// The sandbox cannot be used here.
    NoSandbox {
        /// The one that was asked for.
        choice: Choice,
        /// The policy allows no other.
        required: bool,
        /// Why not.
        error: io::Error,
    },
    /// The job has no encoding: our own mistake.
    JobNotEncoded,
    /// The system gives no random bytes for a new key.
    NoRandomness(io::Error),
    /// The secrets have more bytes than a guest takes.
    SecretsTooLong,
    /// The job does not fit into the guest's memory.
    JobRefused(io::Error),
    /// Our own process could not be confined.
    NotConfined(io::Error),
    /// A signal ended the run. The process is to end by it, which [`crate::die_by`] does.
    Signal(i32),
    /// The guest did what the sandbox does not allow, or could not go on.
    Fault {
        /// What the guest did.
        fault: GuestFault,
        /// A file that was there has been changed.
        changed: bool,
    },
    /// The guest broke the contract between it and the host.
    Violation {
        /// What it sent.
        violation: Violation,
        /// A file that was there has been changed.
        changed: bool,
    },
    /// The guest panicked. Its words are an image's at worst: they are to be printed escaped, if at all.
    Panicked(Vec<u8>),
    /// The time is over.
    TimedOut(Option<Limit>),
    /// The run was ended from outside.
    Cancelled,
    /// The host could not run the guest.
    SandboxFailed(io::Error),
}
