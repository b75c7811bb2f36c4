//! From the first byte to the export: fixed newstyle negotiation, or the older newstyle where that is all there is.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{Fault, Result, fault, from_usize, limits};
use zerocopy::{FromBytes, IntoBytes};

use crate::export::{Blocks, Export};
use crate::raw::{
    HELLO, OLDSTYLE, OPTION_REPLY, OPTIONS, RawAnswer, RawBlocks, RawExport, RawHello, RawOption, answer,
    hello, info, option,
};
use crate::wire::{Inbox, Wire};

/// Answers to one option. Ours: a few are usual.
const ANSWERS: u32 = 64;
/// Bytes of one answer. Ours: no text of the protocol's has more than 4 KiB.
const ANSWER_BYTES: usize = 64 << 10;
/// Zeros behind the export in the older negotiation.
const ZEROES: u64 = 124;
/// The one context that is asked for.
const ALLOCATION: &[u8] = b"base:allocation";

/// Negotiates the export of that name.
///
/// # Errors
/// What the server says, or what is wrong with how it says it.
pub(crate) fn negotiate(wire: &mut dyn Wire, inbox: &mut Inbox, name: &[u8]) -> Result<Export> {
    if name.len() > limits::IMAGE_TEXT {
        let sizes = [from_usize(name.len()), from_usize(limits::IMAGE_TEXT)];
        return Err(Fault::new(fault::nbd::NAME).with(sizes));
    }
    let flags = greeting(wire, inbox)?;
    let known = flags & (hello::FIXED_NEWSTYLE | hello::NO_ZEROES);
    wire.send(&u32::from(known).to_be_bytes())?;
    let mut talk = Talk { wire, inbox };
    if flags & hello::FIXED_NEWSTYLE == 0 {
        return talk.by_name(name, flags);
    }
    let structured = talk.has(option::STRUCTURED_REPLY, &[])?;
    let context = if structured { talk.context(name)? } else { None };
    let export = match talk.go(name)? {
        Some(export) => export,
        None => talk.by_name(name, flags)?,
    };
    Ok(export.answering(structured, context))
}

fn greeting(wire: &mut dyn Wire, inbox: &mut Inbox) -> Result<u16> {
    let words: RawHello = inbox.take(wire)?;
    match (words.magic.get(), words.style.get()) {
        (HELLO, OPTIONS) => Ok(words.flags.get()),
        (HELLO, OLDSTYLE) => Err(Fault::new(fault::nbd::OLDSTYLE)),
        _ => Err(Fault::new(fault::nbd::NOT_NBD)),
    }
}

/// Both sides of the negotiation.
struct Talk<'w> {
    wire: &'w mut dyn Wire,
    inbox: &'w mut Inbox,
}

/// An answer.
struct Answer {
    kind: u32,
    data: Vec<u8>,
}

impl Answer {
    const fn is_error(&self) -> bool {
        self.kind & answer::ERROR != 0
    }

    /// The fault that it says.
    fn fault(&self) -> Fault {
        let code = match self.kind {
            answer::POLICY => fault::nbd::POLICY,
            answer::TLS_REQUIRED => fault::nbd::TLS,
            answer::UNKNOWN => fault::nbd::NO_EXPORT,
            answer::SHUTDOWN => fault::nbd::SHUTDOWN,
            _ => fault::nbd::REFUSED,
        };
        let said: &[u8] = if self.data.is_empty() {
            b"nothing more"
        } else {
            &self.data
        };
        Fault::new(code).with([self.kind.into()]).named(said)
    }

    /// The fault of an answer that the option does not have.
    fn unfitting(&self, option: u32) -> Fault {
        Fault::new(fault::nbd::HANDSHAKE).with([self.kind.into(), option.into()])
    }
}

impl Talk<'_> {
    /// Whether the server has that option.
    fn has(&mut self, option: u32, data: &[u8]) -> Result<bool> {
        self.ask(option, data)?;
        let answer = self.hear(option)?;
        match answer.kind {
            answer::ACK => Ok(true),
            answer::TLS_REQUIRED => Err(answer.fault()),
            _ if answer.is_error() => Ok(false),
            _ => Err(answer.unfitting(option)),
        }
    }

    /// The number of the context, if the server has it.
    fn context(&mut self, name: &[u8]) -> Result<Option<u32>> {
        let option = option::SET_META_CONTEXT;
        let mut data = counted(name);
        data.extend_from_slice(&1_u32.to_be_bytes());
        data.extend_from_slice(&counted(ALLOCATION));
        self.ask(option, &data)?;
        let mut context = None;
        for _ in 0..ANSWERS {
            let answer = self.hear(option)?;
            match answer.kind {
                answer::ACK => return Ok(context),
                answer::META_CONTEXT => {
                    let (number, called) = answer
                        .data
                        .split_first_chunk()
                        .ok_or_else(|| answer.unfitting(option))?;
                    if called == ALLOCATION {
                        context = Some(u32::from_be_bytes(*number));
                    }
                }
                _ if answer.is_error() => return Ok(None),
                _ => return Err(answer.unfitting(option)),
            }
        }
        Err(too_many(option))
    }

    /// The export, unless the server has no such option.
    fn go(&mut self, name: &[u8]) -> Result<Option<Export>> {
        let option = option::GO;
        let mut data = counted(name);
        data.extend_from_slice(&1_u16.to_be_bytes());
        data.extend_from_slice(&info::BLOCK_SIZE.to_be_bytes());
        self.ask(option, &data)?;
        let (mut export, mut blocks) = (None, Blocks::default());
        for _ in 0..ANSWERS {
            let answer = self.hear(option)?;
            match answer.kind {
                answer::ACK => {
                    let export: RawExport = export.ok_or_else(|| answer.unfitting(option))?;
                    return Export::parse(&export, blocks).map(Some);
                }
                answer::INFO => {
                    let unfitting = || answer.unfitting(option);
                    let (kind, rest) = answer.data.split_first_chunk().ok_or_else(unfitting)?;
                    match u16::from_be_bytes(*kind) {
                        info::EXPORT => {
                            export = Some(RawExport::read_from_bytes(rest).map_err(|_| unfitting())?);
                        }
                        info::BLOCK_SIZE => {
                            let raw = RawBlocks::read_from_bytes(rest).map_err(|_| unfitting())?;
                            blocks = Blocks::parse(&raw)?;
                        }
                        // What was not asked for may be said all the same.
                        _ => {}
                    }
                }
                answer::UNSUPPORTED => return Ok(None),
                _ if answer.is_error() => return Err(answer.fault()),
                _ => return Err(answer.unfitting(option)),
            }
        }
        Err(too_many(option))
    }

    /// The export, of a server that closes the connection if there is none.
    fn by_name(&mut self, name: &[u8], flags: u16) -> Result<Export> {
        self.ask(option::EXPORT_NAME, name)?;
        let raw: RawExport = self.inbox.take(self.wire)?;
        if flags & hello::NO_ZEROES == 0 {
            self.inbox.skip(self.wire, ZEROES)?;
        }
        Export::parse(&raw, Blocks::default())
    }

    fn ask(&mut self, option: u32, data: &[u8]) -> Result<()> {
        let head = RawOption {
            magic: OPTIONS.into(),
            option: option.into(),
            length: length(data).into(),
        };
        self.wire.send(&[head.as_bytes(), data].concat())
    }

    fn hear(&mut self, option: u32) -> Result<Answer> {
        let head: RawAnswer = self.inbox.take(self.wire)?;
        let kind = head.kind.get();
        if head.magic.get() != OPTION_REPLY || head.option.get() != option {
            let numbers = [u64::from(kind), u64::from(option)];
            return Err(Fault::new(fault::nbd::HANDSHAKE).with(numbers));
        }
        let length = u64::from(head.length.get());
        let bytes = usize::try_from(length)
            .ok()
            .filter(|bytes| *bytes <= ANSWER_BYTES);
        let Some(bytes) = bytes else {
            let numbers = [length, from_usize(ANSWER_BYTES)];
            return Err(Fault::new(fault::nbd::LONG_ANSWER).with(numbers));
        };
        let mut data = vec![0; bytes];
        self.inbox.fill(self.wire, &mut data)?;
        Ok(Answer { kind, data })
    }
}

fn too_many(option: u32) -> Fault {
    Fault::new(fault::nbd::ANSWERS).with([option.into(), ANSWERS.into()])
}

/// Text behind its length.
fn counted(text: &[u8]) -> Vec<u8> {
    [&length(text).to_be_bytes(), text].concat()
}

/// The length of what is short by construction.
fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}
