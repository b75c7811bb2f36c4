//! What kind of thing went wrong: what a caller decides by, where the words are for people.

use std::ops::RangeInclusive;

use instar_abi::errno::{EDQUOT, ENOSPC};
use instar_abi::report::{Failure, Stage};
use instar_abi::{Fault, FaultCode, fault};
use instar_engine::{OpenError, OpenErrorKind};

use crate::{Error, Refusal};

/// A kind of failure. Each has one word, which programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What was asked for makes no sense, or this image or format cannot do it.
    Arguments,
    /// A rule or a limit of the run forbids it; other settings would allow it.
    Refused,
    /// The image is broken, or not what it is said to be, or uses what is not read.
    Image,
    /// The system did not do what it was asked to; its number for the reason, if it gave one.
    System(Option<i32>),
    /// There is no space left, or no more of it for this user.
    NoSpace,
    /// Another process uses the image.
    Busy,
    /// A signal ended the run.
    Interrupted,
    /// The time is over.
    TimedOut,
    /// No sandbox can be used, or the one that was used did not end as it should.
    Sandbox,
}

impl Cause {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Refused => "refused",
            Self::Image => "image",
            Self::System(_) => "system",
            Self::NoSpace => "no-space",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed-out",
            Self::Sandbox => "sandbox",
        }
    }

    /// The system's number for the reason, where it is the system's.
    #[must_use]
    pub const fn errno(self) -> Option<i32> {
        match self {
            Self::System(number) => number,
            _ => None,
        }
    }

    /// Of an error that the system gave.
    #[must_use]
    pub fn of_system(number: Option<i32>) -> Self {
        match number.map(u64::try_from) {
            Some(Ok(ENOSPC | EDQUOT)) => Self::NoSpace,
            _ => Self::System(number),
        }
    }

    /// Of what a guest reports. A taken-over guest can name any.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        match (failure.stage, Self::of_fault(&failure.fault)) {
            // What a format says of an image that does not exist yet is said of its options.
            (Stage::Create, Self::Image) if failure.fault.code.0 > LAST_COMMON => Self::Arguments,
            (_, cause) => cause,
        }
    }

    fn of_fault(found: &Fault) -> Self {
        use fault::{bitmap, check, core, resize, stream};
        match found.code {
            core::IO
            | stream::SPOOL
            | resize::FILE
            | resize::RESERVE
            | resize::ZEROS
            | check::REPAIR_DIRTY => Self::of_system(i32::try_from(found.numbers[0]).ok()),
            code if RULES.contains(&code) => Self::Refused,
            code if REQUESTS.contains(&code) => Self::Arguments,
            core::REFUSED_LOCK => Self::Busy,
            stream::WINDOW => Self::Refused,
            core::INTERNAL => Self::Sandbox,
            bitmap::INCONSISTENT | resize::BITMAP_INCONSISTENT | resize::BLOCK_PLACE => Self::Image,
            FaultCode(code) if OF_CHANGES.iter().any(|range| range.contains(&code)) => Self::Arguments,
            _ => Self::Image,
        }
    }

    /// Of a file that was not opened.
    #[must_use]
    pub fn of_open(error: &OpenError) -> Self {
        match error.kind {
            OpenErrorKind::Open(number) | OpenErrorKind::Create(number) => {
                Self::of_system(Some(number.raw_os_error()))
            }
            OpenErrorKind::Lock(_) => Self::Busy,
            OpenErrorKind::Kind
            | OpenErrorKind::Direct
            | OpenErrorKind::Overwrites(..)
            | OpenErrorKind::TooMany => Self::Arguments,
        }
    }

    /// Of an image that was not opened.
    #[must_use]
    pub fn of_refusal(why: &Refusal) -> Self {
        match why {
            Refusal::File(error) => Self::of_open(error),
            Refusal::Input(error) => Self::of_system(error.raw_os_error()),
            Refusal::Unresolved(_, why) | Refusal::Unreachable(_, why) => Self::of_system(why.raw_os_error()),
            Refusal::DataUntrusted(_) | Refusal::DataElsewhere(_) => Self::Refused,
            Refusal::NotAFile(_)
            | Refusal::NotADevice(_)
            | Refusal::ReadOnly
            | Refusal::Shared
            | Refusal::Remote
            | Refusal::Part
            | Refusal::Terminal
            | Refusal::Begun(_)
            | Refusal::InputTwice
            | Refusal::InputChanged
            | Refusal::OutputTerminal
            | Refusal::Apart => Self::Arguments,
        }
    }
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Directory(error) => Cause::of_open(error),
            Self::Image { why, .. } => Cause::of_refusal(why),
            Self::Contradiction | Self::SecretsTooLong => Cause::Arguments,
            Self::NoRandomness(error) => Cause::of_system(error.raw_os_error()),
            Self::Signal(_) | Self::Cancelled => Cause::Interrupted,
            Self::TimedOut(_) => Cause::TimedOut,
            Self::NoLandlock
            | Self::NoSandbox { .. }
            | Self::JobNotEncoded
            | Self::JobRefused(_)
            | Self::NotConfined(_)
            | Self::Fault { .. }
            | Self::Violation { .. }
            | Self::Panicked(_)
            | Self::SandboxFailed(_) => Cause::Sandbox,
        }
    }
}

/// The last of the codes that no format owns.
const LAST_COMMON: u16 = 255;

/// The codes that say of a change, or of options for a qcow2 image, that it cannot be made.
const OF_CHANGES: &[RangeInclusive<u16>] = &[
    fault::qcow2_write::CLUSTER_SIZE.0..=0x02ff,
    fault::bitmap::NO_NAME.0..=0x09ff,
    fault::amend::UNSUPPORTED.0..=0x0aff,
    fault::resize::NOT_POSITIVE.0..=0x0bff,
];

/// What a rule or a limit forbids.
const RULES: &[FaultCode] = &[
    fault::core::REFUSED_UNTRUSTED,
    fault::core::REFUSED_OUTSIDE,
    fault::core::REFUSED_NAME,
    fault::core::REFUSED_KIND,
    fault::core::REFUSED_COUNT,
    fault::core::REFUSED_TARGET,
    fault::core::REFUSED_OUTPUT,
    fault::core::CHAIN_TOO_DEEP,
    fault::core::AMBIGUOUS_FORMAT,
    fault::core::OUT_OF_MEMORY,
    fault::core::WORK_LIMIT,
    fault::core::STREAM_LIMIT,
    fault::core::SHARED_TABLES,
    fault::core::TABLES_LIMIT,
    fault::core::LOOK_LIMIT,
    fault::core::VIRTUAL_SIZE_LIMIT,
    fault::check::WORK_LIMIT,
    fault::luks::ITERATIONS_LIMIT,
    fault::luks::MEMORY_LIMIT,
    fault::luks::PASSES_LIMIT,
];

/// What was asked for is at fault, and not the image.
const REQUESTS: &[FaultCode] = &[
    fault::partitions::NO_TABLE,
    fault::partitions::NO_GPT,
    fault::partitions::NO_BACKUP,
    fault::partitions::NO_MBR,
    fault::partitions::NO_PARTITION,
    fault::core::WINDOW_OFFSET,
    fault::core::WINDOW_LENGTH,
    fault::core::WINDOW_SECTORS,
    fault::core::BITMAP_EXISTS,
    fault::core::BITMAP_SIZES,
    fault::core::NO_SNAPSHOT,
    fault::core::SNAPSHOTS_UNSUPPORTED,
    fault::core::TARGET_TOO_LARGE,
    fault::core::TARGET_TOO_SMALL,
    fault::core::GROW_DEVICE,
    fault::core::NO_COMPRESSION,
    fault::core::NO_INFO,
    fault::core::NO_BACKING,
    fault::core::ENCRYPTED,
    fault::core::READ_ONLY,
    fault::core::READ_ONLY_FORMAT,
    fault::core::NO_SIZE,
    fault::core::NOT_PLACED,
    fault::core::RANGE_TARGET,
    fault::core::RANGE_END,
    fault::core::NO_BITMAPS,
    fault::core::SOURCE_BITMAPS,
    fault::core::NO_BACKING_FORMAT,
    fault::check::UNSUPPORTED,
    fault::luks::PASSWORD,
    fault::luks::NO_KEY,
    fault::luks::NO_SECRET,
    fault::luks::NOT_TEXT,
    fault::luks::KEY_UNEXPECTED,
    fault::luks::ENCRYPTION_UNEXPECTED,
];

#[cfg(test)]
mod tests {
    use instar_abi::report::{Failure, Stage};
    use instar_abi::{Fault, fault};

    use super::Cause;

    fn cause(stage: Stage, fault: Fault) -> Cause {
        Cause::of_failure(&Failure { stage, fault })
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_image() {
        let io = |number| Fault::new(fault::core::IO).with([number]);
        assert_eq!(cause(Stage::Write(0), io(28)), Cause::NoSpace);
        assert_eq!(cause(Stage::Finish, io(122)), Cause::NoSpace);
        assert_eq!(cause(Stage::Read(0), io(5)), Cause::System(Some(5)));
        assert_eq!(cause(Stage::Read(0), io(u64::MAX)), Cause::System(None));
    }

    #[test]
    fn the_same_words_mean_the_options_where_an_image_is_made() {
        let fault = || Fault::new(fault::qcow2::VERSION);
        assert_eq!(cause(Stage::OpenSource(0), fault()), Cause::Image);
        assert_eq!(cause(Stage::Create, fault()), Cause::Arguments);
        assert_eq!(cause(Stage::Change, fault()), Cause::Image);
    }

    #[test]
    fn verbs_that_change_images_complain_of_what_they_are_asked_for() {
        for code in [
            fault::amend::DOWN_ZSTD,
            fault::bitmap::MISSING,
            fault::resize::SHRINK,
        ] {
            assert_eq!(cause(Stage::Other, Fault::new(code)), Cause::Arguments);
        }
        assert_eq!(
            cause(Stage::Change, Fault::new(fault::resize::BLOCK_PLACE)),
            Cause::Image
        );
    }

    #[test]
    fn what_a_rule_forbids_is_refused() {
        assert_eq!(
            cause(Stage::OpenSource(0), Fault::new(fault::core::REFUSED_OUTSIDE)),
            Cause::Refused
        );
        assert_eq!(
            cause(Stage::OpenSource(0), Fault::new(fault::core::REFUSED_LOCK)),
            Cause::Busy
        );
    }
}
