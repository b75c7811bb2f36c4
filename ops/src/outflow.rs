//! A disk that leaves by a pipe, in one pass: its bytes in order, zeros included.

use instar_abi::report::{Done, Stage};
use instar_disk::{Action, Fault, Host, Result, Slot, fault, from_usize, to_usize};

use crate::pass::{self, Data, Visit};
use crate::session::{At, Outcome, Session};
use crate::source::Source;

/// Bytes of an image that are sent at once.
const PIECE: usize = 1 << 20;
/// Zeros that are sent at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Sends the bytes of `source` from `shift` on, `length` of them.
///
/// # Errors
/// The source's; nobody reads any more.
pub(crate) fn raw(host: &dyn Host, source: Source<'_>, part: (u64, u64), stream: Slot) -> Outcome<Done> {
    pass::over(host, source, part, &Sender { host, stream })?;
    host.progress(1, 1);
    Ok(Done {
        virtual_size: part.1,
        ..Done::default()
    })
}

/// Sends all of an image that is complete to where it goes, if that is a stream.
///
/// # Errors
/// The host's; nobody reads any more.
pub(crate) fn finished(session: &Session<'_>, image: Slot, stream: Option<Slot>) -> Outcome<()> {
    let Some(stream) = stream else { return Ok(()) };
    let host = session.host;
    let image = session.file(image).at(Stage::Finish)?;
    let sender = Sender { host, stream };
    let mut piece = alloc::vec![0; PIECE];
    let mut at = 0_u64;
    loop {
        let stage = Stage::Write(at);
        let read = image.read(at, &mut piece).at(stage)?;
        if read == 0 {
            return Ok(());
        }
        sender.bytes(piece.get(..read).unwrap_or_default()).at(stage)?;
        at = at.saturating_add(from_usize(read));
    }
}

struct Sender<'h> {
    host: &'h dyn Host,
    stream: Slot,
}

impl Visit for Sender<'_> {
    type Found = ();

    fn look(&self, _: Data<'_>, (): &mut ()) -> Outcome<()> {
        Ok(())
    }

    fn take(&self, data: Data<'_>, (): &()) -> Outcome<()> {
        self.send(data).at(Stage::Write(data.start))
    }
}

impl Sender<'_> {
    fn send(&self, data: Data<'_>) -> Result<()> {
        let mut at = data.start;
        for span in data.spans {
            // Spans are whole units, which may lie on both sides of the chunk's ends.
            let end = span.target.saturating_add(from_usize(span.length));
            let here = span.target.max(at)..end.min(data.end);
            if here.is_empty() {
                continue;
            }
            self.zeros(here.start.saturating_sub(at))?;
            let from = span
                .at
                .saturating_add(to_usize(here.start.saturating_sub(span.target))?);
            let length = to_usize(here.end.saturating_sub(here.start))?;
            let bytes = data.buffer.get(from..from.saturating_add(length));
            let bytes = bytes.ok_or_else(|| Fault::new(fault::core::INTERNAL).with([u64::from(line!())]))?;
            self.bytes(bytes)?;
            at = here.end;
        }
        self.zeros(data.end.saturating_sub(at))
    }

    fn zeros(&self, mut length: u64) -> Result<()> {
        while length > 0 {
            let step = length.min(from_usize(ZEROS.len()));
            self.bytes(ZEROS.get(..to_usize(step)?).unwrap_or_default())?;
            length = length.saturating_sub(step);
        }
        Ok(())
    }

    fn bytes(&self, from: &[u8]) -> Result<()> {
        let slot = self.stream;
        self.host.one(Action::Send { slot, from }).map(|_| ())
    }
}
