//! Options of new images: `-o` lists, checked against the format's table, become values of [`instar_abi::job`].
//!
//! Two steps, as the order of the reference tool's messages demands: names and types first ([`Settings::parse`]), what the
//! values mean when the image is about to be created ([`Settings::create`]).

pub mod amend;
mod driver;
mod effort;
mod encryption;
mod line;
pub mod luks;
mod qcow;
mod qcow2;
mod qed;
mod table;
mod vhdx;
mod vmdk;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{Create, ParallelsCreate, Preallocation, RawCreate, VdiCreate, VpcCreate};
use instar_abi::{Format, Slot};
use instar_engine::Wishes;

use crate::release;
use crate::value::driver::{Driver, no_creation};
use crate::value::list::{self, Setting};
use crate::value::number::{self, Bad};
pub use line::formatting;
pub(crate) use table::{FILE as FILE_OPTIONS, OptionKind, OptionRow};

/// Options whose names and types are right.
#[derive(Clone, Debug)]
pub struct Settings {
    driver: Driver,
    /// Later settings win, so they are looked up from the end.
    given: Vec<Setting>,
}

/// What a new image needs beside its options.
pub struct Surroundings<'a> {
    /// The name of the new image.
    pub name: &'a OsStr,
    /// Opens a further file that belongs to the image, by its name as it stands in the image.
    pub companion: &'a mut OpenCompanion<'a>,
    /// The virtual size, for formats whose files depend on it.
    pub size: &'a mut dyn FnMut() -> Result<u64, Vec<u8>>,
}

/// Opens a further file, or gives the reason why it cannot.
pub type OpenCompanion<'a> = dyn FnMut(&OsStr, Companion) -> Result<Slot, Vec<u8>> + 'a;

/// What becomes of a further file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Companion {
    /// It is made anew.
    New,
    /// It exists and keeps its content.
    Kept,
}

impl Settings {
    /// Checks names and types.
    ///
    /// # Errors
    /// The message; hint lines follow it.
    pub fn parse(driver: impl Into<Driver>, list: Option<&[u8]>) -> Result<Self, Vec<u8>> {
        Self::parse_on(driver, Ground::File, list)
    }

    /// As [`Settings::parse`], for an image on a file or on a device.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn parse_on(driver: impl Into<Driver>, ground: Ground, list: Option<&[u8]>) -> Result<Self, Vec<u8>> {
        let driver = driver.into();
        let rows = match ground {
            Ground::Device => driver.all_on_device(),
            Ground::Unknown | Ground::File => driver.all(),
        };
        let given = known(&rows, list)?;
        Ok(Self { driver, given })
    }

    /// Those that are known to be right.
    fn of(driver: impl Into<Driver>, given: Vec<Setting>) -> Self {
        Self {
            driver: driver.into(),
            given,
        }
    }

    /// Takes in `-B` and `-F`.
    ///
    /// # Errors
    /// The message.
    pub fn set_backing(&mut self, file: Option<&OsStr>, format: Option<&OsStr>) -> Result<(), Vec<u8>> {
        for (name, value, what) in [
            ("backing_file", file, "Backing file"),
            ("backing_fmt", format, "Backing file format"),
        ] {
            let Some(value) = value else { continue };
            if !self.driver.all().iter().any(|row| row.name == name) {
                return Err(
                    format!("{what} not supported for file format '{}'", self.driver.name()).into_bytes(),
                );
            }
            self.given.push(Setting {
                name: name.as_bytes().to_vec(),
                value: value.as_bytes().to_vec(),
                bare: false,
            });
        }
        Ok(())
    }

    /// Sets the virtual size.
    pub fn set_size(&mut self, bytes: u64) {
        self.given.push(Setting {
            name: b"size".to_vec(),
            value: bytes.to_string().into_bytes(),
            bare: false,
        });
    }

    /// What is to be made.
    #[must_use]
    pub const fn driver(&self) -> Driver {
        self.driver
    }

    #[must_use]
    pub const fn format(&self) -> Format {
        self.driver.format()
    }

    /// The value of an option, if it was given.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        self.given
            .iter()
            .rev()
            .find(|setting| setting.name == name.as_bytes())
            .map(|setting| setting.value.as_slice())
    }

    /// The value of a boolean option.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(list::boolean)
    }

    /// The value of a size option.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| number::size(text).ok())
    }

    /// The value of a number option.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| number::unsigned(text).ok())
    }

    /// Whether any space is to be reserved.
    #[must_use]
    pub fn preallocates(&self) -> bool {
        self.text("preallocation").is_some_and(|mode| mode != b"off")
    }

    /// Whether encryption is asked for.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        self.flag("encryption").unwrap_or(false) || self.text("encrypt.format").is_some()
    }

    /// Whether the format can hold compressed data with these options.
    #[must_use]
    pub const fn can_compress(&self) -> bool {
        matches!(self.format(), Format::Qcow | Format::Qcow2 | Format::Vmdk)
    }

    /// Looks at what concerns the file below, which the reference tool makes before it looks at anything else, except for
    /// VMDK.
    ///
    /// # Errors
    /// As [`Settings::create`].
    pub fn check_file(&self) -> Result<(), Vec<u8>> {
        if self.size("extent_size_hint").is_some_and(|hint| hint >= 1 << 32) {
            return Err(b"Extent size hint is too large".to_vec());
        }
        if self.format() == Format::Qcow2 {
            return Ok(());
        }
        self.measured_preallocation().map(|_| ())
    }

    /// Looks at what a device cannot do.
    ///
    /// # Errors
    /// As [`Settings::create`].
    pub fn check_device(&self) -> Result<(), Vec<u8>> {
        let qcow2 = self.format() == Format::Qcow2;
        let mode = match self.measured_preallocation() {
            // The format driver reports an invalid value.
            Err(_) if qcow2 => return Ok(()),
            mode => mode?,
        };
        let word = String::from_utf8_lossy(self.text("preallocation").unwrap_or_default());
        match mode {
            Preallocation::Off => Ok(()),
            Preallocation::Metadata if qcow2 => Ok(()),
            _ if qcow2 => Err(format!(
                "Could not resize image: Failed to resize underlying file: Preallocation mode '{word}' unsupported for this non-regular file"
            )
            .into_bytes()),
            _ => Err(format!("Unsupported preallocation mode '{word}'").into_bytes()),
        }
    }

    /// The message about an option that devices do not have.
    #[must_use]
    pub fn unknown_to_devices(&self) -> Option<Vec<u8>> {
        let unknown = ["nocow", "extent_size_hint"];
        let given = unknown.iter().find(|name| self.text(name).is_some())?;
        Some(format!("Invalid parameter '{given}'").into_bytes())
    }

    /// What the filesystem is to know of the new file.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        Wishes {
            no_cow: self.flag("nocow").unwrap_or(false),
            // Larger ones have been refused.
            extent_size: self
                .size("extent_size_hint")
                .and_then(|hint| u32::try_from(hint).ok()),
        }
    }

    /// What the values mean.
    ///
    /// # Errors
    /// The message, to follow the name of the image and what was being done.
    pub fn create(&self, around: &mut Surroundings<'_>) -> Result<Create, Vec<u8>> {
        match self.format() {
            Format::Raw => Ok(Create::Raw(RawCreate {
                preallocation: self.protocol_preallocation()?,
            })),
            Format::Qcow2 => qcow2::create(self, around).map(Create::Qcow2),
            Format::Vmdk => vmdk::create(self, around).map(Create::Vmdk),
            Format::Qed => qed::create(self).map(Create::Qed),
            Format::Qcow => qcow::create(self).map(Create::Qcow),
            Format::Parallels => {
                self.protocol_preallocation()?;
                let usual = ParallelsCreate::default();
                Ok(Create::Parallels(ParallelsCreate {
                    cluster_size: self.size("cluster_size").unwrap_or(usual.cluster_size),
                }))
            }
            Format::Vhdx => vhdx::create(self).map(Create::Vhdx),
            Format::Luks => luks::create(self).map(Create::Luks),
            Format::Vpc => {
                self.protocol_preallocation()?;
                Ok(Create::Vpc(VpcCreate {
                    fixed: self.is_fixed()?,
                    force_size: self.flag("force_size").unwrap_or(false),
                }))
            }
            Format::Vdi => {
                self.protocol_preallocation()?;
                Ok(Create::Vdi(VdiCreate {
                    static_image: self.flag("static").unwrap_or(false),
                    aligned: false,
                }))
            }
            // Refused by name, long before.
            instar_abi::read_only_formats!() => Err(no_creation(self.driver.name())),
        }
    }

    /// What the values mean to `measure`, which asks for less than `create`.
    ///
    /// # Errors
    /// The message.
    pub fn measured(&self) -> Result<Create, Vec<u8>> {
        match self.format() {
            Format::Raw => Ok(Create::Raw(RawCreate::default())),
            Format::Qcow2 => qcow2::measured(self).map(Create::Qcow2),
            _ => self.create(&mut Surroundings {
                name: OsStr::new("image"),
                companion: &mut |_, _| Ok(Slot(0)),
                size: &mut || Ok(0),
            }),
        }
    }

    /// `subformat` of the two formats that know `dynamic` and `fixed`.
    fn is_fixed(&self) -> Result<bool, Vec<u8>> {
        match self.text("subformat") {
            None | Some(b"dynamic") => Ok(false),
            Some(b"fixed") => Ok(true),
            Some(other) => Err(not_accepted("subformat", other)),
        }
    }

    fn preallocation(&self) -> Result<Preallocation, Vec<u8>> {
        match self.text("preallocation") {
            None | Some(b"off") => Ok(Preallocation::Off),
            Some(b"metadata") => Ok(Preallocation::Metadata),
            Some(b"falloc") => Ok(Preallocation::Falloc),
            Some(b"full") => Ok(Preallocation::Full),
            Some(other) => Err(not_accepted("preallocation", other)),
        }
    }

    /// `preallocation` in the words of the file below and of `measure`.
    fn measured_preallocation(&self) -> Result<Preallocation, Vec<u8>> {
        self.preallocation().map_err(|_| {
            let value = self.text("preallocation").unwrap_or_default();
            [b"invalid parameter value: ".as_slice(), value].concat()
        })
    }

    /// `preallocation` of formats that hand it to the file below.
    fn protocol_preallocation(&self) -> Result<Preallocation, Vec<u8>> {
        match self.measured_preallocation()? {
            Preallocation::Metadata => Err(b"Unsupported preallocation mode: metadata".to_vec()),
            mode => Ok(mode),
        }
    }
}

/// What lies below a new image, for `-o help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing was said of it.
    Unknown,
    File,
    Device,
}

/// What `-o help` prints. With a target's name, the options of what lies below are included.
#[must_use]
pub fn help(driver: impl Into<Driver>, ground: Ground) -> String {
    let driver = driver.into();
    let with_file = ground != Ground::Unknown;
    let mut rows = match ground {
        Ground::Unknown => driver.rows(),
        Ground::File => driver.all(),
        Ground::Device => driver.all_on_device(),
    };
    let mut text = if with_file {
        "Supported options:\n".to_owned()
    } else {
        format!("Supported {} options:\n", driver.name())
    };
    rows.retain(|row| row.since.is_none_or(release::has));
    text.push_str(&listed(rows));
    if !with_file {
        text.push_str(
            "\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n",
        );
    }
    text
}

/// What images of a format can be made with, without the options of the file below.
pub(crate) fn own_options(format: Format) -> Vec<&'static OptionRow> {
    Driver::Format(format).rows()
}

/// Options, one a line.
fn listed(mut rows: Vec<&OptionRow>) -> String {
    rows.sort_by_key(|row| row.name);
    let line = |row: &OptionRow| {
        let left = format!("{}=<{}>", row.name, row.kind.name());
        format!("  {left:<22} - {}\n", row.help)
    };
    rows.into_iter().map(line).collect()
}

/// The settings of a list, if all have names in `rows` and values of their type.
fn known(rows: &[&OptionRow], list: Option<&[u8]>) -> Result<Vec<Setting>, Vec<u8>> {
    let given = list.map(list::settings).unwrap_or_default();
    for setting in &given {
        let row = rows
            .iter()
            .find(|row| row.name.as_bytes() == setting.name)
            .ok_or_else(|| [b"Invalid parameter '".as_slice(), &setting.name, b"'"].concat())?;
        check_type(row, &setting.value)?;
    }
    Ok(given)
}

fn check_type(row: &OptionRow, value: &[u8]) -> Result<(), Vec<u8>> {
    let name = row.name;
    let outcome = match row.kind {
        OptionKind::Text => return Ok(()),
        OptionKind::Bool => {
            return list::boolean(value)
                .map(|_| ())
                .ok_or_else(|| format!("Parameter '{name}' expects 'on' or 'off'").into_bytes());
        }
        OptionKind::Size => number::size(value),
        OptionKind::Number => number::unsigned(value),
    };
    match (outcome, row.kind) {
        (Ok(_), _) => Ok(()),
        (Err(bad), OptionKind::Size) => Err(number::bad_parameter(name, value, bad)),
        (Err(Bad::Form), _) => Err(format!("Parameter '{name}' expects a number").into_bytes()),
        (Err(Bad::Range), _) => Err([
            b"Value '",
            value,
            b"' is too large for parameter '",
            name.as_bytes(),
            b"'",
        ]
        .concat()),
    }
}

fn not_accepted(name: &str, value: &[u8]) -> Vec<u8> {
    [
        b"Parameter '".as_slice(),
        name.as_bytes(),
        b"' does not accept value '",
        value,
        b"'",
    ]
    .concat()
}

#[cfg(test)]
mod tests;
