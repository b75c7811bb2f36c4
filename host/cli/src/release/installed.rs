//! The release of the reference tool that is installed, as the records of the package manager have it. It is not run: it may be
//! ourselves under its name.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::OnceLock;

use super::Release;

/// A record of installed packages: lines of fields, one of which names a package and another its version.
struct Record {
    path: &'static str,
    name: &'static str,
    version: &'static str,
    packages: &'static [&'static str],
}

const RECORDS: &[Record] = &[
    Record {
        path: "/var/lib/dpkg/status",
        name: "Package: ",
        version: "Version: ",
        packages: &["qemu-utils"],
    },
    Record {
        path: "/lib/apk/db/installed",
        name: "P:",
        version: "V:",
        packages: &["qemu-img"],
    },
];

/// The release, where a record has it. Records are long: they are read once.
pub(super) fn release() -> Option<Release> {
    static FOUND: OnceLock<Option<Release>> = OnceLock::new();
    *FOUND.get_or_init(recorded)
}

fn recorded() -> Option<Release> {
    RECORDS.iter().find_map(|record| {
        let file = File::open(record.path).ok()?;
        let version = record.find(BufReader::new(file))?;
        Release::of_package(&version)
    })
}

impl Record {
    fn find(&self, lines: impl BufRead) -> Option<String> {
        let mut ours = false;
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if let Some(name) = line.strip_prefix(self.name) {
                ours = self.packages.contains(&name);
            } else if let Some(version) = line.strip_prefix(self.version).filter(|_| ours) {
                return Some(version.to_owned());
            } else if line.is_empty() {
                ours = false;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_right_package() {
        let text = "Package: qemu-user\nVersion: 1:5.2\n\nPackage: qemu-utils\nStatus: install ok installed\nVersion: 1:7.2+dfsg-7\n\nPackage: z\nVersion: 3\n";
        let [debian, alpine] = RECORDS else {
            panic!("two records are known")
        };
        assert_eq!(debian.find(text.as_bytes()).as_deref(), Some("1:7.2+dfsg-7"));
        assert_eq!(alpine.find(text.as_bytes()), None);
        let text = "C:Q1x\nP:qemu-img\nV:9.2.4-r0\n\n";
        assert_eq!(alpine.find(text.as_bytes()).as_deref(), Some("9.2.4-r0"));
        assert_eq!(
            debian.find("Package: qemu-utils\n\nVersion: 4\n".as_bytes()),
            None
        );
    }
}
