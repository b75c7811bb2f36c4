//! Packages that other programs make: cargo-deb and cargo-generate-rpm read a manifest that is written for them from the tree.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::VERSION;
use crate::date::Epoch;
use crate::files::{self, cargo, read_text, run, write};
use crate::tree::{Item, Tree};

/// A program that the distribution does not offer, and its version.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
}

pub const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
};

pub const CARGO_GENERATE_RPM: Tool = Tool {
    name: "cargo-generate-rpm",
    version: "0.21.1",
};

const SUMMARY: &str = "work with disk images, parsed in a sandbox";

const DESCRIPTION: &str = "instar converts and describes disk images as qemu-img does, with its options, output and exit codes. \
Images are parsed only inside a sandbox: a virtual machine without an operating system or, where KVM is not available, \
a process that is confined by seccomp. /usr/lib/instar/bin has a link named qemu-img for those who put it first in PATH.";

impl Tool {
    /// Where it is, if this version was installed into the workspace at `root`.
    #[must_use]
    pub fn installed(self, root: &Path) -> Option<PathBuf> {
        let tools = root.join("target/tools");
        let record = read_text(&tools.join(".crates.toml")).ok()?;
        let mark = format!("\"{} {} (", self.name, self.version);
        record.contains(&mark).then(|| tools.join("bin").join(self.name))
    }

    /// Where it is; installed first if it is missing.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub fn install(self, root: &Path) -> Result<PathBuf, String> {
        if let Some(path) = self.installed(root) {
            return Ok(path);
        }
        println!("installing {} {} into target/tools", self.name, self.version);
        run(cargo(root)
            .args([
                "install",
                "--locked",
                "--quiet",
                self.name,
                "--version",
                self.version,
                "--root",
            ])
            .arg(root.join("target/tools")))?;
        self.installed(root)
            .ok_or_else(|| format!("cargo install has left no {} {}", self.name, self.version))
    }
}

/// How hard a package is compressed.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// As small as it can be.
    Small,
    /// For packages that are looked at once.
    Quick,
}

/// A manifest for both programs, with the files beside it.
#[derive(Debug)]
pub struct Manifest {
    directory: PathBuf,
    epoch: Epoch,
}

impl Manifest {
    /// Writes it into `directory`, which is emptied.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn write(directory: &Path, tree: &Tree, epoch: Epoch) -> Result<Self, String> {
        files::make_anew(directory)?;
        let directory = directory
            .canonicalize()
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        tree.write(&directory.join("tree"))?;
        write(&directory.join("main.rs"), b"fn main() {}\n")?;
        write(&directory.join("changelog"), changelog(epoch).as_bytes())?;
        write(&directory.join("Cargo.toml"), manifest(tree).as_bytes())?;
        Ok(Self { directory, epoch })
    }

    /// Makes a package for Debian at `target`.
    ///
    /// # Errors
    /// If cargo-deb fails.
    pub fn deb(&self, tool: &Path, effort: Effort, target: &Path) -> Result<(), String> {
        let effort: &[&str] = match effort {
            Effort::Small => &[],
            Effort::Quick => &["--fast"],
        };
        run(self
            .command(tool)
            .args(effort)
            .args([
                "--no-build",
                "--no-strip",
                "--offline",
                "--quiet",
                "--target",
                "x86_64-unknown-linux-gnu",
                "--output",
            ])
            .arg(target))
    }

    /// Makes an RPM package at `target`.
    ///
    /// # Errors
    /// If cargo-generate-rpm fails.
    pub fn rpm(&self, tool: &Path, target: &Path) -> Result<(), String> {
        run(self
            .command(tool)
            .args([
                "--target",
                "x86_64-unknown-linux-gnu",
                "--auto-req",
                "disabled",
                "--output",
            ])
            .arg(target))
    }

    fn command(&self, tool: &Path) -> Command {
        let mut command = Command::new(tool);
        command
            .current_dir(&self.directory)
            .env("SOURCE_DATE_EPOCH", self.epoch.0.to_string())
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_TARGET_DIR");
        command
    }
}

fn manifest(tree: &Tree) -> String {
    let maintainer = quoted(&maintainer());
    let mut text = format!(
        "[package]\nname = \"instar\"\nversion = \"{VERSION}\"\nedition = \"2024\"\nlicense = \"MIT\"\ndescription = \"{SUMMARY}\"\n\n\
         [workspace]\n\n[[bin]]\nname = \"instar\"\npath = \"main.rs\"\n\n\
         [package.metadata.deb]\nmaintainer = {maintainer}\nextended-description = {}\nsection = \"utils\"\npriority = \"optional\"\n\
         depends = \"\"\nsuggests = \"qemu-utils\"\nchangelog = \"changelog\"\nassets = [\n",
        quoted(DESCRIPTION)
    );
    for (place, item) in tree.items() {
        // Debian has a directory of its own for functions of other packages.
        let dest = place.replace("zsh/site-functions", "zsh/vendor-completions");
        let _ = match item {
            Item::File { mode, .. } => {
                writeln!(
                    text,
                    "    {{ source = \"tree/{place}\", dest = \"usr/{dest}\", mode = \"{mode:o}\" }},"
                )
            }
            Item::Link(target) => {
                writeln!(text, "    {{ dest = \"usr/{dest}\", link_name = \"{target}\" }},")
            }
        };
    }
    text.push_str("]\n\n[package.metadata.generate-rpm]\nrelease = \"1\"\nassets = [\n");
    let mut links = String::new();
    let mut unlinks = String::new();
    for (place, item) in tree.items() {
        match item {
            Item::File { mode, .. } => {
                let doc = place.starts_with("share/doc/") || place.starts_with("share/man/");
                let _ = writeln!(
                    text,
                    "    {{ source = \"tree/{place}\", dest = \"/usr/{place}\", mode = \"{mode:o}\", doc = {doc} }},"
                );
            }
            // Its writer knows no links.
            Item::Link(target) => {
                let directory = place.rsplit_once('/').map_or("", |(directory, _)| directory);
                let _ = write!(
                    links,
                    "mkdir -p /usr/{directory}\nln -sfn {target} /usr/{place}\n"
                );
                let _ = write!(
                    unlinks,
                    "rm -f /usr/{place}\nrmdir -p --ignore-fail-on-non-empty /usr/{directory}\n"
                );
            }
        }
    }
    // With 1 the package is replaced by another of its name.
    let unlinks = format!("if [ \"$1\" = 0 ]; then\n{unlinks}fi\n");
    let _ = write!(
        text,
        "]\npost_install_script = {}\npost_uninstall_script = {}\n",
        quoted(&links),
        quoted(&unlinks)
    );
    text
}

/// Who is named as the maintainer: as in every tool of Debian, two variables say it.
fn maintainer() -> String {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let name = variable("DEBFULLNAME", "The maintainers of instar");
    format!("{name} <{}>", variable("DEBEMAIL", "root@localhost"))
}

fn changelog(epoch: Epoch) -> String {
    format!(
        "instar ({VERSION}-1) unstable; urgency=medium\n\n  * changelog.gz lists what changed.\n\n -- {}  {}\n",
        maintainer(),
        epoch.mail()
    )
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{text}\"")
}
