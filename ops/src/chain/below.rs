//! The file that an image names as the layer below it, and what becomes of a name that the gate refuses.

use alloc::collections::BTreeSet;

use instar_abi::report::{Backing, Failure, Stage};
use instar_disk::{Fault, FileFacts, Format, Host, Result, Role, Slot, fault};

use crate::naming;
use crate::session::Outcome;

/// The chain, if there is one; none if the gate refused a name in an image, for work that does without.
pub(crate) fn unless_refused<T>(opened: Outcome<T>) -> Outcome<Option<T>> {
    match opened {
        Ok(chain) => Ok(Some(chain)),
        Err(failure) if is_refusal(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether the rules for names in images, and nothing else, kept a layer from being opened.
pub(crate) fn is_refusal(failure: &Failure) -> bool {
    use fault::core::{REFUSED_KIND, REFUSED_NAME, REFUSED_OUTSIDE, REFUSED_UNTRUSTED};
    let refusals = [REFUSED_KIND, REFUSED_NAME, REFUSED_OUTSIDE, REFUSED_UNTRUSTED];
    matches!(failure.stage, Stage::OpenBacking(_)) && refusals.contains(&failure.fault.code)
}

/// Opens the file that `namer` names as the layer below it.
pub(crate) fn open_below(
    host: &dyn Host,
    namer: Slot,
    backing: &Backing,
    visited: &BTreeSet<Slot>,
) -> Result<(FileFacts, Option<Format>)> {
    let named = naming::parse(backing.name.as_bytes())?;
    let stated = match &backing.format {
        None => None,
        Some(text) => Some(Format::from_name(text.as_bytes()).ok_or_else(|| {
            Fault::new(fault::core::UNKNOWN_FORMAT)
                .named(text.as_bytes())
                .in_file(namer)
        })?),
    };
    let facts = host.open(namer, Role::Backing, &named.name)?;
    if visited.contains(&facts.slot) {
        return Err(Fault::new(fault::core::CHAIN_LOOP)
            .named(backing.name.as_bytes())
            .in_file(namer));
    }
    Ok((facts, named.format.or(stated)))
}
