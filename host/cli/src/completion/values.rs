//! What can follow an option, as far as it is known beforehand.

use instar_abi::Format;
use instar_abi::partitions::TableChoice;

use crate::create::{self, FILE_OPTIONS, OptionKind, OptionRow};
use crate::flags::{Flag, Id, Page};
use crate::value::cache::CacheMode;
use crate::verbs::shared::ALGORITHMS;

/// What an argument of an option can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Words(Vec<&'static str>),
    /// `name=value,name=value`, of the format that the line names.
    Keys,
    File,
    Directory,
    Anything,
}

/// An argument of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) value: Value,
    /// It may be left out, and else follows `=`.
    pub(super) optional: bool,
}

/// What follows an option of the verb on `page`; nothing if it takes no argument. Before the verb there is no page.
pub(super) fn of(page: Option<&Page>, flag: &Flag) -> Option<Argument> {
    let label = flag.value?;
    Some(Argument {
        value: value(page.map_or("", |page| page.name), flag.id, label),
        optional: label.starts_with('['),
    })
}

fn value(verb: &str, id: Id, label: &'static str) -> Value {
    let words = |words: &[&'static str]| Value::Words(words.to_vec());
    match id {
        Id::OutputFormat => Value::Words(written()),
        Id::Format if verb == "create" => Value::Words(written()),
        Id::Format | Id::RightFormat | Id::BackingFormat | Id::SourceFormat => {
            Value::Words(Format::ALL.into_iter().map(Format::name).collect())
        }
        Id::SourceCache | Id::TargetCache => words(&CacheMode::NAMES),
        Id::Options => Value::Keys,
        Id::Algorithm | Id::Checksum => Value::Words(ALGORITHMS.map(|algorithm| algorithm.name()).to_vec()),
        Id::Aio => words(&["threads", "native", "io_uring"]),
        Id::Preallocation => words(&["off", "metadata", "falloc", "full"]),
        Id::Output => words(&["human", "json"]),
        Id::Progress => words(&["json"]),
        Id::Partitions => Value::Words(TableChoice::NAMED.map(|(name, _)| name).to_vec()),
        Id::Backing | Id::SourceFile | Id::Config => Value::File,
        Id::AllowDir | Id::UntrustedDir | Id::To => Value::Directory,
        _ if label.contains('|') => Value::Words(label.split('|').collect()),
        _ => Value::Anything,
    }
}

/// Names of formats in which images can be made.
fn written() -> Vec<&'static str> {
    let formats = Format::ALL.into_iter().filter(|format| !format.is_read_only());
    formats.map(Format::name).collect()
}

/// The words of which a verb takes one before its operands, such as those of `fleet`.
pub(super) fn commands(page: &Page) -> Vec<&'static str> {
    let heads = page
        .operands
        .iter()
        .filter_map(|(operand, _)| Some(operand.split_once(' ')?.0));
    let mut words: Vec<&str> = heads
        .filter(|head| head.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect();
    words.dedup();
    words
}

/// What a list of options can contain.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// Its values, if they are known.
    pub(super) values: Vec<&'static str>,
}

/// The options of new images, format by format.
pub(super) fn of_new_images() -> impl Iterator<Item = (&'static str, Vec<Key>)> {
    let formats = Format::ALL.into_iter().filter(|format| !format.is_read_only());
    formats.map(|format| {
        let own = create::own_options(format);
        let below = FILE_OPTIONS
            .iter()
            .filter(|row| !own.iter().any(|known| known.name == row.name));
        (format.name(), own.iter().copied().chain(below).map(key).collect())
    })
}

/// The options of images that exist.
pub(super) fn of_existing_images() -> impl Iterator<Item = (&'static str, Vec<Key>)> {
    Format::ALL.into_iter().filter_map(|format| {
        let keys: Vec<Key> = create::amend::options(format).into_iter().map(key).collect();
        (!keys.is_empty()).then_some((format.name(), keys))
    })
}

fn key(row: &'static OptionRow) -> Key {
    let listed = row.help.split_once("(allowed values: ");
    let values = match (row.kind, listed) {
        (OptionKind::Bool, _) => vec!["on", "off"],
        (_, Some((_, tail))) => tail.trim_end_matches(')').split(", ").collect(),
        _ => Vec::new(),
    };
    Key {
        name: row.name,
        text: row.help.trim_end(),
        values,
    }
}

/// The names of the option that says of which format a list of options is, and the format without that option.
pub(super) fn decides_format(page: &Page) -> Option<(&'static Flag, &'static str)> {
    page.flags().find(|flag| flag.id == Id::Options)?;
    let (id, default) = match page.name {
        "create" => (Id::Format, "raw"),
        "amend" => (Id::Format, "qcow2"),
        _ => (Id::OutputFormat, "raw"),
    };
    page.flags()
        .find(|flag| flag.id == id)
        .map(|flag| (flag, default))
}
