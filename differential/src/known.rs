//! Disagreements that are rows of `tests/deviations.toml`: each row has a predicate here. What no predicate recognises is a fault.

use serde_json::Value;

use crate::case::{Case, Step};
use crate::execute::{Disagreement, Kind};
use crate::normal;

/// How a row shows.
struct Known {
    row: &'static str,
    shows: fn(&Disagreement, &Case) -> bool,
}

/// The row that explains `found`.
pub(crate) fn row(found: &Disagreement, case: &Case) -> Option<&'static str> {
    let refusals = REFUSALS
        .iter()
        .filter(|(_, words)| refused(found, words))
        .map(|(row, _)| *row);
    let others = KNOWN
        .iter()
        .filter(|known| (known.shows)(found, case))
        .map(|known| known.row);
    let theirs = THEIR_REFUSALS
        .iter()
        .filter(|(_, words)| theirs_refused(found, words))
        .map(|(row, _)| *row);
    refusals.chain(theirs).chain(others).next()
}

/// instar refuses what qemu-img takes, in these words.
fn refused(found: &Disagreement, words: &str) -> bool {
    let goes_on = found.theirs.succeeded() || found.kind == Kind::Code;
    matches!(found.kind, Kind::Accepted | Kind::Code) && goes_on && found.ours.errors().contains(words)
}

/// qemu-img refuses what instar takes, in these words.
fn theirs_refused(found: &Disagreement, words: &str) -> bool {
    let differs = found.kind == Kind::Code && found.words[0] == "compare" && found.ours.code == Some(1);
    let taken = found.kind == Kind::Accepted && found.ours.succeeded();
    (taken || differs) && found.theirs.errors().contains(words)
}

/// Rows that show in words with which instar alone refuses.
const REFUSALS: &[(&str, &str)] = &[
    ("vmdk-descriptor-place", "it must start at sector"),
    ("vmdk-descriptor-place", "the file has no VMDK descriptor"),
    ("vmdk-text-mode", "a text-mode transfer"),
    ("vmdk-compression", "or contradicts the feature flags"),
    ("vmdk-unknown-flags", "unsupported VMDK feature flags"),
    ("vmdk-ambiguous-descriptor", "invalid VMDK image descriptor"),
    ("vmdk-ambiguous-descriptor", "some programs would find"),
    ("vmdk-unknown-lines", "after it"),
    ("vmdk-grains-in-metadata", "lies inside the metadata"),
    ("vmdk-grains-in-metadata", "overlaps the header or the descriptor"),
    ("vmdk-grains-outside", "lies outside its file"),
    ("vmdk-grains-outside", "past the end of its file"),
    ("vmdk-grains-outside", "could not get cluster_offset for sector"),
    ("vmdk-size-wraps", "L1 size too big"),
    ("vmdk-stream-heads", "the compressed grain at byte"),
    ("vdi-block-extra", "extra bytes before each block"),
    ("vdi-data-in-headers", "claims that its data starts at byte"),
    ("vhd-blocks-in-headers", "inside the image's own header or tables"),
    ("vhd-disk-types", "unsupported VHD disk type"),
    ("vhdx-layout", "the VHDX log of"),
    ("vhdx-layout", "VHDX metadata item"),
    ("vhdx-layout", "the VHDX region of"),
    ("dmg-entries", "a block table says that it has"),
    ("vmdk-unnamed-parent", "is a snapshot of another disk"),
    ("bochs-short-bitmap", "has no bit for each of its"),
    ("dmg-order", "before the end of the chunk in front of it"),
    ("dmg-raw-length", "the block tables have no chunks"),
    ("qcow2-snapshots-past-end", "of the snapshot table"),
    ("source-as-target", "which this run writes to"),
    (
        "qcow2-damaged-bitmaps",
        "Invalid granularity, image may be corrupt",
    ),
    // In full it is known to every profile.
    ("option-names", "unrecognized option '--li"),
    ("image-options", "instar opens local files and"),
    ("source-as-target", "would overwrite"),
    ("source-as-target", "Failed to get shared \"write\" lock"),
];

/// Rows that show in words with which qemu-img alone refuses.
const THEIR_REFUSALS: &[(&str, &str)] = &[
    ("qcow2-damaged-snapshots", "snapshot table"),
    ("qcow2-damaged-snapshots", "Snapshot table"),
    ("qcow2-damaged-bitmaps", "bitmap"),
    ("qcow2-damaged-bitmaps", "Bitmap"),
    ("check-encrypted", "is required for cipher"),
    ("qed-small-tables", "QED table offset is invalid"),
    ("tables-as-read", "backup table"),
    ("tables-as-read", "points after the end of file"),
    ("option-names", "unrecognized option"),
    ("option-names", "invalid option"),
    (
        "parallels-cut-short",
        "Catalog size too small for advertised disk size",
    ),
    ("measure-every-format", "does not support size measurement"),
    ("resize-every-format", "does not support resize"),
];

/// What is found out earlier, or later, than by the other program, where several things are wrong.
const FIRST: &[&str] = &[
    "--image-opts and --format are mutually exclusive",
    "Unknown driver",
    "Unknown file format",
    "Invalid cache option",
    "Cannot find device=",
    "Could not create",
    "Must specify either driver or file",
    "Allocating clusters failed",
    "does not support temporarily loading internal snapshots",
    "No such file or directory",
    "instar opens local files and",
    "would overwrite",
    "which this run writes to",
    "Image is read-only",
    "force-share=on can only be used with read-only images",
    "Source lacks bitmap support",
    "unrecognized option",
    "invalid option",
    "is ambiguous; possibilities",
    "is required for cipher",
    "does not support image creation",
    "does not support size measurement",
    "does not support resize",
    "does not support option amendment",
    "Did not find",
    "Failed to set extent size hint",
    "requires a file name",
    "Invalid format name",
    "Extra argument(s) in command line",
    "Failed to get shared \"write\" lock",
];

const KNOWN: &[Known] = &[
    Known {
        row: "complete-or-absent",
        shows: |found, _| found.kind == Kind::Files && !found.theirs.succeeded(),
    },
    Known {
        row: "map-json-is-whole",
        shows: |found, _| {
            found.kind == Kind::Stdout
                && found.words[0] == "map"
                && !found.ours.succeeded()
                && is_json(&found.ours.stdout)
        },
    },
    Known {
        row: "own-help",
        shows: |found, _| found.kind == Kind::Stdout && found.theirs.stdout.starts_with(b"Usage:"),
    },
    Known {
        row: "escaped-names",
        shows: |found, _| {
            // What one instance of instar says to another is no longer known to be in its own words.
            let ours = normal::complaint(&found.ours).replace("\\x0a", "\n");
            let shown = found.kind == Kind::Stdout && found.ours.stdout.windows(2).any(|pair| pair == b"\\x");
            shown || (found.kind == Kind::Stderr && ours == normal::complaint(&found.theirs))
        },
    },
    Known {
        row: "qcow-compressed-code",
        shows: |found, case| {
            found.kind == Kind::Accepted
                && found.theirs.stderr.is_empty()
                && case.has_format("qcow")
                && has_word(found, "-c")
        },
    },
    Known {
        row: "parallels-check-ends",
        shows: |found, _| {
            found.words[0] == "check"
                && found
                    .theirs
                    .errors()
                    .contains("Check failed: Device or resource busy")
        },
    },
    Known {
        row: "vdi-map-past-end",
        shows: |found, case| refused(found, "the file ends at byte") && case.has_format("vdi"),
    },
    Known {
        row: "bochs-past-end",
        shows: |found, case| {
            refused(found, "the file ends at byte")
                && case.steps.iter().any(|step| matches!(step, Step::File(..)))
        },
    },
    Known {
        row: "parallels-outside",
        shows: |found, case| {
            let outside = ["in the header or outside the file of", "the file ends at byte"];
            outside.iter().any(|words| refused(found, words)) && case.has_format("parallels")
        },
    },
    Known {
        row: "parallels-cut-short",
        shows: |found, case| found.kind == Kind::Content && case.is_edited() && case.has_format("parallels"),
    },
    Known {
        row: "qcow-outside",
        shows: |found, case| {
            refused(found, "in the header or outside the file of") && case.has_format("qcow")
        },
    },
    Known {
        row: "vhdx-second-region-table",
        shows: |found, case| {
            let read = found.kind == Kind::Accepted && found.ours.succeeded();
            read && case.has_format("vhdx") && terse(&found.theirs.errors())
        },
    },
    Known {
        row: "check-repair-snapshots",
        shows: |found, _| {
            let taken = found.theirs.errors().contains("Repairing cluster");
            found.words[0] == "check" && taken && found.ours.succeeded() && found.ours.stderr.is_empty()
        },
    },
    Known {
        row: "failed-leaves-no-leaks",
        shows: |found, _| {
            let clean = found.ours.stdout.starts_with(b"No errors were found");
            found.words[0] == "check" && clean && found.theirs.code == Some(LEAKS)
        },
    },
    Known {
        row: "compare-damaged",
        shows: |found, case| {
            let ours = found.ours.errors();
            found.kind == Kind::Code && case.is_edited() && ours.contains("Sector allocation test failed")
        },
    },
    Known {
        row: "plainer-words",
        shows: |found, case| {
            let refused = [Kind::Stderr, Kind::Stdout].contains(&found.kind) && !found.ours.succeeded();
            refused && (case.is_edited() || terse(&found.theirs.errors()) || several(found))
        },
    },
    Known {
        row: "reads-no-refcounts",
        shows: |found, case| {
            let noted = ["further non-fatal corruption events", "chunks of unknown type"];
            let errors = found.theirs.errors();
            found.kind == Kind::Stderr && case.is_edited() && noted.iter().any(|words| errors.contains(words))
        },
    },
];

/// The exit code of `check` for leaks and nothing worse.
const LEAKS: i32 = 3;

fn has_word(found: &Disagreement, word: &str) -> bool {
    found.words.iter().any(|known| known == word)
}

/// More than one thing is wrong, and one of the programs has named another.
fn several(found: &Disagreement) -> bool {
    let both = [found.theirs.errors(), found.ours.errors()];
    FIRST
        .iter()
        .any(|words| both.iter().any(|errors| errors.contains(words)))
}

/// Messages that give an error number in place of a reason.
fn terse(errors: &str) -> bool {
    let last = errors.trim_end().rsplit(": ").next().unwrap_or_default();
    [
        "Invalid argument",
        "Operation not supported",
        "Input/output error",
    ]
    .contains(&last)
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_predicate_belongs_to_a_row_of_the_table() {
        let table = include_str!("../../tests/deviations.toml");
        let rows = super::KNOWN
            .iter()
            .map(|known| known.row)
            .chain(super::REFUSALS.iter().map(|(row, _)| *row));
        let rows = rows.chain(super::THEIR_REFUSALS.iter().map(|(row, _)| *row));
        for row in rows {
            assert!(table.contains(&format!("name = \"{row}\"")), "{row}");
        }
    }
}
