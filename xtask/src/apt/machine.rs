//! Where this machine's packages come from.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{exists, output};

/// What this machine says about itself.
#[derive(Debug)]
pub(crate) struct Machine {
    /// `debian` or `ubuntu`.
    pub(crate) distribution: String,
    /// The suite that it was installed from.
    pub(crate) codename: String,
    /// Where its packages come from; more than one if others bear its release's name.
    pub(crate) archives: Vec<Archive>,
}

/// An archive of packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    address: String,
    /// Keys that its lists are signed with; none: those that apt trusts anyway.
    keyring: Option<PathBuf>,
}

impl Machine {
    pub(crate) fn look() -> Result<Self, String> {
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
            codename,
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
    /// The lines of a list of sources with these suites.
    pub(crate) fn lines<'a>(&self, suites: impl IntoIterator<Item = &'a str>, components: &str) -> String {
        let signed = self.keyring.as_ref().map_or_else(String::new, |keyring| {
            format!("[signed-by={}] ", keyring.display())
        });
        suites
            .into_iter()
            .map(|suite| format!("deb {signed}{} {suite} {components}\n", self.address))
            .collect()
    }

    /// Where it keeps what is free.
    pub(crate) fn components(&self) -> &'static str {
        if self.address.contains("ubuntu") {
            "main universe"
        } else {
            "main"
        }
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
