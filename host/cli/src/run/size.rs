//! The virtual size of sources before the run that converts them.
//!
//! Only a guest can tell it, and a process can be confined but once; so another instance of ourselves looks, and says it
//! as JSON. Needed only where the number of the target's files depends on it: VMDK in pieces.

use std::process::{Command, Stdio};

use instar_abi::job::SnapshotName;
use serde_json::Value;

use super::Context;
use crate::settings::Backend;
use crate::value::place::Place;

/// Bytes of all sources, one after the other.
pub(super) fn of_sources(
    context: &Context<'_>,
    places: &[Place],
    snapshot: Option<&SnapshotName>,
) -> Result<u64, Vec<u8>> {
    if snapshot.is_some() {
        return Err(
            b"a snapshot cannot be converted to a VMDK in pieces yet; convert it to raw first".to_vec(),
        );
    }
    places
        .iter()
        .try_fold(0_u64, |sum, place| Some(sum.saturating_add(of(context, place)?)))
        .ok_or_else(|| b"the size of the source could not be found out".to_vec())
}

fn of(context: &Context<'_>, place: &Place) -> Option<u64> {
    let policy = context.policy;
    let mut command = Command::new("/proc/self/exe");
    command.args(["info", "--output=json", "-U"]);
    command.arg(match policy.backend {
        Backend::Auto => "--sandbox=auto",
        Backend::Kvm => "--sandbox=kvm",
        Backend::Process => "--sandbox=process",
    });
    if policy.untrusted {
        command.arg("--untrusted");
    }
    for directory in &policy.allow_dirs {
        command.arg("--allow-dir").arg(directory);
    }
    if let Some(format) = place.format {
        command.args(["-f", format.name()]);
    }
    let output = command
        .arg("--")
        .arg(super::files::typed(&place.path))
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let info: Value = serde_json::from_slice(&output.stdout).ok()?;
    info.get("virtual-size")?.as_u64()
}
