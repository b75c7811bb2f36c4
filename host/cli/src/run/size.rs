//! The virtual size of sources before the run that converts them. Needed only where the number of the target's files depends on it:
//! VMDK in pieces.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::SnapshotName;

use serde_json::Value;

use super::Context;
use super::instance::{self, Silence};
use crate::value::place::{self, Place};
use crate::value::{list, partition};
use crate::words;

/// Bytes of all sources, one after the other.
pub(crate) fn of_sources(
    context: &Context<'_>,
    places: &[Place],
    snapshot: Option<&SnapshotName>,
) -> Result<u64, Vec<u8>> {
    places.iter().try_fold(0_u64, |sum, place| {
        let size = of(context, place, snapshot).map_err(|why| {
            let colon = if why.is_empty() { "" } else { ": " };
            format!("the size of the source could not be determined{colon}{why}").into_bytes()
        })?;
        Ok(sum.saturating_add(size))
    })
}

/// Bytes of one source; else why not, as far as that was said.
fn of(context: &Context<'_>, place: &Place, snapshot: Option<&SnapshotName>) -> Result<u64, String> {
    if place.is_input() {
        return Err(
            "standard input cannot be looked at before it is read; choose a target in one file".to_owned(),
        );
    }
    // An instance is given no secrets, and needs none to see what an image says of its size; where a partition is, only its disk says.
    let (verb, member) = if place.is_locked() {
        if place.partition.is_some() {
            return Err("the size of a partition of an encrypted image is not known beforehand".to_owned());
        }
        ("info", "virtual-size")
    } else {
        // A raw image takes what its disk has.
        ("measure", "required")
    };
    let Ok(mut command) = instance::under(context.policy, verb) else {
        return Err(String::new());
    };
    // What a window or a layer changes of the size only the user's own words say.
    let typed = !place.is_shaped() && place.remote.is_none();
    match place.format {
        Some(format) if typed || place.remote.is_some() && !place.image_opts => {
            command.args(["-f", format.name()]);
        }
        _ if place.image_opts && !typed => {
            command.arg("--image-opts");
        }
        _ => {}
    }
    if let Some(disk) = &place.disk {
        command.arg("--disk").arg(OsStr::from_bytes(disk));
    }
    if let Some(name) = snapshot {
        command.arg("-l").arg(OsStr::from_bytes(&word(name)));
    }
    if let Some(choice) = place.partition {
        command.args(["--partition", &partition::word(choice)]);
    }
    command.arg("--").arg(if typed {
        place::word(&place.path)
    } else {
        place.given.clone()
    });
    let answer = instance::answer(command).map_err(|silence| match silence {
        // A bound of the policy, perhaps. It counts from where it began.
        Silence::Refused(why) => instar_run::over(context.policy).map_or(why, words::run::limit),
        Silence::Broken(why) => why,
    })?;
    answer.get(member).and_then(Value::as_u64).ok_or_else(String::new)
}

/// A snapshot's name as `-l` takes it.
fn word(name: &SnapshotName) -> Vec<u8> {
    let (id, name) = match name {
        SnapshotName::Either(word) => return word.clone(),
        SnapshotName::Exact { id, name } => (id, name),
    };
    let settings: Vec<Vec<u8>> = [("snapshot.id=", id), ("snapshot.name=", name)]
        .into_iter()
        .filter_map(|(key, value)| Some([key.as_bytes(), &list::doubled(value.as_ref()?)].concat()))
        .collect();
    settings.join(&b',')
}
