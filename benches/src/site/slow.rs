//! A device that is slow to read for the processes of a group.

use std::fs;

use super::group::{Group, Version};

/// What a slow device reads in a second.
const BYTES_PER_SECOND: u64 = 200_000_000;

/// A group whose members read the device no faster than that.
pub(super) fn slow_reads(device: &str) -> Result<Group, String> {
    let group = Group::make("blkio")?;
    let name = device.trim_start_matches("/dev/");
    let path = format!("/sys/class/block/{name}/dev");
    let number = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let number = number.trim();
    match group.version {
        Version::One => group.set(
            "blkio.throttle.read_bps_device",
            &format!("{number} {BYTES_PER_SECOND}"),
        )?,
        Version::Two => group.set("io.max", &format!("{number} rbps={BYTES_PER_SECOND}"))?,
    }
    Ok(group)
}
