//! The table of internal snapshots.

use std::fmt::Write;

use instar_abi::report::Snapshot;

use super::{Escaped, LocalTime, human_size};
use crate::json::{Json, Object};
use crate::release::{self, Fact};

const NANOSECONDS: u64 = 1_000_000_000;

/// What `snapshot -l` prints: nothing if there is nothing.
pub(crate) fn list(snapshots: &[Snapshot], time: &LocalTime) -> String {
    let mut text = String::new();
    if !snapshots.is_empty() {
        text.push_str("Snapshot list:\n");
        table(&mut text, snapshots, time);
    }
    text
}

/// The heading and one line for each snapshot. Widths count bytes, as the reference tool's do.
pub(crate) fn table(out: &mut String, snapshots: &[Snapshot], time: &LocalTime) {
    let wide = release::has(Fact::WideSnapshotColumns);
    let absent = if wide { "--" } else { "" };
    let (widths, size, clock) = if wide {
        (WIDE, "VM_SIZE", "VM_CLOCK")
    } else {
        (NARROW, "VM SIZE", "VM CLOCK")
    };
    row(out, widths, ["ID", "TAG", size, "DATE", clock, "ICOUNT"]);
    for snapshot in snapshots {
        let seconds = snapshot.vm_clock_nsec / NANOSECONDS;
        let clock = format!(
            "{:0hours$}:{:02}:{:02}.{:03}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            snapshot.vm_clock_nsec % NANOSECONDS / 1_000_000,
            hours = if wide { 4 } else { 2 }
        );
        row(
            out,
            widths,
            [
                &Escaped(snapshot.id.as_bytes()).to_string(),
                &Escaped(snapshot.name.as_bytes()).to_string(),
                &human_size(snapshot.vm_state_size),
                &time.show(snapshot.date_sec),
                &clock,
                &snapshot
                    .icount
                    .map_or_else(|| absent.to_owned(), |count| count.to_string()),
            ],
        );
    }
}

/// One snapshot as an object.
pub(crate) fn object(snapshot: &Snapshot) -> Json {
    Object::new()
        .with("id", snapshot.id.as_bytes())
        .with("name", snapshot.name.as_bytes())
        .with("vm-state-size", snapshot.vm_state_size)
        .with("date-sec", snapshot.date_sec)
        .with("date-nsec", snapshot.date_nsec)
        .with("vm-clock-sec", snapshot.vm_clock_nsec / NANOSECONDS)
        .with("vm-clock-nsec", snapshot.vm_clock_nsec % NANOSECONDS)
        .with_some("icount", snapshot.icount)
        .into()
}

/// Widths of the columns.
type Widths = [usize; 6];

const WIDE: Widths = [7, 16, 8, 19, 15, 10];
/// The same before [`Fact::WideSnapshotColumns`].
const NARROW: Widths = [9, 16, 8, 19, 12, 10];

fn row(out: &mut String, widths: Widths, columns: [&str; 6]) {
    let [id, tag, size, date, clock, icount] = columns;
    let [
        id_width,
        tag_width,
        size_width,
        date_width,
        clock_width,
        icount_width,
    ] = widths;
    left(out, id, id_width);
    left(out, tag, tag_width);
    right(out, size, size_width);
    right(out, date, date_width);
    right(out, clock, clock_width);
    let _ = writeln!(out, "{icount:>icount_width$}");
}

fn left(out: &mut String, text: &str, width: usize) {
    out.push_str(text);
    blanks(out, width.saturating_sub(text.len()) + 1);
}

fn right(out: &mut String, text: &str, width: usize) {
    blanks(out, width.saturating_sub(text.len()));
    out.push_str(text);
    out.push(' ');
}

fn blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}
