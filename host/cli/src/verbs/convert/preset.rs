//! `--for`: a format, its options and the granularity of the size, as a cloud or a hypervisor takes them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::value::list;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What one of them takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Preset {
    /// Its name behind `--for`.
    pub(super) name: &'static str,
    /// `-O`.
    format: &'static str,
    /// `-o`.
    options: &'static [(&'static str, &'static str)],
    /// The size of the disk is a multiple of this.
    pub(super) granularity: u64,
}

/// All of them.
pub(super) const PRESETS: [Preset; 5] = [
    // Azure reads the size in the footer and takes whole mebibytes only.
    Preset {
        name: "azure",
        format: "vpc",
        options: &[("subformat", "fixed"), ("force_size", "on")],
        granularity: MIB,
    },
    Preset {
        name: "aws",
        format: "vmdk",
        options: STREAM,
        granularity: 1,
    },
    // The file is to be called disk.raw, in a tar archive that gzip has compressed.
    Preset {
        name: "gcp",
        format: "raw",
        options: &[],
        granularity: GIB,
    },
    Preset {
        name: "vmware",
        format: "vmdk",
        options: STREAM,
        granularity: 1,
    },
    Preset {
        name: "hyperv",
        format: "vhdx",
        options: &[("subformat", "dynamic")],
        granularity: 1,
    },
];

/// A VMDK that can be uploaded in one pass.
const STREAM: &[(&str, &str)] = &[("subformat", "streamOptimized"), ("adapter_type", "lsilogic")];

impl Preset {
    /// The one of that name.
    ///
    /// # Errors
    /// The message.
    pub(super) fn named(name: &[u8]) -> Step<&'static Self> {
        let found = PRESETS.iter().find(|preset| preset.name.as_bytes() == name);
        found.ok_or_else(|| {
            let names = PRESETS.map(|preset| preset.name).join(", ");
            Stop::say(format!("--for expects one of {names}, not '{}'", Escaped(name)))
        })
    }

    /// Joins what it says of the target with what the user says of it.
    ///
    /// # Errors
    /// The two contradict each other.
    pub(super) fn join(&self, format: &mut Option<OsString>, options: &mut Option<Vec<u8>>) -> Step<()> {
        let given = format.get_or_insert_with(|| self.format.into());
        if given.as_bytes() != self.format.as_bytes() {
            return Err(self.contradicts("-O", given, self.format));
        }
        let said = options.as_deref().map(list::settings).unwrap_or_default();
        for (name, value) in self.options {
            let other = said
                .iter()
                .find(|setting| setting.name == name.as_bytes() && setting.value != value.as_bytes());
            if let Some(other) = other {
                let given = OsStr::from_bytes(&other.value);
                return Err(self.contradicts(&format!("-o {name}"), given, value));
            }
            let list = options.get_or_insert_default();
            if !list.is_empty() {
                list.push(b',');
            }
            list.extend_from_slice(format!("{name}={value}").as_bytes());
        }
        Ok(())
    }

    fn contradicts(&self, option: &str, given: &OsStr, own: &str) -> Stop {
        Stop::say(format!(
            "--for {} makes an image with {option} {own}, and the command line says {}; leave out one of the two",
            self.name,
            Escaped(given.as_bytes())
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{PRESETS, Preset};

    #[test]
    fn a_preset_adds_its_options_to_those_of_the_user() {
        let azure = Preset::named(b"azure").unwrap();
        let (mut format, mut options) = (None, None);
        azure.join(&mut format, &mut options).unwrap();
        assert_eq!(format.unwrap(), "vpc");
        assert_eq!(options.unwrap(), b"subformat=fixed,force_size=on");
        let mut options = Some(b"subformat=fixed".to_vec());
        azure.join(&mut Some("vpc".into()), &mut options).unwrap();
        assert_eq!(options.unwrap(), b"subformat=fixed,subformat=fixed,force_size=on");
    }

    #[test]
    fn a_preset_and_an_option_that_says_otherwise_are_refused() {
        let azure = Preset::named(b"azure").unwrap();
        assert!(azure.join(&mut Some("raw".into()), &mut None).is_err());
        let mut options = Some(b"subformat=dynamic".to_vec());
        assert!(azure.join(&mut None, &mut options).is_err());
        assert!(Preset::named(b"moon").is_err());
        assert_eq!(PRESETS.len(), 5);
    }
}
