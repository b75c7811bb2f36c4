//! The words for what kept a run from its end.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use instar_engine::{CommitError, OpenError};
use instar_run::{Cause, Error, Limit, Refusal};
use instar_sandbox::Choice;
use rustix::io::Errno;

use super::system;
use crate::show::Escaped;
use crate::stop::Stop;
use crate::value::place::cannot_open;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Signal(number) => Self::Signal(number),
            other => Self::say(words(&other)).because(other.cause()),
        }
    }
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Self::Message(open(&error)).because(Cause::of_open(&error))
    }
}

/// The target is written, and does not get its name.
impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        let cause = match error.errno {
            // Somebody else makes the same target.
            Errno::EXIST => Cause::Busy,
            errno => Cause::of_system(Some(errno.raw_os_error())),
        };
        Self::say(error.to_string()).because(cause)
    }
}

fn words(error: &Error) -> Vec<u8> {
    let text = match error {
        Error::Directory(error) => return open(error),
        Error::Image { name, is_layer, why } => {
            let layer: &[u8] = if *is_layer { BELOW } else { b"" };
            return cannot_open(name, &[layer, &refusal(why)].concat());
        }
        Error::Contradiction => {
            "the configuration requires KVM (require-kvm), which contradicts --sandbox process".to_owned()
        }
        Error::NoLandlock => NO_LANDLOCK.to_owned(),
        Error::NoSandbox {
            choice,
            required,
            error,
        } => no_sandbox(*choice, *required, error),
        Error::JobNotEncoded => "the job cannot be passed to the sandbox; please report it".to_owned(),
        Error::NoRandomness(error) => format!("no random bytes for a new key: {}", system(error)),
        Error::SecretsTooLong => "the secrets are too long: they have room in 64 KiB together".to_owned(),
        Error::JobRefused(error) => system(error),
        Error::NotConfined(error) => format!("The host process cannot be confined: {}", system(error)),
        Error::Signal(number) => format!("Ended by signal {number}"),
        Error::Fault { fault, changed } => {
            format!("The sandbox stopped the guest: {fault}; {}", touched(*changed))
        }
        Error::Violation { violation, changed } => {
            let touched = touched(*changed);
            format!("The sandbox stopped the guest: it sent {violation}; {touched}")
        }
        Error::Panicked(text) => {
            let shown = Escaped(text.get(..SAYING).unwrap_or(text));
            format!("The sandboxed parser panicked: {shown}")
        }
        Error::TimedOut(limit) => limit.map(self::limit).unwrap_or_default(),
        Error::Cancelled => "Interrupted".to_owned(),
        Error::SandboxFailed(error) => format!("The sandbox cannot run: {}", system(error)),
    };
    text.into_bytes()
}

/// Why an image was not opened, without its name; else the words for the error.
pub(crate) fn why(error: &Error) -> Vec<u8> {
    match error {
        Error::Image { why, .. } => refusal(why),
        other => words(other),
    }
}

/// What leads from an image to a layer below it that cannot be opened.
const BELOW: &[u8] = b"Could not open backing file: ";

/// The words for an image that is not opened, without its name.
pub(crate) fn refusal(why: &Refusal) -> Vec<u8> {
    match why {
        Refusal::File(error) => open(error),
        Refusal::Input(error) => format!("standard input: {}", system(error)).into_bytes(),
        Refusal::Terminal => b"standard input is a terminal; pipe an image into it, or write './-' for a file of that name".to_vec(),
        Refusal::Begun(bytes) => format!(
            "standard input is a file of which {bytes} bytes have been read already; name the file instead"
        )
        .into_bytes(),
        Refusal::InputTwice => b"standard input is one image, and can be named only once".to_vec(),
        Refusal::OutputTerminal => {
            b"standard output is a terminal; pipe it into a program or a file, or write './-' for a file of that name".to_vec()
        }
        Refusal::InputChanged => b"standard input can be read but not changed".to_vec(),
        Refusal::NotAFile(path) => requires("file", path, "a regular file"),
        Refusal::NotADevice(path) => {
            requires("host_device", path, "either a character or block device")
        }
        Refusal::ReadOnly => b"Block node is read-only".to_vec(),
        Refusal::Shared => b"force-share=on can only be used with read-only images".to_vec(),
        Refusal::Part => b"an image inside a part of a file can be read but not changed".to_vec(),
        Refusal::Remote => {
            b"an image behind a server can be read, and written as a whole by convert and dd, but not changed in place".to_vec()
        }
        Refusal::Unresolved(server, why) => [
            b"address resolution failed for ".as_slice(),
            server,
            b": ",
            resolving(why).as_bytes(),
        ]
        .concat(),
        Refusal::Unreachable(server, why) => [
            b"Failed to connect to '".as_slice(),
            server,
            b"': ",
            system(why).as_bytes(),
        ]
        .concat(),
        Refusal::Apart => b"a disk with a detached header can be read but not changed".to_vec(),
        Refusal::DataUntrusted(name) => format!(
            "the image keeps its data in another file, '{}', which --untrusted does not allow it to open",
            Escaped(name)
        )
        .into_bytes(),
        Refusal::DataElsewhere(name) => format!(
            "the image keeps its data in '{}', which is not beside it; if you trust the image, allow the directory of that file with --allow-dir DIR",
            Escaped(name)
        )
        .into_bytes(),
    }
}

/// The system's reason, without the standard library's words before it.
fn resolving(why: &std::io::Error) -> String {
    let text = system(why);
    match text.split_once("lookup address information: ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

fn requires(driver: &str, path: &Path, what: &str) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    [
        b"'",
        driver.as_bytes(),
        b"' driver requires '",
        path,
        b"' to be ",
        what.as_bytes(),
    ]
    .concat()
}

/// The engine's words, the hint on a line of its own.
pub(crate) fn open(error: &OpenError) -> Vec<u8> {
    let mut text = error.to_string();
    if let Some(hint) = error.hint() {
        text.push('\n');
        text.push_str(&hint);
    }
    text.into_bytes()
}

/// What `require-landlock` asks for is not there.
pub(crate) const NO_LANDLOCK: &str = "the configuration requires Landlock (require-landlock), but this kernel does not have it or has it disabled";

/// Bytes of a panicking guest's words that are shown. Ours.
const SAYING: usize = 400;

fn no_sandbox(choice: Choice, required: bool, error: &std::io::Error) -> String {
    let what = match choice {
        Choice::Kvm => "The KVM sandbox cannot be used",
        Choice::Auto | Choice::Process => "No sandbox can be used on this machine",
    };
    let remedy = match choice {
        Choice::Kvm if !required => "; try --sandbox process, which does not need /dev/kvm",
        _ => "",
    };
    format!("{what}: {}{remedy}", system(error))
}

const fn touched(changed: bool) -> &'static str {
    if changed {
        "the target has been changed and may be incomplete; no other file was changed"
    } else {
        "no file was changed"
    }
}

/// The words for a time that is over.
pub(crate) fn limit(limit: Limit) -> String {
    let seconds = limit.time().as_secs_f64();
    if limit.is_asked() {
        format!("Timed out after {seconds} seconds (--timeout)")
    } else {
        format!(
            "Timed out after {seconds} seconds, the limit for an untrusted image of this size; set another with --timeout"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use instar_run::Error;
    use instar_sandbox::{Cause, GuestFault};

    fn said_of(error: &Error) -> String {
        String::from_utf8(words(error)).unwrap()
    }

    #[test]
    fn a_guests_own_words_are_escaped_and_short() {
        let said = [b"a\x1b[2J".to_vec(), vec![b'x'; 1000]].concat();
        let text = said_of(&Error::Panicked(said));
        assert!(text.contains("a\\x1b[2J"));
        assert!(text.len() < 600);
    }

    #[test]
    fn a_guest_that_was_stopped_has_changed_a_file_or_none() {
        let fault = GuestFault {
            cause: Cause::Signal(9),
            instruction: None,
            address: None,
        };
        let untouched = said_of(&Error::Fault {
            fault,
            changed: false,
        });
        assert!(untouched.ends_with("; no file was changed"));
        let touched = said_of(&Error::Fault { fault, changed: true });
        assert!(touched.contains("the target has been changed"), "{touched}");
    }
}
