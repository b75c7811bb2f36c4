//! Options are data: one page a verb, from which the parser and the help come. The pages stand with their verbs, in `verbs`; here is
//! what reads and prints them, and what they have in common.

mod common;
mod getopt;
mod help;
mod policy;

pub(crate) use common::{DISK, FORCE_SHARE, FORMAT, HELP, IMAGE_OPTS, OBJECT, OUTPUT, PARTITION};
pub use getopt::{Getopt, Item, UsageError};
pub use help::{top_page, verb_page};
pub use policy::FLAGS as POLICY;

#[derive(Debug)]
pub struct Flag {
    /// What it means.
    pub id: Id,
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
    pub title: &'static str,
    /// The options. Their order is the order in which an ambiguous abbreviation lists them.
    pub flags: &'static [Flag],
}

/// Everything about a verb but what it does.
#[derive(Debug)]
pub struct Page {
    pub name: &'static str,
    /// One line for the list of verbs.
    pub summary: &'static str,
    /// What follows the name on the usage line.
    pub usage: &'static str,
    pub about: &'static str,
    /// What follows the options.
    pub operands: &'static [(&'static str, &'static str)],
    pub groups: &'static [Group],
    /// Command lines to copy, and what they do.
    pub examples: &'static [(&'static str, &'static str)],
}

impl Page {
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
    Partition,
    Disk,
    // info.
    Partitions,
    BackingChain,
    Output,
    Safety,
    Limits,
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
    // bitmap.
    AddBitmap,
    RemoveBitmap,
    RemoveAllBitmaps,
    ClearBitmap,
    EnableBitmap,
    DisableBitmap,
    MergeBitmap,
    Granularity,
    SourceFile,
    SourceFormat,
    // amend.
    Force,
    // check.
    Repair,
    // commit.
    Drop,
    // resize.
    Shrink,
    Preallocation,
    // compact.
    Trim,
    NoTrim,
    // trust.
    Show,
    Remove,
    // checksum.
    Algorithm,
    Checksum,
    // Targets.
    Preset,
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
    Range,
    RangeAt,
    Replace,
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
    // bench.
    RequestCount,
    Depth,
    BufferSize,
    StepSize,
    Aio,
    Native,
    Write,
    Pattern,
    FlushInterval,
    NoDrain,
    // fleet.
    To,
    RangeSize,
    InFlight,
    FleetItem,
    Again,
    Waive,
    Verify,
    Slurm,
    Kubernetes,
    ParallelTool,
    ContainerImage,
    Claim,
    // selftest.
    Act,
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
    Failure,
}

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
