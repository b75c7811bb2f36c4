//! The image that a verb reads: its name, and the options that say how it is read.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::SnapshotName;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::list;
use crate::value::partition;
use crate::value::place::{Place, Reading};

/// How a source is to be read, as options say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceArgs {
    /// `-f`.
    pub(crate) format: Option<OsString>,
    /// `--image-opts`.
    pub(crate) image_opts: bool,
    /// `-U`.
    pub(crate) share: bool,
    /// `--partition`, not looked at yet.
    pub(crate) partition: Option<OsString>,
    /// `--disk`.
    pub(crate) disk: Option<OsString>,
}

impl SourceArgs {
    /// Takes an option that says how a source is read; any other says nothing here.
    pub(crate) fn take(&mut self, id: Id, value: OsString) {
        match id {
            Id::Format => self.format = Some(value),
            Id::ImageOpts => self.image_opts = true,
            Id::ForceShare => self.share = true,
            Id::Partition => self.partition = Some(value),
            Id::Disk => self.disk = Some(value),
            _ => {}
        }
    }

    /// The place that `name` stands for.
    ///
    /// # Errors
    /// The message.
    pub(crate) fn place(&self, name: &OsStr) -> Step<Place> {
        let reading = Reading {
            format: self.format.as_deref(),
            image_opts: self.image_opts,
            share: self.share,
        };
        let chosen = self.partition.as_deref().map(OsStr::as_bytes);
        Ok(Place {
            partition: chosen.map(partition::choice).transpose()?,
            disk: self.disk.as_deref().map(|disk| disk.as_bytes().to_vec()),
            ..Place::parse(name, reading).map_err(Stop::Message)?
        })
    }
}

/// The operand of a verb that looks at one image.
pub(crate) fn only_image(operands: Vec<OsString>) -> Step<OsString> {
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    Ok(image)
}

/// A bare word, or `snapshot.id=…,snapshot.name=…`.
pub(crate) fn snapshot(word: &[u8]) -> Step<SnapshotName> {
    if !word.starts_with(b"snapshot.") {
        return Ok(SnapshotName::Either(word.to_vec()));
    }
    let (mut id, mut name) = (None, None);
    for setting in list::settings(word) {
        match setting.name.as_slice() {
            b"snapshot.id" => id = Some(setting.value),
            b"snapshot.name" => name = Some(setting.value),
            other => {
                return Err(Stop::Messages(vec![
                    [b"Invalid parameter '", other, b"'"].concat(),
                    [b"Failed in parsing snapshot param '", word, b"'"].concat(),
                ]));
            }
        }
    }
    Ok(SnapshotName::Exact { id, name })
}
