//! Slurm out of the packages of this machine's distribution, unpacked below `target/slurm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, IMPATIENT, Machine, make, remove, write};
use crate::run::output;
use crate::workspace;

/// The daemons, what submits to them, what they load, and how they know each other.
const PACKAGES: &[&str] = &[
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "munge",
];

/// Where packages keep libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Packages, unpacked.
#[derive(Debug)]
pub(super) struct Packages {
    root: PathBuf,
}

impl Packages {
    /// Fetches them, if they are not there.
    pub(super) fn fetch() -> Result<Self, String> {
        let place = workspace::root().join("target/slurm");
        make(&place)?;
        let place = place
            .canonicalize()
            .map_err(|error| format!("{}: {error}", place.display()))?;
        let packages = Self {
            root: place.join("root"),
        };
        let machine = Machine::look()?;
        let wanted = format!("{} {}\n", machine.codename, PACKAGES.join(" "));
        let done = place.join("packages");
        let fetched = std::fs::read_to_string(&done).is_ok_and(|text| text == wanted);
        if !fetched || packages.version().is_err() {
            packages.unpack(&machine, &place.join("apt"))?;
            packages.version()?;
            write(&done, &wanted)?;
        }
        Ok(packages)
    }

    /// What the machine has installed already is not fetched again, except for the packages themselves.
    fn unpack(&self, machine: &Machine, directory: &Path) -> Result<(), String> {
        let archive = machine.archives.first().ok_or("apt has no archive")?;
        println!("── fetching {}", PACKAGES.join(", "));
        let lines = archive.lines([machine.codename.as_str()], archive.components());
        let apt = Apt::at(directory, &lines, IMPATIENT)?;
        apt.update()?;
        let options = [
            "Dir::State::status=/var/lib/dpkg/status",
            "APT::Get::ReInstall=true",
        ];
        let files = apt.download(PACKAGES, None, &options.map(str::to_owned))?;
        remove(&self.root)?;
        make(&self.root)?;
        for file in files {
            output(Command::new("dpkg").arg("-x").args([&file, &self.root]))?;
        }
        remove(directory)
    }

    /// The version that a program of the packages prints: it can be started.
    pub(super) fn version(&self) -> Result<String, String> {
        let line = output(self.command("slurmctld")?.arg("-V"))?;
        Ok(line.trim().to_owned())
    }

    /// Starts a program of the packages, with their libraries.
    pub(super) fn command(&self, program: &str) -> Result<Command, String> {
        let mut command = Command::new(self.program(program)?);
        let libraries = [self.root.join(LIBRARIES), self.plugins()];
        let path = std::env::join_paths(libraries).map_err(|error| error.to_string())?;
        command.env("LD_LIBRARY_PATH", path);
        Ok(command)
    }

    /// A program, by the name that it has in Slurm: packages may add to it.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf, String> {
        ["usr/bin", "usr/sbin"]
            .iter()
            .flat_map(|directory| [format!("{directory}/{name}"), format!("{directory}/{name}-wlm")])
            .map(|path| self.root.join(path))
            .find(|path| path.is_file())
            .ok_or_else(|| format!("{}: there is no {name}", self.root.display()))
    }

    /// What the daemons load.
    pub(super) fn plugins(&self) -> PathBuf {
        self.root.join(LIBRARIES).join("slurm-wlm")
    }
}
