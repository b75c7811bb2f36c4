//! Where this machine's packages come from, and the package of one suite.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Suite;
use crate::apt::Apt;
use crate::run::{exists, output};

/// What is wanted of each suite.
const PACKAGE: &str = "qemu-utils";

/// A mirror that does not answer is given up soon: the tests do without what it has.
const SETTINGS: &str =
    "Acquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\nDebug::NoLocking \"true\";\n";

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
        let signed = self.keyring.as_ref().map_or_else(String::new, |keyring| {
            format!("[signed-by={}] ", keyring.display())
        });
        let components = if self.address.contains("ubuntu") {
            "main universe"
        } else {
            "main"
        };
        let sources: String = [Some(suite.name), suite.beside]
            .into_iter()
            .flatten()
            .map(|name| format!("deb {signed}{} {name} {components}\n", self.address))
            .collect();
        let apt = Apt::at(directory, &sources, SETTINGS)?;
        apt.update()?;
        apt.download(PACKAGE, suite.beside.map(|_| suite.name), &[])
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
