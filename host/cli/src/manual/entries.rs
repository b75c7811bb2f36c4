//! Options as entries of a page: all of their names, and those that help hides.

use super::roff::{Roff, bold, italic};
use crate::flags::{Flag, Id};

/// Writes an entry for each of `flags`. Further letters of an option are in its entry.
pub(super) fn write(roff: &mut Roff, flags: &[Flag]) {
    let is_letter_of_another = |flag: &Flag| {
        flag.help.is_empty()
            && flags
                .iter()
                .any(|other| other.id == flag.id && !other.help.is_empty())
    };
    for flag in flags.iter().filter(|flag| !is_letter_of_another(flag)) {
        let Some(meaning) = explanation(flag) else {
            continue;
        };
        let further = flags
            .iter()
            .filter(|other| other.id == flag.id && other.help.is_empty() && !flag.help.is_empty());
        roff.entry(&term(flag, further), meaning);
    }
}

/// What a manual says of an option; nothing if nobody is to type it.
pub(crate) fn explanation(flag: &Flag) -> Option<&'static str> {
    if !flag.help.is_empty() {
        return Some(flag.help);
    }
    match flag.id {
        Id::Object => Some(
            "a secret for an encrypted image: `secret,id=ID,file=FILE` or `secret,id=ID,data=PASSPHRASE`; options of the image name it by its ID",
        ),
        Id::SkipBrokenBitmaps => Some("with `--bitmaps`: leave out bitmaps that were not saved cleanly"),
        Id::Trace => Some("accepted, and changes nothing"),
        // Given to processes that selftest starts.
        Id::Act => None,
        _ => Some("another name of an option above"),
    }
}

/// All names of an option, with what its argument is called.
fn term<'a>(flag: &'a Flag, further: impl Iterator<Item = &'a Flag> + Clone) -> String {
    let all = || [flag].into_iter().chain(further.clone());
    let letters = all()
        .filter_map(|flag| flag.short)
        .map(|letter| format!("-{}", char::from(letter)));
    let long = all()
        .flat_map(|flag| flag.long.iter().chain(flag.exact))
        .map(|name| format!("--{name}"));
    let names: Vec<String> = letters.chain(long).map(|name| bold(&name)).collect();
    let names = names.join(", ");
    match flag.value {
        None => names,
        Some(value) if value.starts_with('[') => format!("{names}{}", italic(value)),
        Some(value) => format!("{names} {}", italic(value)),
    }
}
