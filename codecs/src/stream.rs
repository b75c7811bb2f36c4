//! Streams around a disk image: what `gzip`, `xz` and `zstd` write, decoded from the front to the back in pieces of any size.
//!
//! ```text
//!  .gz   member │ member │ …  │ zeros          RFC 1952
//!  .xz   stream │ zeros │ stream │ …           The .xz File Format 1.2
//!  .zst  frame │ skippable frame │ frame │ …   RFC 8878
//! ```
//!
//! Checksums are verified, and the end of the input must be the end of a stream. A stream says itself how far it looks back; the
//! memory for that is claimed as it is needed, and a claim that fails is [`Trouble::Window`].

use alloc::boxed::Box;

use lzma_rust2::{Action, Status, XzStream};
use zlib_rs::{Inflate, InflateFlush};
use zstd_safe::zstd_sys::ZSTD_ErrorCode as ZstdError;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, is_error_kind};

/// Deflate's window, and that the stream has gzip's header and trailer: zlib's encoding of both in one number.
const GZIP_WINDOW_BITS: u8 = 15 + 16;
/// The farthest that a frame of Zstandard may look back: the format's own limit is a petabyte, the library's is this.
const ZSTD_WINDOW_LOG: u32 = 31;

/// What a stream is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Deflate in gzip's frame.
    Gzip,
    /// LZMA2 in xz's frame.
    Xz,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// Bytes that [`Packing::of`] looks at.
    pub const MARK_BYTES: usize = 6;

    /// The packing whose mark `head` begins with.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            // The method, deflate, is the only one there is.
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name of the program that makes such streams.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a stream is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is damaged, or something follows that belongs to no stream.
    Damaged,
    /// The input ends inside it.
    CutShort,
    /// There is no memory for what it looks back at.
    Window,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are used up.
    pub used: usize,
    /// Bytes of the output that are filled.
    pub filled: usize,
}

/// Decodes one input from its first byte to its last.
pub struct Unpacker {
    state: State,
}

enum State {
    Gzip(Gzip),
    Xz(Box<XzStream>),
    Zstd(Zstd),
}

/// Members of gzip, one after the other.
struct Gzip {
    /// None between two members.
    member: Option<Inflate>,
    /// Zeros have begun that fill up the last block of a tape.
    padding: bool,
}

struct Zstd {
    context: DCtx<'static>,
    inside: bool,
}

impl Unpacker {
    /// For input that begins with the mark of `packing`.
    ///
    /// # Errors
    /// [`Trouble::Window`] when there is no memory for the decoder.
    pub fn new(packing: Packing) -> Result<Self, Trouble> {
        let state = match packing {
            Packing::Gzip => State::Gzip(Gzip {
                member: None,
                padding: false,
            }),
            Packing::Xz => State::Xz(Box::new(XzStream::new(true))),
            Packing::Zstd => State::Zstd(Zstd::new()?),
        };
        Ok(Self { state })
    }

    /// Decodes a part of `input` into a part of `output`; neither is empty, but for the input at its end. `last` says that nothing
    /// follows `input`. A step that does nothing although there was room, and all input was given, is the end.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn step(&mut self, input: &[u8], output: &mut [u8], last: bool) -> Result<Step, Trouble> {
        let step = match &mut self.state {
            State::Gzip(gzip) => gzip.step(input, output)?,
            State::Xz(stream) => xz(stream, input, output, last)?,
            State::Zstd(zstd) => zstd.step(input, output)?,
        };
        let stuck = step.used == 0 && step.filled == 0 && !output.is_empty();
        if stuck && last && (!input.is_empty() || self.is_inside()) {
            return Err(Trouble::CutShort);
        }
        Ok(step)
    }

    /// Whether a stream has begun and not ended.
    fn is_inside(&self) -> bool {
        match &self.state {
            State::Gzip(gzip) => gzip.member.is_some(),
            // Says so itself at the last step.
            State::Xz(_) => false,
            State::Zstd(zstd) => zstd.inside,
        }
    }
}

impl Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Trouble> {
        let zeros = self.pass_zeros(input)?;
        let Some(input) = input.get(zeros..).filter(|input| !input.is_empty()) else {
            return Ok(Step {
                used: zeros,
                filled: 0,
            });
        };
        let member = self
            .member
            .get_or_insert_with(|| Inflate::new(true, GZIP_WINDOW_BITS));
        let before = (member.total_in(), member.total_out());
        let status = member
            .decompress(input, output, InflateFlush::NoFlush)
            .map_err(|_| Trouble::Damaged)?;
        let step = Step {
            used: zeros.saturating_add(since(before.0, member.total_in())),
            filled: since(before.1, member.total_out()),
        };
        if status == zlib_rs::Status::StreamEnd {
            self.member = None;
        }
        Ok(step)
    }

    /// Zeros may follow the last member: they fill up the last block of a tape.
    fn pass_zeros(&mut self, input: &[u8]) -> Result<usize, Trouble> {
        if self.member.is_some() {
            return Ok(0);
        }
        let zeros = input.iter().take_while(|byte| **byte == 0).count();
        self.padding |= zeros > 0;
        match self.padding && zeros < input.len() {
            true => Err(Trouble::Damaged),
            false => Ok(zeros),
        }
    }
}

fn since(before: u64, now: u64) -> usize {
    usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
}

fn xz(stream: &mut XzStream, input: &[u8], output: &mut [u8], last: bool) -> Result<Step, Trouble> {
    let action = if last { Action::Finish } else { Action::Run };
    let done = stream
        .process(input, output, action)
        .map_err(|error| match error {
            lzma_rust2::Error::OutOfMemory(_) => Trouble::Window,
            lzma_rust2::Error::Eof => Trouble::CutShort,
            _ => Trouble::Damaged,
        })?;
    // Nothing follows the last of the streams.
    if done.status == Status::StreamEnd && done.bytes_consumed < input.len() {
        return Err(Trouble::Damaged);
    }
    Ok(Step {
        used: done.bytes_consumed,
        filled: done.bytes_produced,
    })
}

impl Zstd {
    fn new() -> Result<Self, Trouble> {
        let mut context = DCtx::try_create().ok_or(Trouble::Window)?;
        context
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
            .map_err(|_| Trouble::Window)?;
        Ok(Self {
            context,
            inside: false,
        })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Trouble> {
        let mut from = InBuffer::around(input);
        let mut into = OutBuffer::around(output);
        if input.is_empty() && !self.inside {
            return Ok(Step { used: 0, filled: 0 });
        }
        let hint = self
            .context
            .decompress_stream(&mut into, &mut from)
            .map_err(|code| {
                let memory = [
                    ZstdError::ZSTD_error_memory_allocation,
                    ZstdError::ZSTD_error_frameParameter_windowTooLarge,
                ];
                match memory.into_iter().any(|kind| is_error_kind(code, kind)) {
                    true => Trouble::Window,
                    false => Trouble::Damaged,
                }
            })?;
        self.inside = hint != 0;
        Ok(Step {
            used: from.pos(),
            filled: into.pos(),
        })
    }
}

#[cfg(test)]
mod tests;
