//! The instance of ourselves that converts an item: it is listened to, the lease is kept meanwhile, and what ends us ends it.

use std::io::Read;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::lease::{HEARTBEAT, Lease};
use crate::run::instance;

/// What another instance of ourselves said, and how it ended.
pub(super) struct Heard {
    pub(super) status: ExitStatus,
    /// Standard output.
    pub(super) answers: Vec<u8>,
    /// Standard error.
    pub(super) complaints: Vec<u8>,
    /// The lease went to somebody else meanwhile.
    pub(super) lost: bool,
}

/// The instance that is at work; nothing once it has ended.
type AtWork = Arc<Mutex<Option<Pid>>>;

/// Starts the instance and waits for it: the lease is kept meanwhile, and a signal that ends us ends it.
pub(super) fn attend(command: &mut Command, lease: &Arc<Lease>) -> std::io::Result<Heard> {
    // Before signals are blocked, which it would take for its caller's wish.
    let mut running = instance::started(command)?;
    let at_work: AtWork = Arc::new(Mutex::new(Pid::from_raw(
        i32::try_from(running.id()).unwrap_or(0),
    )));
    let (child, for_signals, for_lease) = (Arc::clone(&at_work), Arc::clone(lease), Arc::clone(lease));
    let on_signal = move || {
        if let Some(child) = *lock(&child) {
            // It may have ended by itself.
            let _ = kill_process(child, Signal::TERM);
        }
        // Who finds it there sees that we are gone.
        let _ = for_signals.give_back();
    };
    let watched = instar_run::tidied_on_signals(on_signal);
    let (ended, is_over) = mpsc::channel();
    let child = Arc::clone(&at_work);
    let keeper = std::thread::Builder::new().spawn(move || keep(&for_lease, &is_over, &child));
    let heard = hear(&mut running);
    let status = running.wait();
    *lock(&at_work) = None;
    drop(ended);
    watched?;
    let keeper = keeper?;
    // A keeper that fell over kept nothing.
    let lost = keeper.join().unwrap_or(true);
    let (answers, complaints) = heard?;
    Ok(Heard {
        status: status?,
        answers,
        complaints,
        lost,
    })
}

fn lock(at_work: &AtWork) -> MutexGuard<'_, Option<Pid>> {
    at_work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the lease until the work is over. Whether it was lost; the work ends then.
fn keep(lease: &Lease, is_over: &mpsc::Receiver<()>, at_work: &AtWork) -> bool {
    while is_over.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
        // A server that does not answer for a moment takes nothing away.
        if matches!(lease.touch(), Ok(false)) {
            if let Some(child) = *lock(at_work) {
                let _ = kill_process(child, Signal::TERM);
            }
            return true;
        }
    }
    false
}

/// Reads both outputs to their ends. What a conversion says is bounded by itself.
fn hear(running: &mut Child) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
    let second = std::thread::Builder::new().spawn(move || {
        let mut text = Vec::new();
        stderr
            .map_or(Ok(0), |mut stderr| stderr.read_to_end(&mut text))
            .map(|_| text)
    })?;
    let mut answers = Vec::new();
    if let Some(mut stdout) = stdout {
        stdout.read_to_end(&mut answers)?;
    }
    let complaints = second
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("a thread that reads has failed")))?;
    Ok((answers, complaints))
}
