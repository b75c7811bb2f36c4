//! Detection of the format of a file.

use instar_disk::{Fault, File, Format, Result, fault};

use crate::formats;
use crate::session::Session;

/// Bytes that are looked at; qemu-img's own number.
const HEAD_BYTES: usize = 512;

/// The format of `file` by its first bytes; by its name when no format claims it.
///
/// # Errors
/// `AMBIGUOUS_FORMAT` when two formats claim it: guessing is what lets one tool be shown another image than the next.
pub(crate) fn detect(session: &Session<'_>, file: &File<'_>) -> Result<Format> {
    let mut head = [0; HEAD_BYTES];
    let present = file.read(0, &mut head)?;
    let head = head.get(..present).unwrap_or_default();
    let mut claims = formats::claims(file, head)?;
    claims.retain(|format| session.recognises(*format));
    match claims[..] {
        [] => Ok(unmarked(file)),
        [format] => Ok(format),
        [first, second, ..] => {
            let both = alloc::format!("{} and {}", first.name(), second.name());
            Err(Fault::new(fault::core::AMBIGUOUS_FORMAT)
                .named(both.as_bytes())
                .in_file(file.slot()))
        }
    }
}

/// The format of a file without the signature of any.
pub(crate) const fn unmarked(file: &File<'_>) -> Format {
    if file.facts().called_dmg {
        Format::Dmg
    } else {
        Format::Raw
    }
}
