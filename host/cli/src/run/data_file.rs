//! The files in which an existing image that is to be written to keeps its data: that of a qcow2, or the extents of a VMDK.
//!
//! What the image calls it only a guest can tell, and no guest causes a file to be opened for writing. Another instance of ourselves
//! looks at the image and says the name, as `info` does; then the policy decides.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use instar_abi::job::{Create, Target};
use instar_abi::{FileFacts, Format, ImageText, Slot};
use instar_engine::{Files, TargetOptions};
use instar_run::{Cause, DataFile};
use serde_json::Value;

use super::{Context, instance};
use crate::show::beside;
use crate::stop::{Step, Stop};
use crate::value::place::{Place, cannot_open, plain_path, word};
use crate::words;

/// Opens the data file of `target`, or its extents, if it has such.
pub(crate) fn open(
    context: &Context<'_>,
    place: &Place,
    target: &mut Target,
    opened: &Files,
    options: &TargetOptions,
) -> Step<()> {
    if place.remote.is_some() {
        // Nothing is beside it, so that no name in it leads anywhere.
        return Ok(());
    }
    let image = Image {
        given: &place.given,
        path: &place.path,
        slot: target.slot,
    };
    match &mut target.create {
        Create::Qcow2(create) => {
            if let Some(name) = name_of(context, place) {
                let facts = image.open(&name, context, opened, options)?;
                create.data_file = Some((facts.slot, ImageText::new(&name)));
            }
        }
        Create::Vmdk(create) => {
            for name in names_of(context, place, Format::Vmdk) {
                let facts = image.open(&name, context, opened, options)?;
                create.extents.push(facts.slot);
            }
        }
        _ => {}
    }
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
        let data = DataFile {
            slot: self.slot,
            image: Path::new(self.path),
            name,
            plain,
            path: Path::new(OsStr::from_bytes(&path)),
        };
        let opened = context.policy.data_file(opened, data, options);
        opened.map_err(|why| refused(&words::run::refusal(&why)).because(Cause::of_refusal(&why)))
    }
}

/// What the image calls its data file.
pub(crate) fn name_of(context: &Context<'_>, place: &Place) -> Option<Vec<u8>> {
    names_of(context, place, Format::Qcow2).pop()
}

/// Whether the layer that the user gives below the image is the one that the image names.
pub(crate) fn is_own_backing(context: &Context<'_>, place: &Place, given: &Place) -> bool {
    let found = looking(context, place, place.format).and_then(|command| instance::answer(command).ok());
    let name = found
        .as_ref()
        .and_then(|found| found.pointer("/backing-filename")?.as_str());
    let named = name.and_then(|name| {
        let path = beside(place.path.as_bytes(), plain_path(name.as_bytes()).ok()?);
        Path::new(OsStr::from_bytes(&path)).canonicalize().ok()
    });
    named.is_some() && named == Path::new(&given.path).canonicalize().ok()
}

/// What the image of that format calls the files that hold its data; nothing: it has everything itself, or cannot be read.
fn names_of(context: &Context<'_>, place: &Place, format: Format) -> Vec<Vec<u8>> {
    let command = looking(context, place, Some(format));
    let found = command.and_then(|command| instance::answer(command).ok());
    found.map_or_else(Vec::new, |found| names_in(&found, &place.path))
}

/// An instance that says what is in the image.
fn looking(context: &Context<'_>, place: &Place, format: Option<Format>) -> Option<Command> {
    let mut command = instance::under(context.policy, "info").ok()?;
    if let Some(format) = format {
        command.args(["-f", format.name()]);
    }
    command.arg("--").arg(word(&place.path));
    Some(command)
}

/// What an answer says that the image calls its data file.
pub(crate) fn named_in(found: &Value) -> Option<Vec<u8>> {
    let name = found.pointer("/format-specific/data/data-file")?.as_str()?;
    Some(name.as_bytes().to_vec())
}

/// What the image at `path` calls the files that hold its data, in its order; nothing: it has everything itself.
pub(crate) fn names_in(found: &Value, path: &OsStr) -> Vec<Vec<u8>> {
    if let Some(name) = named_in(found) {
        return vec![name];
    }
    extents_in(found, word(path).as_bytes()).unwrap_or_default()
}

/// The only extent of a VMDK, if that is flat: its path, which starts where the image's does, as its name beside the image.
fn extent_in(found: &Value, image: &[u8]) -> Option<Vec<u8>> {
    let [extent] = extents(found)? else {
        return None;
    };
    let flat = matches!(extent.get("format")?.as_str()?, "FLAT" | "VMFS");
    name_beside(extent, image).filter(|_| flat)
}

/// All extents of a VMDK, if they are files of their own: the one file that has everything has no format in its descriptor.
fn extents_in(found: &Value, image: &[u8]) -> Option<Vec<Vec<u8>>> {
    let own = |extent: &&Value| extent.get("format").and_then(Value::as_str) != Some("");
    let named = extents(found)?.iter().filter(own);
    named.map(|extent| name_beside(extent, image)).collect()
}

fn extents(found: &Value) -> Option<&[Value]> {
    let extents = found.pointer("/format-specific/data/extents")?;
    extents.as_array().map(Vec::as_slice)
}

fn name_beside(extent: &Value, image: &[u8]) -> Option<Vec<u8>> {
    let path = extent.get("filename")?.as_str()?.as_bytes();
    let directory = beside(image, b"");
    Some(path.strip_prefix(&directory[..]).unwrap_or(path).to_vec())
}

/// Whether an image may keep its data in other files: some do of two formats, or of a format that is not known yet.
pub(crate) fn may_be_apart(place: &Place) -> bool {
    let may = |format| matches!(format, Format::Qcow2 | Format::Vmdk);
    place.remote.is_none() && place.format.is_none_or(may)
}

/// Has an instance of ourselves look at the image, meanwhile, if it may keep its data in other files.
pub(crate) fn ask(context: &Context<'_>, place: &Place) -> Asked {
    let command = may_be_apart(place).then(|| looking(context, place, place.format));
    Asked(command.flatten().map(instance::ask))
}

/// An instance that is looking.
pub(crate) struct Asked(Option<instance::Asked>);

impl Asked {
    /// Opens the files in which the image behind `slot` keeps its data, if there are such.
    pub(crate) fn open(
        self,
        place: &Place,
        slot: Slot,
        context: &Context<'_>,
        opened: &Files,
        options: &TargetOptions,
    ) -> Step<Vec<FileFacts>> {
        let found = self.0.and_then(|asked| asked.answer().ok());
        let image = Image {
            given: &place.given,
            path: &place.path,
            slot,
        };
        let path = word(&place.path);
        let named = |found| named_in(found).or_else(|| extent_in(found, path.as_bytes()));
        let names = found.as_ref().and_then(named);
        names
            .iter()
            .map(|name| image.open(name, context, opened, options))
            .collect()
    }
}
