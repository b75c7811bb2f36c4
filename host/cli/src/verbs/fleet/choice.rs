//! What options of `fleet` say: how images are converted, and for which engine.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::flags::Id;
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::value::number;

/// How every image of a plan is converted.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// `--to`.
    pub(super) directory: Option<PathBuf>,
    /// `--range-size`.
    pub(super) range_size: Option<u64>,
    /// `--in-flight`.
    pub(super) in_flight: Option<u64>,
    /// `-f`.
    pub(super) format: Option<OsString>,
    /// `-O`.
    pub(super) target_format: Option<OsString>,
    /// `-o`, each.
    pub(super) options: Vec<OsString>,
    /// `-c`.
    pub(super) compress: bool,
    /// `-S`.
    pub(super) sparse: Option<OsString>,
    /// `-r`.
    pub(super) rate: Option<OsString>,
    /// `-m`.
    pub(super) lanes: Option<u64>,
    /// `--checksum`; empty for the default.
    pub(super) checksum: Option<OsString>,
}

/// Largest number of items in a plan. Ours: each has a record of its own, and somebody has to look at all of them.
pub(super) const MOST_ITEMS: u64 = 1_000_000;

impl Choice {
    /// Takes an option of `fleet plan`.
    pub(super) fn take(&mut self, id: Id, value: OsString) -> Step<()> {
        match id {
            Id::To => self.directory = Some(value.into()),
            Id::RangeSize => self.range_size = Some(range_size(&value)?),
            Id::InFlight => {
                let most = number("--in-flight", &value)?;
                if most == 0 {
                    return Err(Stop::say("--in-flight expects at least 1"));
                }
                self.in_flight = Some(most);
            }
            Id::Format => self.format = Some(value),
            Id::OutputFormat => self.target_format = Some(value),
            Id::Options => self.options.push(value),
            Id::Compress => self.compress = true,
            Id::SparseSize => self.sparse = Some(value),
            Id::Rate => self.rate = Some(value),
            Id::Parallel => self.lanes = Some(number("-m", &value)?),
            Id::Checksum => self.checksum = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// The format of the targets.
    pub(super) fn target_format(&self) -> &OsStr {
        self.target_format.as_deref().unwrap_or(OsStr::new("raw"))
    }

    /// The words of `convert` that are the same for a new image and for a range of one.
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let lanes = self.lanes.map(|lanes| OsString::from(lanes.to_string()));
        let given = [
            ("-f", &self.format),
            ("-S", &self.sparse),
            ("-m", &lanes),
            ("-r", &self.rate),
        ];
        for (option, value) in given {
            if let Some(value) = value {
                words.extend([option.into(), value.clone()]);
            }
        }
        words
    }

    /// The words of `convert` that say what is made.
    pub(super) fn words_of_target(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-O".into(), self.target_format().to_owned()];
        for options in &self.options {
            words.extend(["-o".into(), options.clone()]);
        }
        if self.compress {
            words.push("-c".into());
        }
        if let Some(name) = &self.checksum {
            let mut word = OsString::from("--checksum");
            if !name.is_empty() {
                word.push("=");
                word.push(name);
            }
            words.push(word);
        }
        words
    }
}

/// What carries out a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Slurm,
    Kubernetes,
    Parallel,
}

/// A volume of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) name: String,
    /// Where it is mounted.
    pub(super) path: String,
}

impl Claim {
    /// Reads `NAME:PATH`.
    pub(super) fn parse(word: &OsStr) -> Step<Self> {
        let text = word.to_str().and_then(|text| text.split_once(':'));
        match text.map(|(name, path)| (name, path.trim_end_matches('/'))) {
            // A volume in the place of the root would hide the program.
            Some((name, path)) if is_label(name) && path.starts_with('/') => Ok(Self {
                name: name.to_owned(),
                path: path.to_owned(),
            }),
            _ => Err(Stop::say(format!(
                "--claim expects NAME:PATH, the name of a volume claim and an absolute path below /, not '{}'",
                Escaped(word.as_bytes())
            ))),
        }
    }
}

/// Whether Kubernetes takes `name` for the name of an object.
fn is_label(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !name.is_empty() && name.len() <= 253 && name.bytes().all(fits)
}

/// A whole number.
pub(super) fn number(option: &str, word: &OsStr) -> Step<u64> {
    let parsed = word.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        Stop::say(format!(
            "{option} expects a number, not '{}'",
            Escaped(word.as_bytes())
        ))
    })
}

/// Whole numbers with commas between them.
pub(super) fn numbers(option: &str, word: &OsStr) -> Step<Vec<u64>> {
    let parts = word.as_bytes().split(|byte| *byte == b',');
    parts
        .map(|part| number(option, OsStr::from_bytes(part)))
        .collect()
}

/// What ranges are multiples of. Ours: no page and no block of a shared filesystem is then written by two machines.
pub(super) const RANGE_UNIT: u64 = 1 << 20;

fn range_size(word: &OsStr) -> Step<u64> {
    match number::size(word.as_bytes()) {
        Ok(size) if size >= RANGE_UNIT && size.is_multiple_of(RANGE_UNIT) => Ok(size),
        _ => Err(Stop::say(format!(
            "--range-size expects a multiple of 1 MiB, such as 64G, not '{}'",
            Escaped(word.as_bytes())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_name_and_an_absolute_path() {
        let claim = Claim::parse("images:/srv/images/".as_ref()).unwrap();
        assert_eq!(
            (claim.name.as_str(), claim.path.as_str()),
            ("images", "/srv/images")
        );
        for bad in [
            "images",
            "images:/",
            ":/srv",
            "images:srv",
            "Images:/srv",
            "a b:/srv",
        ] {
            assert!(Claim::parse(bad.as_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_whole_mebibytes() {
        let size = |word: &str| range_size(word.as_ref());
        assert_eq!(size("64G"), Ok(64 << 30));
        for bad in ["0", "1k", "1048577", "-1M", "", "x"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn items_are_waived_by_their_numbers() {
        assert_eq!(numbers("--waive", "3,17".as_ref()), Ok(vec![3, 17]));
        for bad in ["", "3,", "3 17", "-1", "x"] {
            assert!(numbers("--waive", bad.as_ref()).is_err(), "{bad}");
        }
    }
}
