//! The virtual size of sources before the run that converts them.
//!
//! Only a guest can tell it, and a process can be confined but once; so another instance of ourselves looks, and says it
//! as JSON. Needed only where the number of the target's files depends on it: VMDK in pieces.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use instar_abi::job::SnapshotName;
use serde_json::Value;

use super::Context;
use crate::settings::{Backend, Policy};
use crate::value::place::Place;

/// Bytes of all sources, one after the other.
pub(super) fn of_sources(
    context: &Context<'_>,
    places: &[Place],
    snapshot: Option<&SnapshotName>,
) -> Result<u64, Vec<u8>> {
    places
        .iter()
        .try_fold(0_u64, |sum, place| {
            Some(sum.saturating_add(of(context, place, snapshot)?))
        })
        .ok_or_else(|| b"the size of the source could not be found out".to_vec())
}

/// Another instance of ourselves under the same policy, which looks at one image and says what it finds as JSON.
pub(super) fn instance(context: &Context<'_>, verb: &str) -> Command {
    let policy = context.policy;
    let mut command = Command::new("/proc/self/exe");
    command.args([verb, "--output=json", "-U"]);
    command.arg(sandbox(policy));
    if policy.untrusted {
        command.arg("--untrusted");
    }
    for directory in &policy.allow_dirs {
        command.arg("--allow-dir").arg(directory);
    }
    for directory in &policy.untrusted_dirs {
        command.arg("--untrusted-dir").arg(directory);
    }
    command
}

/// What it says.
pub(super) fn answer(mut command: Command) -> Option<Value> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

fn of(context: &Context<'_>, place: &Place, snapshot: Option<&SnapshotName>) -> Option<u64> {
    let mut command = instance(context, "measure");
    // What a window or a layer changes of the size only the user's own words say.
    let typed = !place.is_shaped();
    match place.format {
        Some(format) if typed => {
            command.args(["-f", format.name()]);
        }
        _ if place.image_opts && !typed => {
            command.arg("--image-opts");
        }
        _ => {}
    }
    if let Some(name) = snapshot {
        command.arg("-l").arg(OsStr::from_bytes(&word(name)));
    }
    command.arg("--").arg(if typed {
        super::files::typed(&place.path)
    } else {
        place.given.clone()
    });
    // A raw image takes what its disk has.
    answer(command)?.get("required")?.as_u64()
}

/// The option by which another instance parses images where this one does.
pub(super) const fn sandbox(policy: &Policy) -> &'static str {
    match policy.backend {
        Backend::Auto => "--sandbox=auto",
        Backend::Kvm => "--sandbox=kvm",
        Backend::Process => "--sandbox=process",
    }
}

/// A snapshot's name as `-l` takes it.
fn word(name: &SnapshotName) -> Vec<u8> {
    let (id, name) = match name {
        SnapshotName::Either(word) => return word.clone(),
        SnapshotName::Exact { id, name } => (id, name),
    };
    let settings: Vec<Vec<u8>> = [("snapshot.id=", id), ("snapshot.name=", name)]
        .into_iter()
        .filter_map(|(key, value)| Some([key.as_bytes(), &doubled(value.as_ref()?)].concat()))
        .collect();
    settings.join(&b',')
}

/// A value in a list of settings: commas are doubled.
fn doubled(value: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(value.len());
    for byte in value {
        doubled.push(*byte);
        if *byte == b',' {
            doubled.push(b',');
        }
    }
    doubled
}
