//! What must be undone, however the program ends: at the end of a scope, after a panic, after Ctrl-C.
//!
//! SIGKILL leaves only what the next run removes: mounts and loop devices go with the mount namespace, control groups and outputs carry the
//! number of the process that made them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use instar_jail::SignalSet;
use rustix::process::Pid;

type Undo = Box<dyn FnOnce() + Send>;

static UNDONE_LATER: Mutex<Vec<(u64, Undo)>> = Mutex::new(Vec::new());
static NUMBERS: AtomicU64 = AtomicU64::new(0);
static RUNNING: Mutex<Option<u32>> = Mutex::new(None);

/// Held while something is being undone; after a signal for good, so that nobody else ends the program with things half undone.
static UNDOING: Mutex<()> = Mutex::new(());

/// Undoes something when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guard(u64);

/// Registers what is to be undone.
pub(crate) fn later(undo: impl FnOnce() + Send + 'static) -> Guard {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    locked(&UNDONE_LATER).push((number, Box::new(undo)));
    Guard(number)
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _alone = locked(&UNDOING);
        let mut list = locked(&UNDONE_LATER);
        let place = list.iter().position(|(number, _)| *number == self.0);
        let undo = place.map(|place| list.remove(place));
        drop(list);
        if let Some((_, undo)) = undo {
            undo();
        }
    }
}

/// Notes which program is being measured, so that it does not outlive this one. After a signal this never returns.
pub(crate) fn running(id: Option<u32>) {
    let _alone = locked(&UNDOING);
    *locked(&RUNNING) = id;
}

/// Ends a process by its number; it is not an error if it has ended already.
pub(crate) fn kill(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
}

/// Whether a process of this number is alive.
pub(crate) fn alive(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

/// From now on a signal that ends the program undoes first what is left to undo. Call it before there are other threads.
pub(crate) fn on_signals() {
    let signals = SignalSet::of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    // Programs started later get an empty mask: the standard library sees to that.
    signals.block();
    std::thread::spawn(move || {
        let signal = signals.wait().unwrap();
        let _forever = locked(&UNDOING);
        if let Some(id) = locked(&RUNNING).take() {
            kill(id);
        }
        while let Some((_, undo)) = pop() {
            undo();
        }
        std::process::exit(128 + signal)
    });
}

fn pop() -> Option<(u64, Undo)> {
    locked(&UNDONE_LATER).pop()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
