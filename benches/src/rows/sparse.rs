//! Large empty disks, and many layers.

use super::Row;
use super::plain::plain;

const fn nothing(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    goal: f64,
) -> Row {
    Row {
        conversion: false,
        goal: Some(goal),
        ..plain(name, needs, words, 9, &[])
    }
}

pub(super) const ROWS: &[Row] = &[
    nothing(
        "empty 1 TiB disk, qcow2 to raw",
        &["tera.qcow2"],
        &["convert", "-O", "raw", "@tera.qcow2", "@"],
        0.4,
    ),
    nothing(
        "empty 1 TiB disk, raw to qcow2",
        &["tera.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@tera.raw", "@"],
        0.4,
    ),
    nothing(
        "empty 10 TiB disk, qcow2 to raw",
        &["tera10.qcow2"],
        &["convert", "-O", "raw", "@tera10.qcow2", "@"],
        0.3,
    ),
    nothing(
        "empty 10 TiB disk, raw to qcow2",
        &["tera10.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@tera10.raw", "@"],
        0.3,
    ),
    Row {
        goal: Some(0.4),
        conversion: false,
        ..plain(
            "a chain of 200 to raw",
            &["deep-199.qcow2"],
            &["convert", "-O", "raw", "@deep-199.qcow2", "@"],
            7,
            &[],
        )
    },
];
