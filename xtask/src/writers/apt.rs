//! Programs out of Debian's packages, without installing them: fetched by apt with a configuration of its own
//! and unpacked below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::output;

/// Where programs come from, oldest first. What only one suite has is taken from there.
const SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "sid"];

/// An apt that knows nothing of this machine but where its Debian mirror is.
#[derive(Debug)]
pub(super) struct Apt {
    home: PathBuf,
}

/// What a set of packages unpacks to: a small system that programs can be run in.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Apt {
    /// Writes the configuration and fetches the lists, if they were not fetched before.
    pub(super) fn new(home: &Path) -> Result<Self, String> {
        let apt = Self {
            home: home.to_owned(),
        };
        for directory in ["lists/partial", "cache"] {
            make(&home.join(directory))?;
        }
        if home.join("fetched").exists() {
            return Ok(apt);
        }
        let (mirror, keys) = crate::references::archive()?;
        let signed = keys.map_or_else(String::new, |keys| format!("[signed-by={}] ", keys.display()));
        let sources: String = SUITES
            .iter()
            .map(|suite| format!("deb {signed}{mirror} {suite} main contrib\n"))
            .collect();
        write(&home.join("sources.list"), &sources)?;
        write(&home.join("nothing-installed"), "")?;
        // Snapshots of a mirror outlive the date that sid's list names; signatures are checked all the same.
        let settings = format!(
            "Dir::Etc::sourcelist \"{home}/sources.list\";\nDir::Etc::sourceparts \"-\";\nDir::Etc::preferences \"-\";\n\
             Dir::Etc::preferencesparts \"{home}/cache\";\nDir::State::lists \"{home}/lists\";\n\
             Dir::State::status \"{home}/nothing-installed\";\nDir::Cache \"{home}/cache\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Check-Valid-Until \"false\";\n\
             Acquire::Retries \"2\";\n",
            home = home.display()
        );
        write(&home.join("apt.conf"), &settings)?;
        output(apt.get().args(["-qq", "update"]))?;
        write(&home.join("fetched"), "")?;
        Ok(apt)
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
        let debs = root.join("debs");
        make(&debs.join("partial"))?;
        let status = root.join("status");
        let entries: String = supplied
            .iter()
            .map(|(package, version)| entry(package, version))
            .collect();
        write(&status, &entries)?;
        output(
            self.get()
                .arg("-qq")
                .arg("-y")
                .arg("--download-only")
                .arg("--no-install-recommends")
                .arg("-o")
                .arg(format!("Dir::State::status={}", status.display()))
                .arg("-o")
                .arg(format!("Dir::Cache::archives={}", debs.display()))
                .arg("-t")
                .arg(suite)
                .arg("install")
                .arg(package),
        )?;
        let tree = Tree { root };
        tree.unpack(&debs)?;
        std::fs::remove_dir_all(&debs).map_err(|error| error.to_string())?;
        write(&done, &wanted)?;
        Ok(tree)
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", self.home.join("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

impl Tree {
    fn unpack(&self, debs: &Path) -> Result<(), String> {
        for directory in ["bin", "sbin", "lib", "lib64"] {
            make(&self.root.join("usr").join(directory))?;
            std::os::unix::fs::symlink(Path::new("usr").join(directory), self.root.join(directory))
                .map_err(|error| error.to_string())?;
        }
        for directory in ["tmp", "proc", "dev", "room"] {
            make(&self.root.join(directory))?;
        }
        let mut versions = String::new();
        for entry in std::fs::read_dir(debs)
            .map_err(|error| error.to_string())?
            .flatten()
        {
            let deb = entry.path();
            if deb.extension().is_none_or(|extension| extension != "deb") {
                continue;
            }
            // dpkg -x would put directories in the place of the links made above.
            output(
                Command::new("sh")
                    .args([
                        "-c",
                        "dpkg-deb --fsys-tarfile \"$0\" | tar -x --keep-directory-symlink -C \"$1\"",
                    ])
                    .arg(&deb)
                    .arg(&self.root),
            )?;
            versions += &output(
                Command::new("dpkg-deb")
                    .args(["--show", "--showformat", "${Package} ${Version}\n"])
                    .arg(&deb),
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

fn make(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
