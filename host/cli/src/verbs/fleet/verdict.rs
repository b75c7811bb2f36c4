//! Whether an item that was not done is worth another try.
//!
//! A hostile image must not be tried over and over, on one machine after the other; an image on a server that restarts should be. What
//! decides is the cause that `convert` gives, never its words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use instar_run::Cause;
use rustix::io::Errno;
use serde::Deserialize;

use super::record::End;

/// The line of `--failure`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Failure {
    pub(super) cause: String,
    pub(super) errno: Option<i32>,
}

/// What to do after a conversion that ended like this.
pub(super) fn verdict(status: ExitStatus, failure: Option<&Failure>) -> End {
    if status.success() {
        return End::Done;
    }
    // Killed: by an engine that wanted its machine back, or for want of memory.
    if status.signal().is_some() {
        return End::Again;
    }
    let passes = match failure {
        Some(failure) => is_passing(&failure.cause, failure.errno),
        None => false,
    };
    if passes { End::Again } else { End::Failed }
}

/// Whether a failure may be gone the next time.
pub(super) fn is_passing(cause: &str, errno: Option<i32>) -> bool {
    let passing = [Cause::NoSpace, Cause::Busy, Cause::Interrupted];
    if passing.iter().any(|passing| passing.word() == cause) {
        return true;
    }
    let system = cause == Cause::System(None).word();
    system && errno.is_some_and(|number| PASSING.contains(&Errno::from_raw_os_error(number)))
}

/// What a system says while a disk, a server or a network fails, or while something has run out.
const PASSING: &[Errno] = &[
    Errno::IO,
    Errno::INTR,
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::BUSY,
    Errno::NFILE,
    Errno::MFILE,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::STALE,
    Errno::REMOTEIO,
    Errno::NOENT,
    Errno::NODEV,
    Errno::NXIO,
    Errno::NOTCONN,
    Errno::CONNREFUSED,
    Errno::CONNRESET,
    Errno::CONNABORTED,
    Errno::TIMEDOUT,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NOLINK,
    Errno::COMM,
    Errno::PROTO,
    Errno::SHUTDOWN,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn after(wait_status: i32, cause: &str, errno: Option<i32>) -> End {
        let failure = Failure {
            cause: cause.to_owned(),
            errno,
        };
        verdict(ExitStatus::from_raw(wait_status), Some(&failure))
    }

    #[test]
    fn what_an_image_or_a_rule_is_the_cause_of_is_not_tried_again() {
        for cause in ["arguments", "refused", "image", "timed-out", "sandbox"] {
            assert_eq!(after(1 << 8, cause, None), End::Failed, "{cause}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::INVAL] {
            let errno = errno.raw_os_error();
            assert_eq!(after(1 << 8, "system", Some(errno)), End::Failed);
        }
        assert_eq!(after(1 << 8, "system", None), End::Failed);
        assert_eq!(verdict(ExitStatus::from_raw(1 << 8), None), End::Failed);
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for cause in ["no-space", "busy", "interrupted"] {
            assert_eq!(after(1 << 8, cause, None), End::Again, "{cause}");
        }
        for errno in [Errno::IO, Errno::STALE, Errno::TIMEDOUT] {
            let errno = errno.raw_os_error();
            assert_eq!(after(1 << 8, "system", Some(errno)), End::Again);
        }
        assert_eq!(verdict(ExitStatus::from_raw(9), None), End::Again, "SIGKILL");
    }
}
