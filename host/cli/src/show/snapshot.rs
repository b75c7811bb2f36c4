//! The table of internal snapshots.

use std::fmt::Write;

use instar_abi::report::Snapshot;

use super::{Escaped, LocalTime, human_size};
use crate::json::{Json, Object};

const NANOSECONDS: u64 = 1_000_000_000;

/// What `snapshot -l` prints: nothing if there is nothing.
#[must_use]
pub fn list(snapshots: &[Snapshot], time: &LocalTime) -> String {
    let mut text = String::new();
    if !snapshots.is_empty() {
        text.push_str("Snapshot list:\n");
        table(&mut text, snapshots, time);
    }
    text
}

/// The heading and one line for each snapshot. Widths count bytes, as the reference tool's do.
pub(super) fn table(out: &mut String, snapshots: &[Snapshot], time: &LocalTime) {
    row(out, ["ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"]);
    for snapshot in snapshots {
        let seconds = snapshot.vm_clock_nsec / NANOSECONDS;
        let clock = format!(
            "{:04}:{:02}:{:02}.{:03}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            snapshot.vm_clock_nsec % NANOSECONDS / 1_000_000
        );
        row(
            out,
            [
                &Escaped(snapshot.id.as_bytes()).to_string(),
                &Escaped(snapshot.name.as_bytes()).to_string(),
                &human_size(snapshot.vm_state_size),
                &time.show(snapshot.date_sec),
                &clock,
                &snapshot
                    .icount
                    .map_or_else(String::new, |count| count.to_string()),
            ],
        );
    }
}

/// One snapshot as an object.
pub(super) fn object(snapshot: &Snapshot) -> Json {
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

fn row(out: &mut String, columns: [&str; 6]) {
    let [id, tag, size, date, clock, icount] = columns;
    left(out, id, 7);
    left(out, tag, 16);
    right(out, size, 8);
    right(out, date, 19);
    right(out, clock, 15);
    let _ = writeln!(out, "{icount:>10}");
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
