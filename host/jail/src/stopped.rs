//! The last words of a process that made a call its role does not have.
//!
//! The kernel does not carry such a call out; it sends SIGSYS instead. Our handler says which call it was and ends the
//! process. A lane has no call to take the handler away; if it is gone or blocked, the kernel ends the process itself.

use std::io;

use crate::signals;

/// Installs the handler.
pub(crate) fn install() -> io::Result<()> {
    // SAFETY: 1. the handler makes two calls, by which a process may say something and end at any time; 2. it reads what the kernel
    // passes for SIGSYS.
    unsafe { signals::handle(libc::SIGSYS, on_stopped) }
}

extern "C" fn on_stopped(_signal: libc::c_int, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    let call = info.wrapping_byte_add(CALL_AT).cast::<u32>();
    // SAFETY: the kernel passes a siginfo_t, of 128 bytes. For SIGSYS these four bytes of it are the call's number, aligned.
    let call = unsafe { call.read() };
    let mut message = *b"instar: stopped by its own jail at system call ....\n";
    let digits = message.len() - 5;
    let mut rest = call;
    for (n, place) in message.iter_mut().skip(digits).take(4).rev().enumerate() {
        let digit = u8::try_from(rest % 10).unwrap_or_default();
        *place = if n > 0 && rest == 0 { b' ' } else { b'0' + digit };
        rest /= 10;
    }
    // Past the standard library's lock. Nothing can be done about a failure.
    let _ = rustix::io::write(io::stderr(), &message);
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(1) };
}

/// Offset of `si_syscall` in the kernel's siginfo: signo, errno, code and padding, then the calling address.
const CALL_AT: usize = 24;
