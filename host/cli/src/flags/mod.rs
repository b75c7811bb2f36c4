//! Options are data: one table a verb, from which the parser and the help pages come.

mod check;
mod checksum;
mod compare;
mod convert;
mod create;
mod dd;
mod getopt;
mod help;
mod info;
mod map;
mod measure;
mod policy;
mod sandbox;
mod snapshot;
mod trust;

pub use getopt::{Getopt, Item, UsageError};
pub use help::{top_page, verb_page};
pub use policy::FLAGS as POLICY;

use crate::verb::VerbName;

/// One option.
#[derive(Debug)]
pub struct Flag {
    /// What it means.
    pub id: Id,
    /// Its letter.
    pub short: Option<u8>,
    /// Names that the reference tool knows too. They may be abbreviated, and the first is the one shown.
    pub long: &'static [&'static str],
    /// Further names, only as a whole: abbreviations keep the meaning that scripts rely on.
    pub exact: &'static [&'static str],
    /// What its argument is called, if it takes one. In brackets: it may be left out, and else follows `=`.
    pub value: Option<&'static str>,
    /// One or more lines for people; none hides the option from help.
    pub help: &'static str,
}

/// Options that belong together on a help page.
#[derive(Debug)]
pub struct Group {
    /// Heading.
    pub title: &'static str,
    /// The options. Their order is the order in which an ambiguous abbreviation lists them.
    pub flags: &'static [Flag],
}

/// Everything about a verb but what it does.
#[derive(Debug)]
pub struct Page {
    /// Its name.
    pub name: &'static str,
    /// Which verb.
    pub verb: VerbName,
    /// One line for the list of verbs.
    pub summary: &'static str,
    /// What follows the name on the usage line.
    pub usage: &'static str,
    /// A paragraph.
    pub about: &'static str,
    /// What follows the options.
    pub operands: &'static [(&'static str, &'static str)],
    /// Its options.
    pub groups: &'static [Group],
    /// Command lines to copy, and what they do.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Every verb, in the order in which help lists them.
pub const PAGES: &[&Page] = &[
    &info::PAGE,
    &convert::PAGE,
    &dd::PAGE,
    &map::PAGE,
    &compare::PAGE,
    &snapshot::PAGE,
    &create::PAGE,
    &measure::PAGE,
    &check::PAGE,
    &checksum::PAGE,
    &trust::PAGE,
    &sandbox::PAGE,
];

impl Page {
    /// The verb of that name.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<&'static Self> {
        PAGES.iter().copied().find(|page| page.name.as_bytes() == name)
    }

    /// Its options and those that every verb takes.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> + Clone + use<> {
        self.groups.iter().flat_map(|group| group.flags).chain(POLICY)
    }
}

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table beside each says it")]
pub enum Id {
    // Everywhere.
    Help,
    Version,
    Trace,
    Object,
    // Sources.
    Format,
    ImageOpts,
    ForceShare,
    SourceCache,
    Snapshot,
    // info.
    BackingChain,
    Output,
    Safety,
    // map.
    StartOffset,
    MaxLength,
    // compare.
    RightFormat,
    Strict,
    // snapshot.
    List,
    CreateSnapshot,
    ApplySnapshot,
    DeleteSnapshot,
    // check.
    Repair,
    // trust.
    Show,
    Remove,
    // checksum.
    Algorithm,
    Checksum,
    // Targets.
    OutputFormat,
    Options,
    TargetImageOpts,
    TargetCache,
    Backing,
    BackingFormat,
    BackingUnsafe,
    Size,
    NoCreate,
    TargetIsZero,
    SparseSize,
    Compress,
    // How.
    Progress,
    Quiet,
    Parallel,
    Rate,
    OutOfOrder,
    CopyRange,
    Salvage,
    Bitmaps,
    SkipBrokenBitmaps,
    // Policy.
    AllowDir,
    UntrustedDir,
    Untrusted,
    Sandbox,
    Timeout,
    Memory,
    MaxSize,
    MaxChain,
    MaxOutput,
    QemuVersion,
    Config,
}

/// `-h`, the same on every page.
const HELP: Flag = Flag {
    id: Id::Help,
    short: Some(b'h'),
    long: &["help"],
    exact: &[],
    value: None,
    help: "show this page",
};

/// `--object`, the same for every verb that opens images.
const OBJECT: Flag = Flag {
    id: Id::Object,
    short: None,
    long: &["object"],
    exact: &[],
    value: Some("OBJECT"),
    help: "",
};

/// `-f`, for verbs that look at one image.
const FORMAT: Flag = Flag {
    id: Id::Format,
    short: Some(b'f'),
    long: &["format"],
    exact: &[],
    value: Some("FORMAT"),
    help: "its format; without this, the first bytes decide",
};

/// `--image-opts`, likewise.
const IMAGE_OPTS: Flag = Flag {
    id: Id::ImageOpts,
    short: None,
    long: &["image-opts"],
    exact: &[],
    value: None,
    help: "IMAGE is a list such as driver=qcow2,file.filename=X",
};

/// `-U`, likewise.
const FORCE_SHARE: Flag = Flag {
    id: Id::ForceShare,
    short: Some(b'U'),
    long: &["force-share"],
    exact: &[],
    value: None,
    help: "open it even while another process writes to it",
};

/// `--output`, the same for every verb that answers programs, too.
const OUTPUT: Flag = Flag {
    id: Id::Output,
    short: None,
    long: &["output"],
    exact: &[],
    value: Some("human|json"),
    help: "for people (default) or for programs",
};

/// What may stand before the verb.
pub const TOP: &[Flag] = &[
    HELP,
    Flag {
        id: Id::Version,
        short: Some(b'V'),
        long: &["version"],
        exact: &[],
        value: None,
        help: "show the version",
    },
    Flag {
        id: Id::Trace,
        short: Some(b'T'),
        long: &["trace"],
        exact: &[],
        value: Some("SPEC"),
        help: "",
    },
];

#[cfg(test)]
mod tests;
