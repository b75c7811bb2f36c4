//! Which releases of qemu-img can be started here: the one on the path, and those that `cargo xtask references` fetched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use instar_testkit::oracle;

use crate::{Outcome, ledger};

/// The releases that instar can stand in for, as `--qemu-version` names them.
pub const PROFILES: [&str; 3] = ["7.2", "10.0", "11.1"];

/// What tells instar which release to stand in for.
pub const VARIABLE: &str = "INSTAR_QEMU_VERSION";

/// A release of qemu-img that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its first two numbers.
    pub series: String,
    pub version: String,
    /// Where its programs are; none: on the path.
    bin: Option<PathBuf>,
}

impl Reference {
    /// The qemu-img on the path or, where that is no 10.0, one that was fetched, which the tests are written beside.
    ///
    /// # Panics
    ///
    /// If it is missing, or does not print its version.
    #[must_use]
    pub fn installed() -> &'static Self {
        static INSTALLED: OnceLock<Reference> = OnceLock::new();
        INSTALLED.get_or_init(|| Self::at(None).expect("qemu-img says its version"))
    }

    /// Every release that can be started, one a series: those that were fetched, and the installed one.
    #[must_use]
    pub fn live() -> &'static [Self] {
        static LIVE: OnceLock<Vec<Reference>> = OnceLock::new();
        LIVE.get_or_init(|| {
            let mut live: Vec<Self> =
                PROFILES.iter().filter_map(|series| Self::at(Some(fetched(series)))).collect();
            let installed = Self::installed();
            if !live.iter().any(|known| known.series == installed.series) {
                live.push(installed.clone());
            }
            live
        })
    }

    /// The release that stands for a profile, if it can be started here.
    #[must_use]
    pub fn of(profile: &str) -> Option<&'static Self> {
        Self::live().iter().find(|known| known.series == profile)
    }

    /// `PATH` with the installed release in front, for what starts it by its name.
    ///
    /// # Panics
    ///
    /// If there is no `PATH`.
    #[must_use]
    pub fn search_path() -> OsString {
        let all = std::env::var_os("PATH").unwrap();
        let bin = oracle::release().map(Path::to_owned);
        std::env::join_paths(bin.into_iter().chain(std::env::split_paths(&all))).unwrap()
    }

    fn at(bin: Option<PathBuf>) -> Option<Self> {
        let named = |bin: &PathBuf| bin.join("qemu-img");
        if bin.as_ref().map(named).is_some_and(|program| !program.exists()) {
            return None;
        }
        let program = bin.as_ref().map_or_else(|| "qemu-img".into(), named);
        let outcome = Outcome::of(oracle::program(program).arg("--version"));
        let text = outcome.text();
        let version = text.strip_prefix("qemu-img version ")?.split_whitespace().next()?;
        let series: Vec<&str> = version.split('.').take(2).collect();
        Some(Self {
            series: series.join("."),
            version: version.to_owned(),
            bin,
        })
    }

    /// One of its programs, for example `qemu-img`.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        match &self.bin {
            Some(bin) => oracle::program(bin.join(name)),
            None => oracle::program(name),
        }
    }

    /// The profile under which instar is compared with it. A release without one is found by the package that is installed.
    #[must_use]
    pub fn profile(&self) -> &str {
        if PROFILES.contains(&self.series.as_str()) {
            &self.series
        } else {
            "auto"
        }
    }
}

fn fetched(series: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/references")).join(series).join("bin")
}

/// The installed release and we do not have the same names of options, because we take those of every release, or it is built with
/// other kinds of objects: then there is nothing to compare.
#[must_use]
pub fn lacks_option(theirs: &Outcome, ours: &Outcome) -> bool {
    let installed = Reference::installed();
    let complaints = [
        "unrecognized option",
        "invalid option",
        "is ambiguous",
        "'qom-type'",
        "does not support the option",
    ];
    let complains = |outcome: &Outcome| complaints.iter().any(|words| outcome.errors().contains(words));
    let lists_objects = theirs.text().starts_with("List of user creatable objects");
    let differ = theirs.code() != ours.code() || theirs.message() != ours.message();
    let about_names = differ && (complains(theirs) || complains(ours));
    if installed.series == "10.0" || !(about_names || lists_objects) {
        return false;
    }
    ledger::skip(&format!("qemu-img {} has not all the names of options that we take", installed.series));
    true
}

/// What every instar that is compared with the installed qemu-img gets in its environment.
#[must_use]
pub fn environment() -> [(&'static str, String); 1] {
    [(VARIABLE, Reference::installed().profile().to_owned())]
}
