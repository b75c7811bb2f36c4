//! apt with a configuration of its own: it reads where the archive is, and touches nothing of the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Suite;
use crate::run::{exists, output};

/// What is wanted of each suite.
const PACKAGE: &str = "qemu-utils";

/// Packages that qemu-utils loads libraries of only when they are there, and for which no test asks.
const WITHOUT: &str = "--no-install-recommends";

/// What this machine says about itself.
#[derive(Debug)]
pub(super) struct Machine {
    /// `debian` or `ubuntu`.
    pub(super) distribution: String,
    /// Where its packages come from; more than one if others bear its release's name.
    pub(super) archives: Vec<Archive>,
}

/// An archive of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    address: String,
    /// Keys that its lists are signed with; none: those that apt trusts anyway.
    keyring: Option<PathBuf>,
}

impl Machine {
    pub(super) fn look() -> Result<Self, String> {
        for program in ["apt-get", "dpkg"] {
            if !exists(program) {
                return Err(format!("there is no {program}"));
            }
        }
        let release = std::fs::read_to_string("/etc/os-release")
            .map_err(|error| format!("/etc/os-release: {error}"))?;
        let distribution = field(&release, "ID").ok_or("/etc/os-release names no distribution")?;
        let codename = field(&release, "VERSION_CODENAME").ok_or("/etc/os-release names no release")?;
        let keyring = PathBuf::from(format!("/usr/share/keyrings/{distribution}-archive-keyring.gpg"));
        let targets = output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
        ]))?;
        let archives = addresses(&targets, &codename)
            .into_iter()
            .map(|address| Archive {
                address,
                keyring: keyring.exists().then(|| keyring.clone()),
            })
            .collect::<Vec<_>>();
        if archives.is_empty() {
            return Err(format!("apt has no archive of {codename}"));
        }
        Ok(Self {
            distribution,
            archives,
        })
    }
}

/// The value of a key in `os-release`.
fn field(text: &str, key: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches('"').to_owned())
}

/// Archives whose component `main` has the release, each once, in apt's order.
fn addresses(targets: &str, codename: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in targets.lines() {
        let mut fields = line.split('|');
        let (Some(address), Some(release), Some("main")) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if release == codename && !found.iter().any(|known| known == address) {
            found.push(address.to_owned());
        }
    }
    found
}

impl Archive {
    pub(super) fn parts(self) -> (String, Option<PathBuf>) {
        (self.address, self.keyring)
    }

    /// Downloads the package of `suite` and all that it depends on; the files, each once.
    pub(super) fn download(&self, suite: Suite, directory: &Path) -> Result<Vec<PathBuf>, String> {
        let configuration = self.configure(suite, directory)?;
        let apt = || {
            let mut command = Command::new("apt-get");
            command
                .args(["-c".as_ref(), configuration.as_os_str()])
                .args(["-q", "-y"]);
            command
        };
        output(apt().arg("update"))?;
        let mut install = apt();
        install.args(["install", WITHOUT, "--download-only"]);
        if suite.beside.is_some() {
            install.args(["-t", suite.name]);
        }
        output(install.arg(PACKAGE))?;
        let archives = directory.join("cache/archives");
        let entries =
            std::fs::read_dir(&archives).map_err(|error| format!("{}: {error}", archives.display()))?;
        let packages: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .collect();
        if packages.is_empty() {
            return Err(format!("apt says that it downloaded {PACKAGE}, yet did not"));
        }
        Ok(packages)
    }

    /// Writes the configuration. With an empty record of installed packages apt thinks that everything is needed.
    fn configure(&self, suite: Suite, directory: &Path) -> Result<PathBuf, String> {
        for name in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(name);
            std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let directory = directory
            .canonicalize()
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let signed = self.keyring.as_ref().map_or_else(String::new, |keyring| {
            format!("[signed-by={}] ", keyring.display())
        });
        let sources: String = [Some(suite.name), suite.beside]
            .into_iter()
            .flatten()
            .map(|name| format!("deb {signed}{} {name} main universe\n", self.address))
            .collect();
        let sources = if self.address.contains("ubuntu") {
            sources
        } else {
            sources.replace(" universe", "")
        };
        let place = directory.display();
        let configuration = format!(
            "Dir::State \"{place}\";\nDir::State::lists \"{place}/lists\";\nDir::State::status \"{place}/status\";\n\
             Dir::Cache \"{place}/cache\";\nDir::Cache::archives \"{place}/cache/archives\";\n\
             Dir::Etc::sourcelist \"{place}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Log \"{place}\";\n#clear APT::Default-Release;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n\
             #clear DPkg::Pre-Install-Pkgs;\nAcquire::Languages \"none\";\nAcquire::http::Timeout \"20\";\n\
             Acquire::https::Timeout \"20\";\nAPT::Sandbox::User \"root\";\nDebug::NoLocking \"true\";\n"
        );
        let file = directory.join("apt.conf");
        for (name, text) in [
            ("status", ""),
            ("sources.list", &sources),
            ("apt.conf", &configuration),
        ] {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_the_one_that_has_the_release() {
        let targets = "http://one/|bookworm-updates|main\nhttp://two/|bookworm|main\nhttp://two/|bookworm|main\n\
                       http://three/|bookworm|stable\nhttp://four/|bookworm|main\nnonsense\n";
        assert_eq!(addresses(targets, "bookworm"), ["http://two/", "http://four/"]);
    }

    #[test]
    fn fields_are_read_with_and_without_quotes() {
        let text = "ID=debian\nVERSION_CODENAME=\"noble\"\nID_LIKE=x\n";
        assert_eq!(field(text, "ID").as_deref(), Some("debian"));
        assert_eq!(field(text, "VERSION_CODENAME").as_deref(), Some("noble"));
        assert_eq!(field(text, "VERSION"), None);
    }
}
