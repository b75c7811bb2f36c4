//! Standard input as a source, and standard output as a target: a pipe or a socket that is read or written once, or a file that somebody
//! has opened for us.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use instar_abi::FileFacts;
use instar_engine::Files;

use crate::Refusal;

/// What messages call it.
const NAME: &str = "-";

/// Takes it as a source; with `lock`, if it is a file, unless others write to it.
pub(crate) fn open(files: &Files, lock: bool) -> Result<FileFacts, Refusal> {
    let input = io::stdin();
    if input.is_terminal() {
        return Err(Refusal::Terminal);
    }
    let name = Path::new(NAME);
    let is_taken = |facts: &FileFacts| {
        let status = files.status(facts.slot);
        status.is_some_and(|status| status.name == name)
    };
    if files.facts().iter().any(is_taken) {
        return Err(Refusal::InputTwice);
    }
    let fd = input.as_fd().try_clone_to_owned().map_err(Refusal::Input)?;
    let mut file = File::from(fd);
    let kind = file.metadata().map_err(Refusal::Input)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return files.stream(file.into(), name).map_err(Refusal::File);
    }
    // A device that cannot be asked, such as /dev/null, is refused or taken for what it is.
    match file.stream_position() {
        Ok(0) | Err(_) => {}
        Ok(begun) => return Err(Refusal::Begun(begun)),
    }
    files.adopt_source(file.into(), name, lock).map_err(Refusal::File)
}

/// Takes standard output as where a new image goes.
///
/// # Errors
/// [`Refusal::Terminal`] and the system's.
pub fn output(files: &Files) -> Result<FileFacts, Refusal> {
    let output = io::stdout();
    if output.is_terminal() {
        return Err(Refusal::OutputTerminal);
    }
    let fd = output.as_fd().try_clone_to_owned().map_err(Refusal::Input)?;
    files.stream(fd, Path::new(NAME)).map_err(Refusal::File)
}
