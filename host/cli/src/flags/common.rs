//! Options that are the same on the pages of several verbs.

use super::{Flag, Id};

/// `-h`, the same on every page.
pub(crate) const HELP: Flag = Flag {
    id: Id::Help,
    short: Some(b'h'),
    long: &["help"],
    exact: &[],
    value: None,
    help: "show this page",
};

/// `--object`, the same for every verb that opens images.
pub(crate) const OBJECT: Flag = Flag {
    id: Id::Object,
    short: None,
    long: &["object"],
    exact: &[],
    value: Some("OBJECT"),
    help: "",
};

/// `-f`, for verbs that look at one image.
pub(crate) const FORMAT: Flag = Flag {
    id: Id::Format,
    short: Some(b'f'),
    long: &["format"],
    exact: &[],
    value: Some("FORMAT"),
    help: "its format (default: as the first bytes say)",
};

/// `--image-opts`, for verbs that look at one image.
pub(crate) const IMAGE_OPTS: Flag = Flag {
    id: Id::ImageOpts,
    short: None,
    long: &["image-opts"],
    exact: &[],
    value: None,
    help: "IMAGE is a list such as driver=qcow2,file.filename=X",
};

/// `-U`, for verbs that look at one image.
pub(crate) const FORCE_SHARE: Flag = Flag {
    id: Id::ForceShare,
    short: Some(b'U'),
    long: &["force-share"],
    exact: &[],
    value: None,
    help: "read it even while another process writes to it",
};

/// `--partition`, the same for every verb that reads the disk inside one image.
pub(crate) const PARTITION: Flag = Flag {
    id: Id::Partition,
    short: None,
    long: &[],
    exact: &["partition"],
    value: Some("N"),
    help: "read only partition N of the disk, as info --partitions numbers them; gpt:N, backup:N and mbr:N choose a table",
};

/// `--disk`, the same for every verb that reads one disk of an image.
pub(crate) const DISK: Flag = Flag {
    id: Id::Disk,
    short: None,
    long: &[],
    exact: &["disk"],
    value: Some("DISK"),
    help: "which disk of an ova: its number, from 1, or its name (default: the only one)",
};

/// `--output`, the same for every verb that answers programs, too.
pub(crate) const OUTPUT: Flag = Flag {
    id: Id::Output,
    short: None,
    long: &["output"],
    exact: &[],
    value: Some("human|json"),
    help: "for people (default) or for programs",
};
