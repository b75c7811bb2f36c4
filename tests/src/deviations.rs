//! The table of deliberate differences from qemu-img, and which of them the installed release shows.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::reference::Reference;

#[derive(Deserialize)]
struct Table {
    deviation: Vec<Row>,
}

/// What tests need of a row.
#[derive(Deserialize)]
struct Row {
    name: String,
    /// The first release that it is about.
    since: Option<String>,
    /// The first that it is no longer about.
    before: Option<String>,
}

/// Whether the row is about the release of qemu-img on the path.
///
/// # Panics
///
/// If there is no such row.
#[must_use]
pub fn is_about_installed(name: &str) -> bool {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| toml::from_str(include_str!("../deviations.toml")).unwrap());
    let row = table.deviation.iter().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("deviations.toml has no entry {name}"));
    let installed = numbers(&Reference::installed().series);
    row.since.as_deref().is_none_or(|since| installed >= numbers(since))
        && row.before.as_deref().is_none_or(|before| installed < numbers(before))
}

/// `10.1`, so that it can be compared.
fn numbers(series: &str) -> Vec<u32> {
    series.split('.').map(|number| number.parse().unwrap()).collect()
}
