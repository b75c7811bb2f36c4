//! The last words of a process that made a call its role does not have.
//!
//! The kernel does not carry such a call out; it sends SIGSYS instead. Our handler says which call it was and ends the
//! process. A lane has no call to take the handler away; if it is gone or blocked, the kernel ends the process itself.

use std::io;
use std::ptr;

/// Installs the handler.
pub(crate) fn install() -> io::Result<()> {
    // SAFETY: every field of the structure may be zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) = on_stopped;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: a valid structure, and a handler that makes two calls that are always allowed.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_stopped(_signal: libc::c_int, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    // SAFETY: the kernel passes a siginfo_t, of 128 bytes.
    let call = unsafe { info.byte_add(CALL_AT) };
    // SAFETY: of a siginfo_t for SIGSYS these four bytes are the call's number, aligned.
    let call = unsafe { call.cast::<u32>().read() };
    let mut message = *b"instar: stopped by its own jail at system call ....\n";
    let digits = message.len() - 5;
    let mut rest = call;
    for (n, place) in message.iter_mut().skip(digits).take(4).rev().enumerate() {
        let digit = u8::try_from(rest % 10).unwrap_or_default();
        *place = if n > 0 && rest == 0 { b' ' } else { b'0' + digit };
        rest /= 10;
    }
    // SAFETY: the bytes outlive the call. Nothing can be done about a failure.
    unsafe { libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len()) };
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(1) };
}

/// Offset of `si_syscall` in the kernel's siginfo: signo, errno, code and padding, then the calling address.
const CALL_AT: usize = 24;
