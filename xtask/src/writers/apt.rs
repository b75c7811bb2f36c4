//! Programs out of Debian's packages, without installing them: unpacked below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, Machine, make, write};
use crate::run::output;

/// Where programs come from, oldest first. What only one suite has is taken from there.
const SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "sid"];

/// Snapshots of a mirror outlive the date that sid's list names; signatures are checked all the same.
const SETTINGS: &str = "Acquire::Check-Valid-Until \"false\";\nAcquire::Retries \"2\";\n";

/// Trees of packages, unpacked once.
#[derive(Debug)]
pub(super) struct Trees {
    home: PathBuf,
    apt: Apt,
}

/// What a set of packages unpacks to: a small system that programs can be run in.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Trees {
    /// Fetches the lists, if they were not fetched before.
    pub(super) fn new(home: &Path) -> Result<Self, String> {
        let machine = Machine::look()?;
        let archive = machine.archives.first().ok_or("apt has no archive")?;
        let sources = archive.lines(SUITES.iter().copied(), "main contrib");
        let apt = Apt::at(home, &sources, SETTINGS)?;
        let fetched = home.join("fetched");
        if !fetched.exists() {
            apt.update()?;
            write(&fetched, "")?;
        }
        Ok(Self {
            home: home.to_owned(),
            apt,
        })
    }

    /// A package of one suite and all that it needs, but for what is `supplied` (a package and the version it passes for):
    /// parts that no writer of images uses, such as a kernel's build tools.
    pub(super) fn tree(&self, suite: &str, package: &str, supplied: &[(&str, &str)]) -> Result<Tree, String> {
        let name = &format!("{package}-{suite}");
        let root = self.home.join("trees").join(name);
        let done = self.home.join("trees").join(format!("{name}.done"));
        let wanted = format!("{package} {suite} {supplied:?}");
        if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
            return Ok(Tree { root });
        }
        let _ = std::fs::remove_dir_all(&root);
        make(&root)?;
        let status = root.join("status");
        let entries: String = supplied
            .iter()
            .map(|(package, version)| entry(package, version))
            .collect();
        write(&status, &entries)?;
        let installed = format!("Dir::State::status={}", status.display());
        let tree = Tree { root };
        tree.unpack(&self.apt.download(&[package], Some(suite), &[installed])?)?;
        write(&done, &wanted)?;
        Ok(tree)
    }
}

impl Tree {
    fn unpack(&self, debs: &[PathBuf]) -> Result<(), String> {
        for directory in ["bin", "sbin", "lib", "lib64"] {
            make(&self.root.join("usr").join(directory))?;
            std::os::unix::fs::symlink(Path::new("usr").join(directory), self.root.join(directory))
                .map_err(|error| error.to_string())?;
        }
        for directory in ["tmp", "proc", "dev", "room"] {
            make(&self.root.join(directory))?;
        }
        let mut versions = String::new();
        for deb in debs {
            // dpkg -x would put directories in the place of the links made above.
            output(
                Command::new("sh")
                    .args([
                        "-c",
                        "dpkg-deb --fsys-tarfile \"$0\" | tar -x --keep-directory-symlink -C \"$1\"",
                    ])
                    .arg(deb)
                    .arg(&self.root),
            )?;
            versions += &output(
                Command::new("dpkg-deb")
                    .args(["--show", "--showformat", "${Package} ${Version}\n"])
                    .arg(deb),
            )?;
        }
        write(&self.root.join("versions"), &versions)
    }

    /// The version of a package in here.
    pub(super) fn version(&self, package: &str) -> String {
        let versions = std::fs::read_to_string(self.root.join("versions")).unwrap_or_default();
        versions
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == package)
            .map_or_else(|| "?".to_owned(), |(_, version)| version.to_owned())
    }

    /// A file of the tree, for programs that need nothing else from it.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Runs a program of the tree, which sees `work` as `/room`.
    pub(super) fn command(&self, work: &Path, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.env_clear();
        for (name, value) in [
            ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("SDL_VIDEODRIVER", "dummy"),
            ("SDL_AUDIODRIVER", "dummy"),
        ] {
            command.env(name, value);
        }
        if !is_root() {
            command.arg("--map-root-user");
        }
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .arg(
                "set -e; tree=$0; work=$1; shift; mount -t proc proc \"$tree/proc\"; mount --rbind /dev \"$tree/dev\"; \
                 mount --bind \"$work\" \"$tree/room\"; cd /; exec timeout 300 chroot \"$tree\" \"$@\"",
            )
            .arg(&self.root)
            .arg(work)
            .arg(program);
        command
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// A package that passes for installed.
fn entry(package: &str, version: &str) -> String {
    format!(
        "Package: {package}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\nMulti-Arch: allowed\n\
         Maintainer: nobody <nobody@example.org>\nDescription: not needed here\n\n"
    )
}
