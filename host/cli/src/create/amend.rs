//! Options of an image that exists: what `amend` takes.

use instar_abi::job::{Amend, AmendKeys, KeyState};
use instar_abi::{Format, ImageText};

use super::table::{self, OptionRow};
use super::{Settings, effort, known, listed, luks};
use crate::value::list::Setting;

/// What `-o help` prints for the driver of that name, if it has anything to amend.
#[must_use]
pub fn help(driver: &[u8]) -> Option<String> {
    let format = Format::from_name(driver)?;
    let rows = options(format);
    (!rows.is_empty()).then(|| format!("Amend options for '{}':\n{}", format.name(), listed(rows)))
}

/// What images of a format can be amended by.
pub(crate) fn options(format: Format) -> Vec<&'static OptionRow> {
    match format {
        Format::Qcow2 => qcow2_rows(),
        Format::Luks => table::LUKS_AMEND.iter().collect(),
        _ => Vec::new(),
    }
}

/// What a list wants of a qcow2 image.
///
/// # Errors
/// The message; hint lines follow it.
pub fn parse(list: &[u8]) -> Result<Amend, Vec<u8>> {
    let rows = qcow2_rows();
    let given = given(&rows, table::rows(Format::Qcow2), list)?;
    let settings = Settings::of(Format::Qcow2, given);
    let text = |name| settings.text(name).map(<[u8]>::to_vec);
    let encryption = rows
        .iter()
        .any(|row| row.name.starts_with("encrypt.") && settings.text(row.name).is_some());
    Ok(Amend {
        encryption: encryption.then(|| slots(&settings, "encrypt.")).transpose()?,
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

/// What a list wants of the key slots of a LUKS disk.
///
/// # Errors
/// The message; hint lines follow it.
pub fn keys(list: &[u8]) -> Result<AmendKeys, Vec<u8>> {
    let rows: Vec<&OptionRow> = table::LUKS_AMEND.iter().collect();
    let given = given(&rows, table::rows(Format::Luks), list)?;
    slots(&Settings::of(Format::Luks, given), "")
}

/// What settings whose names begin with `prefix` want of key slots.
fn slots(settings: &Settings, prefix: &str) -> Result<AmendKeys, Vec<u8>> {
    let full = |name| format!("{prefix}{name}");
    let text = |name| settings.text(&full(name)).map(ImageText::new);
    let state = match settings.text(&full("state")) {
        None => KeyState::Unsaid,
        Some(b"active") => KeyState::Active,
        Some(b"inactive") => KeyState::Inactive,
        Some(other) => KeyState::Unknown(ImageText::new(other)),
    };
    Ok(AmendKeys {
        speeds: match state {
            KeyState::Active => effort::speeds(luks::iter_time(settings, prefix)?),
            _ => Vec::new(),
        },
        state,
        new: text("new-secret"),
        old: text("old-secret"),
        // The reference tool keeps so many bits.
        slot: settings.number(&full("keyslot")).map(low_bits),
        timed: settings.number(&full("iter-time")).is_some(),
        force: false,
    })
}

/// The lower half.
fn low_bits(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// The settings of a list of options that an image can be amended by; `new` are those that it can be made with.
fn given(rows: &[&OptionRow], new: &'static [OptionRow], list: &[u8]) -> Result<Vec<Setting>, Vec<u8>> {
    known(rows, Some(list)).map_err(|why| {
        let all: Vec<&OptionRow> = rows.iter().copied().chain(new).collect();
        let hint: &[u8] = if known(&all, Some(list)).is_ok() {
            b"\nThis option is only supported for image creation"
        } else {
            b""
        };
        [why.as_slice(), hint].concat()
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
