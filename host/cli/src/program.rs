//! Who we are, as the caller sees it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::release::{self, Fact};

/// The name under which we were called.
#[derive(Debug)]
pub struct Program {
    /// As it was called, path included: usage errors repeat it.
    called: OsString,
    /// We were called by the name of the reference tool.
    reference: bool,
}

impl Program {
    /// From `argv[0]`.
    #[must_use]
    pub fn new(called: Option<OsString>) -> Self {
        let called = called.unwrap_or_else(|| OsString::from("instar"));
        let base = Path::new(&called).file_name();
        Self {
            reference: base == Some(OsStr::new("qemu-img")),
            called,
        }
    }

    /// As this process was called.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(std::env::args_os().next())
    }

    /// Whether we were called by the name of the reference tool.
    #[must_use]
    pub const fn is_reference(&self) -> bool {
        self.reference
    }

    /// The name that messages begin with.
    #[must_use]
    pub const fn prefix(&self) -> &'static str {
        if self.reference { "qemu-img" } else { "instar" }
    }

    /// The name as it was called.
    #[must_use]
    pub fn called(&self) -> &OsStr {
        &self.called
    }

    /// What `--version` prints.
    #[must_use]
    pub fn version(&self) -> String {
        let own = env!("CARGO_PKG_VERSION");
        let release = release::current();
        if self.reference {
            format!(
                "qemu-img version {release} (instar {own})\nimages are parsed in a sandbox; instar sandbox shows which\n"
            )
        } else {
            format!("instar {own}, in place of qemu-img {release}\n")
        }
    }

    /// A message with its prefix: `qemu-img: text`.
    #[must_use]
    pub fn message(&self, text: &[u8]) -> Vec<u8> {
        [self.prefix().as_bytes(), b": ", text, b"\n"].concat()
    }

    /// getopt's message: `qemu-img info: text`.
    #[must_use]
    pub fn usage_message(&self, verb: Option<&str>, text: &[u8]) -> Vec<u8> {
        [&self.line(verb), b": ".as_slice(), text, b"\n"].concat()
    }

    /// The line that says where help is.
    #[must_use]
    pub fn try_help(&self, verb: Option<&str>) -> Vec<u8> {
        let line = self.line(verb);
        let more: &[u8] = if release::has(Fact::ShortHint) {
            b"info"
        } else {
            b"information"
        };
        [b"Try '", line.as_slice(), b" --help' for more ", more, b"\n"].concat()
    }

    /// What names us where a command line is wrong: the program as it was called and the verb, or the program's own name alone.
    fn line(&self, verb: Option<&str>) -> Vec<u8> {
        if !release::has(Fact::GetoptComplains) {
            return self.prefix().as_bytes().to_vec();
        }
        let mut line = self.called.as_bytes().to_vec();
        if let Some(verb) = verb {
            line.push(b' ');
            line.extend_from_slice(verb.as_bytes());
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Program;

    #[test]
    fn the_base_name_decides_the_program_name() {
        for (called, prefix) in [
            ("/usr/bin/qemu-img", "qemu-img"),
            ("qemu-img", "qemu-img"),
            ("instar", "instar"),
            ("./qemu-img-old", "instar"),
        ] {
            assert_eq!(Program::new(Some(called.into())).prefix(), prefix);
        }
    }

    #[test]
    fn help_is_pointed_to_by_the_name_called() {
        let program = Program::new(Some("/usr/bin/qemu-img".into()));
        assert_eq!(
            program.try_help(Some("info")),
            b"Try '/usr/bin/qemu-img info --help' for more info\n"
        );
    }
}
