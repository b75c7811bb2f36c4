//! Options of an image that exists: what `amend` takes.

use instar_abi::Format;
use instar_abi::job::Amend;

use super::table::{self, OptionRow};
use super::{Settings, known, listed};

/// What `-o help` prints for the driver of that name, if it has anything to amend.
#[must_use]
pub fn help(driver: &[u8]) -> Option<String> {
    let (name, rows) = match driver {
        b"qcow2" => ("qcow2", qcow2_rows()),
        b"luks" => ("luks", table::LUKS_AMEND.iter().collect()),
        _ => return None,
    };
    Some(format!("Amend options for '{name}':\n{}", listed(rows)))
}

/// What a list wants of a qcow2 image.
///
/// # Errors
/// The message; hint lines follow it.
pub fn parse(list: &[u8]) -> Result<Amend, Vec<u8>> {
    let rows = qcow2_rows();
    let given = known(&rows, Some(list)).map_err(|why| {
        let all: Vec<&OptionRow> = rows.iter().copied().chain(table::rows(Format::Qcow2)).collect();
        let hint: &[u8] = if known(&all, Some(list)).is_ok() {
            b"\nThis option is only supported for image creation"
        } else {
            b""
        };
        [why.as_slice(), hint].concat()
    })?;
    let settings = Settings::of(Format::Qcow2, given);
    let text = |name| settings.text(name).map(<[u8]>::to_vec);
    let encryption = rows
        .iter()
        .any(|row| row.name.starts_with("encrypt.") && settings.text(row.name).is_some());
    Ok(Amend {
        encryption,
        size: settings.size("size"),
        compat: text("compat"),
        backing_file: text("backing_file"),
        backing_format: text("backing_fmt"),
        data_file: text("data_file"),
        data_file_raw: settings.flag("data_file_raw"),
        lazy_refcounts: settings.flag("lazy_refcounts"),
        refcount_bits: settings.number("refcount_bits"),
        force: false,
        apart: Vec::new(),
    })
}

/// The options of a qcow2 image that can be amended.
fn qcow2_rows() -> Vec<&'static OptionRow> {
    let shared = table::rows(Format::Qcow2).iter();
    let shared = shared.filter(|row| SHARED.contains(&row.name));
    table::QCOW2_AMEND.iter().chain(shared).collect()
}

/// Those that a new image has, too.
const SHARED: &[&str] = &[
    "size",
    "compat",
    "backing_file",
    "backing_fmt",
    "data_file",
    "data_file_raw",
    "lazy_refcounts",
    "refcount_bits",
];
