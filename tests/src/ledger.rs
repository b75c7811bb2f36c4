//! What the tests did, written down for `cargo xtask ci`: one line for each sandbox used, skip, second
//! opinion and deviation.

use instar_testkit::ledger::note;
pub use instar_testkit::ledger::{count, skip};

/// A test ran instar in a sandbox.
pub fn ran(sandbox: &str, test: &str) {
    note(&format!("sandbox {sandbox} {test}"));
}

/// A program that is neither qemu-img nor instar read what instar wrote.
pub fn opinion(reader: &str, what: &str) {
    note(&format!("opinion {reader} {what}"));
}

/// An output of instar was compared with that of a release of qemu-img.
pub fn compared(verb: &str, series: &str) {
    note(&format!("compared {series} {verb}"));
}

/// Shows a deliberate difference from qemu-img: the entry `name` of `deviations.toml`. Fails where the two do not differ.
///
/// # Panics
///
/// If the table has no such entry, or nothing differs.
pub fn deviates<T: PartialEq + std::fmt::Debug>(name: &str, reference: &T, ours: &T) {
    let table = include_str!("../deviations.toml");
    assert!(table.contains(&format!("name = \"{name}\"")), "deviations.toml has no entry {name}");
    assert!(reference != ours, "{name}: no longer a deviation, both give {ours:?}");
    note(&format!("deviation {name}"));
}
