//! What is run for a row.

use std::path::Path;
use std::process::Command;

use crate::peers::Peer;
use crate::rows::Row;
use crate::site::Site;

impl Row {
    /// The command for one program, with more options after the verb.
    pub(crate) fn command(&self, site: &Site, program: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (place, word) in self.words.iter().enumerate() {
            match word.split_once('@') {
                Some((before, "")) => command.arg(format!("{before}{}", site.output().display())),
                Some((before, name)) => command.arg(format!("{before}{}", site.image(name).display())),
                None => command.arg(word),
            };
            if place == 0 {
                command.args(more);
            }
        }
        command
    }
}

impl Peer {
    /// The command that does the row's work in another way.
    pub(crate) fn command(self, row: &Row, site: &Site, qemu: &Path) -> Command {
        match self {
            Self::Qemu(options) => row.command(site, qemu, options),
            Self::Nbd(format, image) => {
                let mut command = Command::new("nbdcopy");
                command.args(["--", "[", "qemu-nbd", "-r", "-f", format]);
                command.arg(site.image(image)).arg("]").arg(site.output());
                command
            }
            Self::Copy(image) => {
                let mut command = Command::new("cp");
                command.arg("--sparse=always");
                command.arg(site.image(image)).arg(site.output());
                command
            }
        }
    }
}
