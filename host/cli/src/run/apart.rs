//! Images that may keep their data in other files are changed without them first: hardly any does, and to ask each image costs as much
//! as the change.
//!
//! ```text
//!  a copy of this process: the change, with the image's own file ──► done, or a reason that has nothing to do with other files
//!        └─► nothing was changed, and perhaps because files are lacking ──► this process asks for them, and makes the change
//! ```
//!
//! Nothing of a run can be done in the process that waits: it has opened no image and read no byte of one.

use std::os::unix::process::ExitStatusExt;

use instar_abi::{Report, fault};
use instar_jail::Half;
use instar_run::Ended;

use super::scene::RunScene;
use super::{Context, concluded};
use crate::stop::{Step, Stop};

/// Where the change stands.
pub(crate) enum Tried {
    /// Here it is tried.
    Trying,
    /// It was tried elsewhere, and all has been said.
    Over(Step<u8>),
    /// It is to be made here, with other files if the image names such.
    Again,
}

/// Tries it in a copy of this process, if the system makes one.
pub(crate) fn tried() -> Tried {
    let status = match instar_jail::attempt() {
        Ok(Half::Trying) => return Tried::Trying,
        Ok(Half::Waited(status)) => status,
        Err(_) => return Tried::Again,
    };
    match status.code().map(u8::try_from) {
        Some(Ok(AGAIN)) => Tried::Again,
        Some(code) => Tried::Over(Ok(code.unwrap_or(1))),
        None => Tried::Over(Err(Stop::Signal(status.signal().unwrap_or_default()))),
    }
}

/// Whether the change failed before it began, or because a file is lacking. What was said on the way to the latter is said here; nothing is
/// of the former, since it will be said again.
pub(crate) fn is_to_be_tried_again(ended: &Ended, scene: &RunScene<'_>, context: &Context<'_>) -> bool {
    let failed = ended.reports.iter().find_map(|report| match report {
        Report::Failed(failure) => Some(failure),
        _ => None,
    });
    let Some(failure) = failed else {
        return false;
    };
    if !ended.files().has_changed_what_was_there() {
        return true;
    }
    let lacks = failure.fault.code == fault::qcow2_write::TARGET_DATA_FILE;
    if lacks {
        // It was repaired first.
        let _ = concluded(&ended.reports, scene, context.program);
    }
    lacks
}

/// The exit code of a process that has tried it in vain. Ours: no verb ends with it.
pub(crate) const AGAIN: u8 = 250;
