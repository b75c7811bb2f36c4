//! apt with lists, a cache and an empty record of installed packages of its own: it touches nothing of the system.

mod machine;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::output;

pub(crate) use machine::{Archive, Machine};

/// Packages are loaded without those that are merely recommended: no test and no writer asks for them.
const WITHOUT: &str = "--no-install-recommends";

/// A mirror that does not answer is given up soon: the tests do without what it has.
pub(crate) const IMPATIENT: &str =
    "Acquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\nDebug::NoLocking \"true\";\n";

/// One such apt.
#[derive(Debug)]
pub(crate) struct Apt {
    place: PathBuf,
}

impl Apt {
    /// Writes its configuration into `place`: with the lines of `sources`, and with `settings` beside those that keep it apart.
    /// As nothing is installed, apt thinks that everything is needed.
    pub(crate) fn at(place: &Path, sources: &str, settings: &str) -> Result<Self, String> {
        for name in ["lists/partial", "cache/archives/partial"] {
            make(&place.join(name))?;
        }
        let place = place
            .canonicalize()
            .map_err(|error| format!("{}: {error}", place.display()))?;
        let shown = place.display();
        let configuration = format!(
            "Dir::State \"{shown}\";\nDir::State::lists \"{shown}/lists\";\nDir::State::status \"{shown}/status\";\n\
             Dir::Cache \"{shown}/cache\";\nDir::Cache::archives \"{shown}/cache/archives\";\n\
             Dir::Etc::sourcelist \"{shown}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Log \"{shown}\";\n#clear APT::Default-Release;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n\
             #clear DPkg::Pre-Install-Pkgs;\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n{settings}"
        );
        for (name, text) in [
            ("status", ""),
            ("sources.list", sources),
            ("apt.conf", &configuration),
        ] {
            write(&place.join(name), text)?;
        }
        Ok(Self { place })
    }

    /// Fetches the lists.
    pub(crate) fn update(&self) -> Result<(), String> {
        output(self.get().arg("update")).map(drop)
    }

    /// Downloads packages and all that they depend on; the files, each once, until the next call. What is there of a `suite` is taken from there;
    /// options go before the verb.
    pub(crate) fn download(
        &self,
        packages: &[&str],
        suite: Option<&str>,
        options: &[String],
    ) -> Result<Vec<PathBuf>, String> {
        let archives = self.place.join("cache/archives");
        for left in debs(&archives)? {
            std::fs::remove_file(&left).map_err(|error| format!("{}: {error}", left.display()))?;
        }
        let mut install = self.get();
        install.args(options.iter().flat_map(|option| ["-o", option]));
        install.args(["install", WITHOUT, "--download-only"]);
        if let Some(suite) = suite {
            install.args(["-t", suite]);
        }
        output(install.args(packages))?;
        let files = debs(&archives)?;
        if files.is_empty() {
            return Err(format!(
                "apt claims to have downloaded {}, but no file is there",
                packages.join(", ")
            ));
        }
        Ok(files)
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command
            .arg("-c")
            .arg(self.place.join("apt.conf"))
            .args(["-q", "-y"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// Packages in a directory.
fn debs(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect())
}

/// Makes a directory and those above it.
pub(crate) fn make(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

/// Removes a directory, if it is there.
pub(crate) fn remove(directory: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
