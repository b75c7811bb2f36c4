//! `check`: the counters for people and as JSON.

use std::fmt::Write;

use instar_abi::report::Checked;

use crate::json::{Json, Object};

pub(super) fn human(checked: &Checked) -> String {
    let mut text = String::new();
    if checked.corruptions == 0 && checked.leaks == 0 && checked.check_errors == 0 {
        text.push_str("No errors were found on the image.\n");
    }
    for (count, what) in [
        (
            checked.corruptions,
            "errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.",
        ),
        (
            checked.leaks,
            "leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.",
        ),
        (
            checked.check_errors,
            "internal errors have occurred during the check.",
        ),
    ] {
        if count != 0 {
            let _ = writeln!(text, "\n{count} {what}");
        }
    }
    if checked.total_clusters != 0 && checked.allocated_clusters != 0 {
        let _ = writeln!(
            text,
            "{}/{} = {:.2}% allocated, {:.2}% fragmented, {:.2}% compressed clusters",
            checked.allocated_clusters,
            checked.total_clusters,
            percent(checked.allocated_clusters, checked.total_clusters),
            percent(checked.fragmented_clusters, checked.allocated_clusters),
            percent(checked.compressed_clusters, checked.allocated_clusters),
        );
    }
    if checked.image_end_offset != 0 {
        let _ = writeln!(text, "Image end offset: {}", checked.image_end_offset);
    }
    text
}

/// What was repaired, for people, before a second look is shown.
pub(super) fn repaired(checked: &Checked) -> String {
    format!(
        "The following inconsistencies were found and repaired:\n\n    {} leaked clusters\n    {} corruptions\n\n\
         Double checking the fixed image now...\n",
        checked.leaks_fixed, checked.corruptions_fixed
    )
}

/// For programs: counters that are 0 are left out, but for one.
pub(super) fn json(checked: &Checked, name: &[u8], format: &str) -> Json {
    let some = |count: u64| (count != 0).then_some(count);
    Object::new()
        .with("filename", name)
        .with("format", format)
        .with("check-errors", checked.check_errors)
        .with_some("image-end-offset", some(checked.image_end_offset))
        .with_some("corruptions", some(checked.corruptions))
        .with_some("leaks", some(checked.leaks))
        .with_some("corruptions-fixed", some(checked.corruptions_fixed))
        .with_some("leaks-fixed", some(checked.leaks_fixed))
        .with_some("total-clusters", some(checked.total_clusters))
        .with_some("allocated-clusters", some(checked.allocated_clusters))
        .with_some("fragmented-clusters", some(checked.fragmented_clusters))
        .with_some("compressed-clusters", some(checked.compressed_clusters))
        .into()
}

/// Counts are below 2^53, where this is exact enough for two digits.
#[allow(clippy::cast_precision_loss, reason = "two digits are printed of a ratio")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
