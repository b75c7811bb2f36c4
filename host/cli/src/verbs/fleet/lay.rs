//! `fleet plan`: what is to be done, as lines.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::Args;
use super::choice::{Choice, MOST_ITEMS};
use super::fresh;
use super::identity::Identity;
use super::lay_ranges;
use super::plan::{Head, Item, VERSION, about, failed};
use crate::run::Context;
use crate::show::Escaped;
use crate::stop::{Step, Stop, forbid};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let (head, items) = match (&args.choice.directory, args.choice.range_size) {
        (Some(directory), None) => whole_images(args, directory, context)?,
        (None, Some(size)) => lay_ranges::ranges(args, size, context)?,
        _ => {
            return Err(Stop::Misuse(
                b"Expecting --to DIR for many images, or --range-size SIZE for one".to_vec(),
            ));
        }
    };
    let mut text = line(&head)?;
    for item in &items {
        text.push_str(&line(item)?);
    }
    context.console.print(text.as_bytes());
    Ok(0)
}

fn line(part: &impl Serialize) -> Step<String> {
    serde_json::to_string(part)
        .map(|text| text + "\n")
        .map_err(|error| Stop::say(error.to_string()))
}

/// An item for each image, the largest first: what takes longest is not begun last.
fn whole_images(args: &Args, directory: &Path, context: &Context<'_>) -> Step<(Head, Vec<Item>)> {
    if args.operands.is_empty() {
        return Err(Stop::Misuse(b"Expecting at least one image".to_vec()));
    }
    let choice = &args.choice;
    let about_directory = std::fs::metadata(directory);
    if !about_directory.is_ok_and(|found| found.is_dir()) {
        return Err(about(directory, "--to expects a directory that exists"));
    }
    let extension = extension(choice.target_format());
    let mut named: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut found = Vec::new();
    for operand in &args.operands {
        let source = absolute(operand)?;
        let metadata = std::fs::metadata(&source).map_err(|error| failed(&source, &error))?;
        let target = absolute(directory.join(target_name(&source, extension)).as_os_str())?;
        if let Some(other) = named.insert(target.clone(), source.clone()) {
            let why = format!(
                "this image and '{}' would both become '{}'; give them to plans with other directories",
                Escaped(other.as_os_str().as_bytes()),
                Escaped(target.as_os_str().as_bytes())
            );
            return Err(about(&source, &why));
        }
        let same = std::fs::metadata(&target)
            .is_ok_and(|there| (there.dev(), there.ino()) == (metadata.dev(), metadata.ino()));
        if same {
            return Err(about(
                &source,
                "the image would be replaced by itself; choose another directory",
            ));
        }
        found.push((metadata, source, target));
    }
    // Space that is taken: a large hole takes no time.
    found.sort_by_key(|(metadata, ..)| std::cmp::Reverse(metadata.blocks()));
    let mut items = Vec::new();
    for ((metadata, source, target), item) in found.iter().zip(0..) {
        items.push(Item {
            item,
            source: text(source)?,
            identity: Identity::from(metadata),
            target: text(target)?,
            range: None,
        });
    }
    let mut arguments = choice.words();
    arguments.extend(choice.words_of_target());
    // A record says that the target is on stable storage; what an earlier try has made stays until there is better.
    arguments.extend(["-t", "writeback", "--replace"].map(OsString::from));
    if let Some(item) = items.first() {
        judge(&arguments, item, context)?;
    }
    Ok((head(args, arguments, &items, context)?, items))
}

/// The first line of a plan.
pub(super) fn head(
    args: &Args,
    arguments: Vec<OsString>,
    items: &[Item],
    context: &Context<'_>,
) -> Step<Head> {
    let count = items.len() as u64;
    if count > MOST_ITEMS {
        return Err(Stop::say(format!(
            "the plan would have {count} items, and at most {MOST_ITEMS} are possible"
        )));
    }
    let texts = |words: &[OsString]| -> Step<Vec<String>> {
        words.iter().map(|word| text(Path::new(word))).collect()
    };
    Ok(Head {
        fleet_plan: VERSION,
        id: fresh(),
        items: count,
        in_flight: args.choice.in_flight,
        lanes: args.choice.lanes,
        memory: context.policy.memory,
        source_format: args
            .choice
            .format
            .as_ref()
            .map(|name| text(Path::new(name)))
            .transpose()?,
        format: text(Path::new(args.choice.target_format()))?,
        settings: texts(&args.settings)?,
        arguments: texts(&arguments)?,
        whole: None,
    })
}

/// Says now what `convert` would say of its options for every item.
pub(super) fn judge(arguments: &[OsString], item: &Item, context: &Context<'_>) -> Step<()> {
    let mut words: Vec<OsString> = vec!["convert".into()];
    words.extend_from_slice(arguments);
    words.extend(["--".into(), (&item.source).into(), (&item.target).into()]);
    crate::entry::judge(context.program, words)
}

/// The whole path of a file, which has the same name on every machine.
pub(super) fn absolute(name: &OsStr) -> Step<PathBuf> {
    let path = Path::new(name);
    std::path::absolute(path).map_err(|error| failed(path, &error))
}

/// A path that can stand in a plan.
pub(super) fn text(path: &Path) -> Step<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| about(path, "this cannot stand in a plan, because it is not UTF-8"))
}

/// What names of images end with, so that it is left out of the names of targets.
const ENDINGS: &[&str] = &[
    "raw", "img", "iso", "bin", "qcow2", "qcow", "qed", "vmdk", "vdi", "vhd", "vhdx", "hdd", "hds", "dmg",
    "asif", "luks", "zst", "ova",
];

fn target_name(source: &Path, extension: &str) -> OsString {
    let ends = |ending: &OsStr| ending.to_str().is_some_and(|ending| ENDINGS.contains(&ending));
    let stem = match source.extension() {
        Some(ending) if ends(ending) => source.file_stem(),
        _ => source.file_name(),
    };
    let mut name = stem.unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    name
}

/// What names of images in this format end with by custom.
fn extension(format: &OsStr) -> &str {
    match format.to_str() {
        Some("vpc") => "vhd",
        Some("parallels") => "hds",
        Some(format) => format,
        None => "raw",
    }
}

impl Choice {
    /// Refuses what only whole images can be asked for.
    pub(super) fn in_ranges(&self) -> Step<()> {
        forbid([
            (
                self.compress,
                "-c cannot be used with --range-size, because ranges are written independently",
            ),
            (
                self.checksum.is_some(),
                "--checksum cannot be used with --range-size, because ranges are written independently",
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_called_after_its_source() {
        let name = |source: &str, format: &str| {
            let name = target_name(Path::new(source), extension(format.as_ref()));
            name.into_string().unwrap()
        };
        assert_eq!(name("/a/vm.vmdk", "qcow2"), "vm.qcow2");
        assert_eq!(name("/a/debian-12.5", "vpc"), "debian-12.5.vhd");
        assert_eq!(name("/a/disk.tar", "raw"), "disk.tar.raw");
        assert_eq!(name("/a/.img", "raw"), ".img.raw");
    }
}
