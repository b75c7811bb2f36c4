//! A clock that interrupts the thread of lane 0, so that a guest that never rings is stopped without a thread that
//! watches it.

use std::io;
use std::ptr;
use std::time::Duration;

use rustix::thread::gettid;

use crate::control::kick_signal;

/// Sends the kick to the thread that made it, from the end of the time on, again and again: one that comes while the
/// thread is between looking at the clock and entering the guest would be lost.
#[derive(Debug)]
pub(crate) struct Timer(libc::timer_t);

/// Time between two kicks.
const AGAIN: Duration = Duration::from_millis(20);

impl Timer {
    pub(crate) fn new(after: Duration) -> io::Result<Self> {
        // SAFETY: every field of the structure may be zero.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = kick_signal();
        event.sigev_notify_thread_id = gettid().as_raw_pid();
        let mut timer: libc::timer_t = ptr::null_mut();
        // SAFETY: a valid event, and room for the result.
        if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = Self(timer);
        let times = libc::itimerspec {
            it_interval: spec(AGAIN),
            // Zero would disarm it.
            it_value: spec(after.max(Duration::from_nanos(1))),
        };
        // SAFETY: a timer of ours and valid times.
        match unsafe { libc::timer_settime(timer.0, 0, &raw const times, ptr::null_mut()) } {
            0 => Ok(timer),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: a timer of ours, used no more.
        unsafe { libc::timer_delete(self.0) };
    }
}

fn spec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    }
}
