//! The table. Nothing else asks for a number of a release.

use super::Series;

/// What some releases do and others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table says what each stands for")]
pub enum Fact {
    InfoShowsChildren,
    MapShowsCompressed,
    SnapshotErrorsAreWords,
    WideSnapshotColumns,
    NegativeSizesAreOutOfRange,
    DetachedLuksHeader,
    MissingDeviceIsExplained,
    GetoptComplains,
    ShortHint,
    BadNumbersAreQuoted,
    BadNumbersEndInAFullStop,
    LanesAreANumberLikeOthers,
    BenchNumbersAreLikeOthers,
    BenchStaysOnTheDisk,
    PlainBlockCounts,
    BadOutputIsQuoted,
    CommaBeforeNot,
    RepairIsNamed,
    SizeFollowsImage,
    BadObjectOfCompareIsMisuse,
    KeepDataFile,
    RemovesAllBitmaps,
    LuksHeaderIsDetached,
    ParallelsCountsBitmaps,
}

/// A fact, and the releases for which it holds.
#[derive(Debug)]
pub struct Row {
    pub fact: Fact,
    /// The first release that does it.
    pub since: Series,
    /// The first that does it no more.
    pub until: Option<Series>,
    /// For people: what it does, and what the others do.
    pub what: &'static str,
}

impl Row {
    pub(super) fn holds(&self, series: Series) -> bool {
        series >= self.since && self.until.is_none_or(|until| series < until)
    }
}

const fn since(since: (u16, u16), fact: Fact, what: &'static str) -> Row {
    Row {
        fact,
        since: Series(since.0, since.1),
        until: None,
        what,
    }
}

const fn between(first: (u16, u16), until: (u16, u16), fact: Fact, what: &'static str) -> Row {
    Row {
        until: Some(Series(until.0, until.1)),
        ..since(first, fact, what)
    }
}

/// Every difference that is kept, in the order of releases. What 10.0 does is what Debian's packages of it do: they have an early
/// form of the options of 10.1.
pub const FACTS: &[Row] = &[
    since(
        (8, 0),
        Fact::InfoShowsChildren,
        "`info` shows the files of an image, as `children` in JSON and `Child node` for people",
    ),
    since(
        (8, 1),
        Fact::NegativeSizesAreOutOfRange,
        "a size such as `-1` is reported as out of range; before, as not a size",
    ),
    since(
        (8, 2),
        Fact::MapShowsCompressed,
        "`map --output=json` has `compressed` for each extent",
    ),
    since(
        (8, 2),
        Fact::SnapshotErrorsAreWords,
        "`snapshot -c` fails with the words of the system's error; before, with its number, and the words in parentheses",
    ),
    since(
        (8, 2),
        Fact::ParallelsCountsBitmaps,
        "`measure` of a Parallels disk for qcow2 shows the size of its bitmaps, 0",
    ),
    since(
        (9, 0),
        Fact::DetachedLuksHeader,
        "`detached-header` is an option of luks, and `info` shows it",
    ),
    since(
        (9, 0),
        Fact::WideSnapshotColumns,
        "the list of snapshots has the columns `VM_SIZE` and `VM_CLOCK`, with four digits of hours, and `--` where there is no count of instructions; before, `VM SIZE` and `VM CLOCK`, with two, and a blank",
    ),
    since(
        (10, 0),
        Fact::GetoptComplains,
        "an unknown option is reported in getopt's words, after the verb, and the hint names the verb; before, as `unrecognized option`",
    ),
    since(
        (10, 0),
        Fact::MissingDeviceIsExplained,
        "a `host_device` to write to that is not there is reported with what to select instead; before, as a failure to open the image",
    ),
    between(
        (10, 0),
        (10, 1),
        Fact::ShortHint,
        "the hint ends in `for more info`; otherwise in `for more information`",
    ),
    since(
        (10, 0),
        Fact::BadNumbersAreQuoted,
        "an invalid number is quoted; before, two lines list the suffixes",
    ),
    between(
        (10, 0),
        (10, 1),
        Fact::BadNumbersEndInAFullStop,
        "a full stop follows such a quoted number",
    ),
    since(
        (10, 0),
        Fact::LanesAreANumberLikeOthers,
        "an invalid number for `convert -m` is reported as for other options; before, with one message for all errors",
    ),
    since(
        (10, 0),
        Fact::BenchNumbersAreLikeOthers,
        "numbers of `bench` fail as other numbers do; before, its counts with one message for all, and its step by the name `step_size`",
    ),
    between(
        (10, 0),
        (11, 0),
        Fact::PlainBlockCounts,
        "`count=` and `skip=` of `dd` are plain integers, octal after a `0`; otherwise sizes with suffixes",
    ),
    since(
        (10, 0),
        Fact::BadOutputIsQuoted,
        "an invalid value of `--output` is quoted, and a hint follows; before, one message for all errors",
    ),
    since(
        (10, 0),
        Fact::RepairIsNamed,
        "an invalid argument of `check -r` is reported under the name `--repair`",
    ),
    since(
        (10, 0),
        Fact::SizeFollowsImage,
        "`resize` takes a size with a `-` from behind the image only; before, the last word was the size, whatever it was",
    ),
    since(
        (10, 1),
        Fact::BenchStaysOnTheDisk,
        "`bench` goes on at the start of the disk before a request would pass its end; before, such a request fails",
    ),
    since(
        (10, 1),
        Fact::CommaBeforeNot,
        "messages about a value outside a list have a comma before `not`",
    ),
    since(
        (10, 2),
        Fact::BadObjectOfCompareIsMisuse,
        "`compare` with an invalid `--object` exits with 1; before, with 2",
    ),
    since(
        (11, 1),
        Fact::KeepDataFile,
        "`keep_data_file` is an option of qcow2",
    ),
    since(
        (11, 1),
        Fact::RemovesAllBitmaps,
        "`bitmap` without an action names `--remove-all` among those that there are",
    ),
    since(
        (11, 1),
        Fact::LuksHeaderIsDetached,
        "`create -o detached-header=on` of luks makes a file of the header alone; before, the option is refused",
    ),
];
