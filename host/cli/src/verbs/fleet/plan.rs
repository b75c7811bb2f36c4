//! A plan: a file of lines of JSON, the first for all items, then one for each.
//!
//! Whoever can write to it decides what is read and written, as with a script. Nothing from inside an image stands in it but a size.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choice::MOST_ITEMS;
use super::identity::Identity;
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::words;
use instar_run::Cause;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Head {
    /// The version of the form: [`VERSION`].
    pub(super) fleet_plan: u32,
    /// Tells this plan from one made later, whose records stand at the same place.
    pub(super) id: String,
    pub(super) items: u64,
    /// How many items may be carried out at once.
    pub(super) in_flight: Option<u64>,
    /// Lanes of each.
    pub(super) lanes: Option<u64>,
    /// Bytes of memory for the sandbox of each.
    pub(super) memory: u64,
    /// The format of the sources, if it was given.
    pub(super) source_format: Option<String>,
    /// The format of the targets.
    pub(super) format: String,
    /// Settings for each, as options.
    pub(super) settings: Vec<String>,
    /// Words of `convert` for each.
    pub(super) arguments: Vec<String>,
    /// What the ranges are of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) whole: Option<Whole>,
}

/// One image that is converted in ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Whole {
    pub(super) source: String,
    pub(super) target: String,
    /// The name that the target has until it is complete; nothing for a device.
    pub(super) hidden: Option<String>,
    /// Where the first byte of the disk stands in the target's file.
    pub(super) data_offset: u64,
    /// Bytes of the disk.
    pub(super) size: u64,
}

/// Every other line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Item {
    pub(super) item: u64,
    pub(super) source: String,
    /// What the source was when the plan was made.
    pub(super) identity: Identity,
    pub(super) target: String,
    /// Which bytes of the disk; without this, all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) range: Option<Range>,
}

/// A part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The form of plans that is written and read.
pub(super) const VERSION: u32 = 1;
/// Bytes of a line at most: two names and a list of options.
const LINE: u64 = 256 << 10;

/// A plan that is read.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where it is.
    pub(super) path: PathBuf,
    pub(super) head: Head,
    lines: BufReader<File>,
    /// The number of the next line's item.
    next: u64,
}

impl Plan {
    /// Opens a plan and reads its first line.
    pub(super) fn open(path: PathBuf) -> Step<Self> {
        let file = File::open(&path).map_err(|error| failed(&path, &error))?;
        let mut lines = BufReader::new(file);
        let head = line(&mut lines)
            .map_err(|error| failed(&path, &error))?
            .ok_or_else(|| about(&path, "the plan is empty"))?;
        let head: Head = read(&path, 1, &head)?;
        if head.fleet_plan != VERSION {
            let why = format!(
                "this is a plan of form {}, and this version of instar reads form {VERSION}; make the plan anew",
                head.fleet_plan
            );
            return Err(about(&path, &why));
        }
        if head.items > MOST_ITEMS {
            let why = format!(
                "the plan has {} items, and at most {MOST_ITEMS} are possible",
                head.items
            );
            return Err(about(&path, &why));
        }
        if head.id.is_empty() || !head.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(about(&path, "the id of the plan is not a hexadecimal number"));
        }
        Ok(Self {
            path,
            head,
            lines,
            next: 0,
        })
    }

    /// One item; those before it are not looked at.
    pub(super) fn item(mut self, number: u64) -> Step<(Head, Item)> {
        if number >= self.head.items {
            let why = match self.head.items.checked_sub(1) {
                Some(last) => format!("there is no item {number}: the last one is {last}"),
                None => "the plan has no items".to_owned(),
            };
            return Err(about(&self.path, &why));
        }
        for before in 0..number {
            self.line(before)?;
        }
        self.next = number;
        let item = self.next_item()?.ok_or_else(|| self.cut_short(number))?;
        Ok((self.head, item))
    }

    /// The next item.
    pub(super) fn next_item(&mut self) -> Step<Option<Item>> {
        let number = self.next;
        if number >= self.head.items {
            return Ok(None);
        }
        self.next = number.saturating_add(1);
        let line = self.line(number)?;
        self.checked(number, &line).map(Some)
    }

    /// All items.
    pub(super) fn all(&mut self) -> Step<Vec<Item>> {
        let mut items = Vec::new();
        while let Some(item) = self.next_item()? {
            items.push(item);
        }
        Ok(items)
    }

    /// The line of an item.
    fn line(&mut self, number: u64) -> Step<String> {
        line(&mut self.lines)
            .map_err(|error| failed(&self.path, &error))?
            .ok_or_else(|| self.cut_short(number))
    }

    fn checked(&self, number: u64, line: &str) -> Step<Item> {
        let item: Item = read(&self.path, number.saturating_add(2), line)?;
        if item.item != number {
            let why = format!("item {} stands where item {number} is expected", item.item);
            return Err(about(&self.path, &why));
        }
        if item.range.is_some() != self.head.whole.is_some() {
            let why = format!("item {number} is a range without a whole, or the other way round");
            return Err(about(&self.path, &why));
        }
        Ok(item)
    }

    fn cut_short(&self, number: u64) -> Stop {
        let why = format!("the plan ends before item {number} of {}", self.head.items);
        about(&self.path, &why)
    }
}

/// The next line, without its end; nothing behind the last one.
fn line(lines: &mut BufReader<File>) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    let read = lines.take(LINE).read_line(&mut text)?;
    if text.ends_with('\n') {
        text.pop();
    } else if text.len() as u64 >= LINE {
        return Err(std::io::Error::other(format!(
            "a line is longer than {LINE} bytes"
        )));
    }
    Ok((read > 0).then_some(text))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path, line: u64, text: &str) -> Step<T> {
    serde_json::from_str(text)
        .map_err(|error| about(path, &format!("line {line} is not a line of a plan: {error}")))
}

/// What the system did not do with the file at `path`.
pub(super) fn failed(path: &Path, error: &std::io::Error) -> Stop {
    about(path, &words::system(error)).because(Cause::of_system(error.raw_os_error()))
}

/// A message about the file at `path`.
pub(super) fn about(path: &Path, why: &str) -> Stop {
    Stop::say(format!("{}: {why}", Escaped(path.as_os_str().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"fleet-plan":1,"id":"0123456789abcdef","items":2,"in-flight":null,"lanes":null,"memory":134217728,"source-format":null,"format":"raw","settings":[],"arguments":["-O","raw"]}"#;

    fn item(number: u64) -> String {
        format!(
            r#"{{"item":{number},"source":"/a","identity":{{"size":1,"inode":2,"modified":"3.000000004"}},"target":"/b"}}"#
        )
    }

    fn plan(text: &str) -> Step<Plan> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan");
        std::fs::write(&path, text).unwrap();
        Plan::open(path)
    }

    #[test]
    fn items_are_read_in_order_or_one_by_its_number() {
        let text = [HEAD, &item(0), &item(1)].join("\n");
        assert_eq!(plan(&text).unwrap().all().unwrap().len(), 2);
        let (head, second) = plan(&text).unwrap().item(1).unwrap();
        assert_eq!((head.arguments.len(), second.item), (2, 1));
        assert!(plan(&text).unwrap().item(2).is_err());
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for text in [
            String::new(),
            "{}".to_owned(),
            HEAD.replace("\"fleet-plan\":1", "\"fleet-plan\":2"),
            HEAD.replace("\"items\":2", "\"items\":10000000"),
            HEAD.replace("0123456789abcdef", "../x"),
            HEAD.replace("\"settings\"", "\"commands\""),
        ] {
            assert!(plan(&text).is_err(), "{text}");
        }
        let cut = [HEAD, &item(0)].join("\n");
        assert!(plan(&cut).unwrap().all().is_err(), "the second item is missing");
        let swapped = [HEAD, &item(1), &item(0)].join("\n");
        assert!(plan(&swapped).unwrap().all().is_err());
    }
}
