//! `-t` and `-T`: how a file is read and written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::stop::{Step, Stop};

/// A cache mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Through the page cache, flushed at the end.
    Writeback,
    /// Through the page cache, each write flushed.
    Writethrough,
    /// Past the page cache.
    None,
    /// Past the page cache, each write flushed.
    DirectSync,
    /// Through the page cache, never flushed.
    Unsafe,
}

impl CacheMode {
    /// The names of all.
    pub const NAMES: [&str; 5] = ["none", "directsync", "writeback", "writethrough", "unsafe"];

    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &OsStr) -> Option<Self> {
        Some(match name.as_bytes() {
            b"none" | b"off" => Self::None,
            b"directsync" => Self::DirectSync,
            b"writeback" => Self::Writeback,
            b"writethrough" => Self::Writethrough,
            b"unsafe" => Self::Unsafe,
            _ => return None,
        })
    }

    /// `-t` where an image is only looked at, or its default.
    ///
    /// # Errors
    /// The message.
    pub fn of_image(name: Option<&OsStr>) -> Step<Self> {
        Self::of(name, b"Invalid cache option: ")
    }

    /// `-T`, or its default.
    ///
    /// # Errors
    /// The message.
    pub fn of_source(name: Option<&OsStr>) -> Step<Self> {
        Self::of(name, b"Invalid source cache option: ")
    }

    fn of(name: Option<&OsStr>, refusal: &[u8]) -> Step<Self> {
        let Some(name) = name else {
            return Ok(Self::Writeback);
        };
        Self::parse(name).ok_or_else(|| Stop::Message([refusal, name.as_bytes()].concat()))
    }

    /// Whether the page cache is bypassed.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::DirectSync)
    }
}
