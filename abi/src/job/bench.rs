//! What `bench` is to do.

use serde::{Deserialize, Serialize};

use super::Source;

/// `bench`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bench {
    /// The image that is read, or written to: then its file is open for writing.
    pub image: Source,
    /// Requests in all.
    pub count: u64,
    /// Requests under way at once, at most.
    pub depth: u64,
    /// Bytes of a request.
    pub size: u64,
    /// Bytes from the start of a request to that of the next, which goes on at the disk's start when it comes to its end.
    pub step: u64,
    /// The start of a request is taken modulo the disk without its last `size` bytes, so that none passes the end; otherwise modulo the disk.
    pub keeps_inside: bool,
    /// Where the first one starts, which may be anywhere.
    pub offset: u64,
    /// What is written; none: requests read.
    pub writes: Option<BenchWrites>,
}

/// What `bench -w` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchWrites {
    /// Every byte.
    pub pattern: u8,
    /// Requests between two flushes; 0: no flush before the end.
    pub flush_interval: u64,
    /// A flush waits until all requests before it are done, and those behind it wait for it.
    pub drain: bool,
}
