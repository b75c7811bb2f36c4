//! The data file of an existing qcow2 image that is to be written to.
//!
//! What the image calls it only a guest can tell, and no guest causes a file to be opened for writing. Another instance of ourselves
//! looks at the image and says the name, as `info` does; then the host decides: the gate would let the image read that file because
//! it stands beside the image or in an allowed directory, and so it does where all links are followed. A record, by which this machine
//! gave the image the name, is not enough for writing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use instar_abi::job::{Create, Target};
use instar_abi::{FileFacts, Format, ImageText, Slot};
use instar_engine::{Files, Rule, TargetOptions, Verdict};

use super::{Context, files, instance};
use crate::show::{Escaped, beside};
use crate::stop::{Step, Stop};
use crate::value::place::{Place, cannot_open, plain_path};

/// Opens the data file of `target`, if it has one.
pub(crate) fn open(
    context: &Context<'_>,
    place: &Place,
    target: &mut Target,
    opened: &Files,
    options: &TargetOptions,
) -> Step<()> {
    let Create::Qcow2(create) = &mut target.create else {
        return Ok(());
    };
    let Some(name) = name_of(context, place) else {
        return Ok(());
    };
    let image = Image {
        given: &place.given,
        path: &place.path,
        slot: target.slot,
    };
    let facts = image.open(&name, context, opened, options)?;
    create.data_file = Some((facts.slot, ImageText::new(&name)));
    Ok(())
}

/// An image that keeps its data in another file.
pub(crate) struct Image<'a> {
    /// What messages call it.
    pub(crate) given: &'a OsStr,
    /// Where it is.
    pub(crate) path: &'a OsStr,
    pub(crate) slot: Slot,
}

impl Image<'_> {
    /// Opens the file that the image calls `name`.
    pub(crate) fn open(
        &self,
        name: &[u8],
        context: &Context<'_>,
        opened: &Files,
        options: &TargetOptions,
    ) -> Step<FileFacts> {
        let refused = |why: &[u8]| Stop::Message(cannot_open(self.given, why));
        let plain = plain_path(name).map_err(|why| refused(&why))?;
        let path = beside(self.path.as_bytes(), plain);
        if context.policy.untrusted {
            let text = format!(
                "the image keeps its data in another file, '{}', which --untrusted does not allow it to open",
                Escaped(plain)
            );
            return Err(refused(text.as_bytes()));
        }
        let by_rules = matches!(
            opened.verdict(self.slot, name),
            Verdict::LetIn(Rule::Beside | Rule::Allowed)
        );
        if !by_rules || !may_write(context, self.path, Path::new(OsStr::from_bytes(&path))) {
            let text = format!(
                "the image keeps its data in '{}', which is not beside it; if you trust the image, allow the directory of that file with --allow-dir DIR",
                Escaped(plain)
            );
            return Err(refused(text.as_bytes()));
        }
        opened
            .in_place(&files::typed(OsStr::from_bytes(&path)), options)
            .map_err(|error| refused(&files::words(&error)))
    }
}

/// What the image calls its data file.
pub(crate) fn name_of(context: &Context<'_>, place: &Place) -> Option<Vec<u8>> {
    let mut command = instance::under(context.policy, "info").ok()?;
    command.args(["-f", Format::Qcow2.name(), "--"]);
    command.arg(files::typed(&place.path));
    let found = instance::answer(command).ok()?;
    let name = found
        .pointer("/format-specific/data/data-file")?
        .as_str()?
        .as_bytes()
        .to_vec();
    Some(name)
}

/// Whether what the user's image names at `path` stands, all links followed, where the policy lets it be written to: beside the image
/// itself, not beside a link to it.
pub(crate) fn may_write(context: &Context<'_>, image: &OsStr, path: &Path) -> bool {
    let (Ok(file), Ok(image)) = (path.canonicalize(), Path::new(image).canonicalize()) else {
        return false;
    };
    let within = |directories: &[std::path::PathBuf], path: &Path| {
        let mut known = directories
            .iter()
            .filter_map(|directory| directory.canonicalize().ok());
        known.any(|directory| path.starts_with(directory))
    };
    let policy = context.policy;
    let is_beside = file.parent() == image.parent() && !within(&policy.untrusted_dirs, &image);
    is_beside || within(&policy.allow_dirs, &file)
}
