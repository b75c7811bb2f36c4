//! Serving a lane: one batch, read once, judged whole, carried out in order.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, PoisonError};

use instar_abi::layout::{self, BASE};
use instar_abi::limits::{BATCH, LANES};
use instar_abi::mailbox::{REQUESTS_AT, RESULTS_AT};
use instar_abi::request::status;
use instar_abi::{BadRequest, MailboxHeader, RawRequest, RawResult, Request, Slot};
use instar_memory::{GuestMemory, Next, OutOfBounds, StopSign, Violation};

use crate::ahead;
use crate::behind::Behind;
use crate::buffer::Buffer;
use crate::carry_out::{Answer, Refusal};
use crate::file::{Failure, OpenFile, Outcome, bytes, to_usize};
use crate::files::Files;
use crate::gather::Gathered;
use crate::rate::Rate;
use crate::stop::Stop;

/// Where reports and progress go.
pub trait Sink: Send + Sync {
    /// A serialised [`instar_abi::Report`], at most [`instar_abi::limits::REPORT_BYTES`] long, of a run with these files.
    ///
    /// # Errors
    /// [`Violation::BadReport`] ends the guest.
    fn report(&self, files: &Files, bytes: Vec<u8>) -> Result<(), Violation>;

    /// How far the work is. Any numbers may come, in any order.
    fn progress(&self, done: u64, total: u64);
}

/// What a run may say.
#[derive(Clone, Copy, Debug)]
pub struct ReportLimits {
    pub count: u32,
    /// Bytes of all reports.
    pub bytes: u64,
}

impl Default for ReportLimits {
    /// Ours: each warning is a report, of some twenty bytes; what is kept of them is for the sink to bound.
    fn default() -> Self {
        Self {
            count: 1 << 20,
            bytes: 64 << 20,
        }
    }
}

/// Serves requests on open files. `M` is how the caller holds guest memory: a reference or an `Arc`.
pub struct Engine<M> {
    pub(crate) files: Files,
    pub(crate) memory: M,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) limits: ReportLimits,
    pub(crate) reports: AtomicU32,
    pub(crate) report_bytes: AtomicU64,
    lanes: Vec<Mutex<Lane>>,
    pub(crate) stop: Stop,
    rate: Rate,
    behind: Behind,
}

/// What a lane keeps between batches.
#[derive(Debug, Default)]
struct Lane {
    raw: Vec<u8>,
    requests: Vec<Request>,
    results: Vec<u8>,
    buffer: Buffer,
}

impl<M> std::fmt::Debug for Engine<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<M: Deref<Target = GuestMemory> + Send + Sync> Engine<M> {
    /// An engine for `files`.
    pub fn new(files: Files, memory: M, sink: Box<dyn Sink>, limits: ReportLimits) -> Self {
        Self {
            files,
            memory,
            sink,
            limits,
            reports: AtomicU32::new(0),
            report_bytes: AtomicU64::new(0),
            lanes: std::iter::repeat_with(Mutex::default).take(LANES).collect(),
            stop: Stop::default(),
            rate: Rate::default(),
            behind: Behind::default(),
        }
    }

    /// With at most so many bytes of data written a second; 0 means no limit.
    #[must_use]
    pub fn with_rate(mut self, bytes_per_second: u64) -> Self {
        self.rate = Rate::new(bytes_per_second);
        self
    }

    /// With at most about so many bytes of what is written left in the page cache; 0 leaves that to the kernel.
    #[must_use]
    pub fn with_window(mut self, bytes: u64) -> Self {
        self.behind = Behind::new(bytes);
        self
    }

    /// With the sign that ends the run.
    #[must_use]
    pub fn with_sign(mut self, sign: StopSign) -> Self {
        self.stop = Stop(sign);
        self
    }

    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// Ends the run: long work fails with ECANCELED within 100 ms, and so does everything asked from now on.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Serves the batch that lies in the mailbox of `lane`. Lanes are served at once, each by a thread of its own.
    pub fn serve(&self, lane: u32) -> Next {
        self.batch(lane).unwrap_or_else(Next::Kill)
    }

    fn batch(&self, number: u32) -> Result<Next, Violation> {
        let lane = usize::try_from(number).ok().and_then(|at| self.lanes.get(at));
        let lane = lane.ok_or(Violation::Other("a doorbell of a lane that does not exist"))?;
        // What a panic left in a lane's buffers is overwritten before it is looked at.
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let Lane {
            raw,
            requests,
            results,
            buffer,
        } = &mut *lane;
        let mailbox = layout::mailbox(number) - BASE;
        let count = self.fetch(mailbox, raw)?;
        // All are judged before the first is carried out: what ends the guest has no effect.
        self.judge(raw, requests)?;
        ahead::ask(&self.files.slots, requests, &self.stop);
        results.clear();
        let next = self.carry_out_all(requests, results, buffer)?;
        let written = results.as_chunks().0;
        if let Err(failure) = self.behind.note(&self.files.slots, requests, written, &self.stop) {
            // The last request stands for those that wrote what was lost.
            results.truncate(results.len().saturating_sub(size_of::<RawResult>()));
            results.extend_from_slice(&result(Err(failure)).to_bytes());
        }
        let cancelled = result(Err(Failure(status::CANCELLED))).to_bytes();
        while results.len() < to_usize(count) * size_of::<RawResult>() {
            results.extend_from_slice(&cancelled);
        }
        self.memory
            .write(mailbox + bytes(RESULTS_AT), results)
            .map_err(outside)?;
        self.rate.hold(requests, results.as_chunks().0, &self.stop);
        Ok(next)
    }

    /// Parses a batch: each request once, from the copy that the guest cannot change.
    fn judge(&self, raw: &[u8], requests: &mut Vec<Request>) -> Result<(), Violation> {
        requests.clear();
        for raw in raw.as_chunks().0 {
            let request = Request::parse(&RawRequest::from_bytes(*raw), self.memory.len());
            let request = request.map_err(Violation::BadRequest)?;
            self.check_slots(&request)?;
            self.check_buffer(&request)?;
            requests.push(request);
        }
        Ok(())
    }

    /// Carries out `requests` up to the end or the first failure; adds their results.
    fn carry_out_all(
        &self,
        requests: &[Request],
        results: &mut Vec<u8>,
        buffer: &mut Buffer,
    ) -> Result<Next, Violation> {
        let mut rest = requests;
        while let [request, behind @ ..] = rest {
            if let Some(gathered) = Gathered::take(&self.files.slots, rest) {
                let outcomes = match self.stop.check() {
                    Ok(()) => gathered.carry_out(buffer, &self.stop),
                    Err(failure) => vec![Err(failure)],
                };
                for outcome in &outcomes {
                    results.extend_from_slice(&result(outcome.map(Answer::counted)).to_bytes());
                }
                if outcomes.iter().any(Result::is_err) {
                    break;
                }
                rest = rest.get(outcomes.len()..).unwrap_or_default();
                continue;
            }
            if *request == Request::Exit {
                results.extend_from_slice(&RawResult::default().to_bytes());
                return Ok(Next::Exit);
            }
            let answer = match self.carry_out(request, buffer) {
                Ok(answer) => Ok(answer),
                Err(Refusal::Failed(failure)) => Err(failure),
                Err(Refusal::Broken(violation)) => return Err(violation),
            };
            results.extend_from_slice(&result(answer).to_bytes());
            if answer.is_err() {
                break;
            }
            rest = behind;
        }
        Ok(Next::Continue)
    }

    /// Takes the one look at the mailbox; gives the number of requests.
    fn fetch(&self, mailbox: u64, requests: &mut Vec<u8>) -> Result<u64, Violation> {
        let mut header = [0; size_of::<MailboxHeader>()];
        self.memory.read(mailbox, &mut header).map_err(outside)?;
        let count = MailboxHeader::from_bytes(header).count;
        let length = usize::try_from(count)
            .ok()
            .filter(|count| (1..=BATCH).contains(count))
            .ok_or(Violation::BatchCount(count))?
            * size_of::<RawRequest>();
        requests.resize(length, 0);
        self.memory
            .read(mailbox + bytes(REQUESTS_AT), requests)
            .map_err(outside)?;
        Ok(count.into())
    }

    fn check_slots(&self, request: &Request) -> Result<(), Violation> {
        match *request {
            Request::Read { slot, .. }
            | Request::Write { slot, .. }
            | Request::Zero { slot, .. }
            | Request::Discard { slot, .. }
            | Request::Extents { slot, .. }
            | Request::Resize { slot, .. }
            | Request::Flush { slot }
            | Request::Advise { slot, .. }
            | Request::Allocated { slot }
            | Request::Receive { slot, .. }
            | Request::Send { slot, .. }
            | Request::Open { namer: slot, .. } => self.file(slot).map(|_| ()),
            Request::Sharable { source, target } => {
                self.file(source)?;
                self.file(target).map(|_| ())
            }
            Request::Copy(copy) => {
                self.file(copy.source)?;
                self.file(copy.target).map(|_| ())
            }
            Request::Compare(compare) => {
                self.file(compare.slot)?;
                compare
                    .other
                    .map_or(Ok(()), |(other, _)| self.file(other).map(|_| ()))
            }
            Request::Report { .. }
            | Request::Progress { .. }
            | Request::Wait { .. }
            | Request::Wake { .. }
            | Request::Exit => Ok(()),
        }
    }

    /// What is filled for the guest is memory that it may fill itself: its page protection does not hold for us.
    fn check_buffer(&self, request: &Request) -> Result<(), Violation> {
        match *request {
            Request::Read { into, .. } | Request::Extents { into, .. } | Request::Receive { into, .. }
                if !self.memory.may_be_written(into.start, into.length) =>
            {
                let address = BASE.saturating_add(into.start);
                Err(Violation::BadRequest(BadRequest::Address(address)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn file(&self, slot: Slot) -> Result<&OpenFile, Violation> {
        self.files.slots.get(slot).ok_or(Violation::UnknownSlot(slot.0))
    }
}

fn result(answer: Outcome<Answer>) -> RawResult {
    match answer {
        Ok(Answer { value, detail, extra }) => RawResult {
            status: status::OK,
            detail,
            value,
            extra,
        },
        Err(Failure(status)) => RawResult {
            status,
            ..RawResult::default()
        },
    }
}

/// Guest memory is smaller than the layout says, or a range that was checked is not in it: never the guest's doing, but
/// not ours to go on with either.
pub(crate) fn outside(_: OutOfBounds) -> Violation {
    Violation::Other("a range outside its memory")
}
