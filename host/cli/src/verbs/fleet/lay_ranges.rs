//! `fleet plan --range-size`: one image in ranges that no worker shares with another.
//!
//! ```text
//!  disk      ├── range 0 ──┼── range 1 ──┼── range 2 ──┤
//!            │             │             │             │
//!  target  ▒▒├─────────────┼─────────────┼─────────────┤
//!           └ tables, complete when the plan is made
//! ```
//!
//! The target is made at once, under a hidden name, with a place for every byte of the disk; so a worker needs to know nothing of its
//! format, and any order of any number of tries gives the same bytes. Where the disk has no data, the file has holes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::args::Args;
use super::choice::{MOST_ITEMS, RANGE_UNIT};
use super::fresh;
use super::identity::Identity;
use super::lay::{absolute, head, judge, text};
use super::plan::{Head, Item, Range, Whole, about, failed};
use crate::run::Context;
use crate::run::instance::{self, Silence};
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::value::place;
use instar_run::Cause;

/// Largest unit of a source that ranges respect: the largest block of a VHDX.
const LARGEST_UNIT: u64 = 256 << 20;

/// The plan for one image; its target is made.
pub(super) fn ranges(args: &Args, wanted: u64, context: &Context<'_>) -> Step<(Head, Vec<Item>)> {
    let [source, target] = args.operands.as_slice() else {
        return Err(Stop::Misuse(b"Expecting one image and one target".to_vec()));
    };
    args.choice.in_ranges()?;
    let format = args.choice.target_format();
    if !["raw", "qcow2"].iter().any(|known| format == *known) {
        return Err(Stop::say(format!(
            "--range-size makes raw and qcow2 images, not {}, because others have no place of its own for every byte",
            Escaped(format.as_bytes())
        )));
    }
    let (source, target) = (absolute(source)?, absolute(target)?);
    let (size, items) = cut(args, wanted, &source, &target, context)?;
    let is_device = std::fs::metadata(&target).is_ok_and(|found| found.file_type().is_block_device());
    let mut arguments = args.choice.words();
    arguments.extend(["-n", "-O", "raw", "-t", "writeback"].map(OsString::from));
    if !is_device {
        arguments.push("--target-is-zero".into());
    }
    if let Some(item) = items.first() {
        judge(&arguments, item, context)?;
    }
    let mut head = head(args, arguments, &items, context)?;
    let mut whole = Whole {
        source: text(&source)?,
        target: text(&target)?,
        hidden: None,
        data_offset: 0,
        size,
    };
    if is_device && format != "raw" {
        return Err(about(&target, "a device is written in ranges only as raw"));
    }
    if !is_device {
        let hidden = hidden(&target);
        whole.hidden = Some(text(&hidden)?);
        let made = make(args, &hidden, size, context);
        whole.data_offset = made.inspect_err(|_| {
            // Nobody knows its name, and it may not be there.
            let _ = std::fs::remove_file(&hidden);
        })?;
    }
    head.whole = Some(whole);
    Ok((head, items))
}

/// The size of the disk, and its ranges.
fn cut(
    args: &Args,
    wanted: u64,
    source: &Path,
    target: &Path,
    context: &Context<'_>,
) -> Step<(u64, Vec<Item>)> {
    let identity = Identity::of(source).map_err(|error| failed(source, &error))?;
    let (size, unit) = facts(args, source, context)?;
    let step = wanted.max(unit).next_multiple_of(unit);
    let count = size.div_ceil(step);
    if count == 0 || count > MOST_ITEMS {
        return Err(about(
            source,
            &format!(
                "{size} bytes in ranges of {step} are {count} items, and 1 to {MOST_ITEMS} are possible"
            ),
        ));
    }
    let mut items = Vec::new();
    for item in 0..count {
        let offset = item.saturating_mul(step);
        items.push(Item {
            item,
            source: text(source)?,
            identity: identity.clone(),
            target: text(target)?,
            range: Some(Range {
                offset,
                length: step.min(size.saturating_sub(offset)),
            }),
        });
    }
    Ok((size, items))
}

/// The size of the disk, and the unit of the source that no two ranges should share.
fn facts(args: &Args, source: &Path, context: &Context<'_>) -> Step<(u64, u64)> {
    let mut command = instance::under(context.policy, "info")?;
    if let Some(format) = &args.choice.format {
        command.arg("-f").arg(format);
    }
    command.arg("--").arg(place::word(source.as_os_str()));
    let info = answer(command, source)?;
    let number = |key: &str| info.get(key).and_then(Value::as_u64);
    let size = number("virtual-size").ok_or_else(|| about(source, "its size is not known"))?;
    // Of an image that may be hostile: a number within bounds, which decides nothing but where ranges are cut.
    let unit = number("cluster-size").filter(|unit| unit.is_power_of_two() && *unit <= LARGEST_UNIT);
    Ok((size, unit.unwrap_or(RANGE_UNIT).max(RANGE_UNIT)))
}

/// Makes the target under a hidden name. Gives the place of the disk's first byte in it.
fn make(args: &Args, hidden: &Path, size: u64, context: &Context<'_>) -> Step<u64> {
    let format = args.choice.target_format();
    let mut command = instance::again();
    command
        .arg("create")
        .args(&args.settings)
        .arg("-q")
        .arg("-f")
        .arg(format);
    for options in &args.choice.options {
        command.arg("-o").arg(options);
    }
    if format != "raw" {
        command.arg("-o").arg("preallocation=metadata");
    }
    command.arg("--").arg(hidden).arg(size.to_string());
    instance::said(command).map_err(|silence| why(silence, hidden))?;
    if format == "raw" {
        return Ok(0);
    }
    let mut command = instance::under(context.policy, "map")?;
    command
        .arg("-f")
        .arg(format)
        .arg("--")
        .arg(place::word(hidden.as_os_str()));
    let map = answer(command, hidden)?;
    let extents = map.as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |extent: &Value, key: &str| extent.get(key).and_then(Value::as_u64);
    match extents {
        [only] if number(only, "length").is_some_and(|length| length >= size) => number(only, "offset"),
        _ => None,
    }
    .ok_or_else(|| {
        let why = "the image with these options has no place of its own for every byte, so that it cannot be written in ranges; leave options out";
        about(hidden, why)
    })
}

/// A name beside the target that no reader of the directory takes for an image.
fn hidden(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let kept = name.get(..200).unwrap_or(name);
    let kept = String::from_utf8_lossy(kept);
    target.with_file_name(format!(".{kept}.fleet-{}", fresh()))
}

fn answer(command: Command, of: &Path) -> Step<Value> {
    instance::answer(command).map_err(|silence| why(silence, of))
}

fn why(silence: Silence, of: &Path) -> Stop {
    match silence {
        Silence::Refused(why) => Stop::say(why).because(Cause::Image),
        Silence::Broken(why) => about(of, &why),
    }
}
