//! A temporary directory, and both programs run in it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{self, Piece};
use crate::{Outcome, Reference, Running, binary, ledger, reference, wait};

/// Where instar runs untrusted code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// A virtual machine.
    Kvm,
    Process,
}

impl Sandbox {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Process => "process",
        }
    }

    fn is_available(self) -> bool {
        self == Self::Process || File::options().read(true).write(true).open("/dev/kvm").is_ok()
    }
}

/// A temporary directory in which both programs run.
#[derive(Debug)]
pub struct Bench {
    directory: tempfile::TempDir,
    /// Where instar keeps its key, out of the way of what the tests look at.
    state: tempfile::TempDir,
    sandbox: Sandbox,
}

impl Bench {
    /// Runs a test's body in a sandbox, or says that it cannot.
    ///
    /// # Panics
    ///
    /// Where the body does; and where KVM is missing although `INSTAR_TEST_NEEDS_KVM` is set.
    pub fn with(sandbox: Sandbox, test: &str, body: fn(&Self)) {
        if !sandbox.is_available() {
            assert!(
                std::env::var_os("INSTAR_TEST_NEEDS_KVM").is_none(),
                "INSTAR_TEST_NEEDS_KVM is set and /dev/kvm cannot be opened"
            );
            return ledger::skip("/dev/kvm cannot be opened");
        }
        let bench = Self::new(sandbox);
        body(&bench);
        ledger::ran(sandbox.name(), test);
    }

    /// An empty directory, in memory if there is room.
    ///
    /// # Panics
    ///
    /// If there is no room for one.
    #[must_use]
    pub fn new(sandbox: Sandbox) -> Self {
        Self {
            directory: instar_testkit::scratch(),
            state: instar_testkit::scratch(),
            sandbox,
        }
    }

    /// Another bench in the same sandbox, on a disk: for tests of what filesystems in memory do in another way or not at all, and for
    /// those that would fill the memory. Each says beside the call what it needs.
    ///
    /// # Panics
    ///
    /// If there is no room for one.
    #[must_use]
    pub fn on_disk(&self) -> Self {
        Self {
            directory: instar_testkit::on_disk(),
            state: instar_testkit::on_disk(),
            sandbox: self.sandbox,
        }
    }

    /// The sandbox of this run.
    #[must_use]
    pub fn sandbox(&self) -> Sandbox {
        self.sandbox
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where instar keeps its key.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// A file in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Names of everything in the directory, sorted.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// `image`, which qemu-img makes of `disk.raw`, a disk of `size` bytes out of `pieces`.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn make_image(&self, size: u64, pieces: &[Piece], format: &str, options: &str) {
        disk::make(&self.path("disk.raw"), size, pieces);
        let mut words = vec!["convert", "-f", "raw", "-O", format];
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        self.qemu(words.into_iter().chain(["disk.raw", "image"])).succeeds();
    }

    /// instar, ready to run in the directory and in this sandbox.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary::path());
        self.prepare(&mut command, arguments);
        command
    }

    /// instar under another program, such as `prlimit`, whose own words come first.
    pub fn command_under<S: AsRef<OsStr>>(
        &self,
        wrapper: &[&str],
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut words = wrapper.iter();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(binary::path());
        self.prepare(&mut command, arguments);
        command
    }

    fn prepare<S: AsRef<OsStr>>(&self, command: &mut Command, arguments: impl IntoIterator<Item = S>) {
        let mut arguments = arguments.into_iter();
        command
            .current_dir(self.directory())
            .env("LC_ALL", "C")
            .env(reference::VARIABLE, Reference::installed().profile())
            .env_remove("XDG_CONFIG_HOME")
            .env("XDG_STATE_HOME", self.state.path())
            .env("HOME", self.directory());
        if let Some(verb) = arguments.next() {
            command.arg(verb);
        }
        if !binary::is_reference() {
            command.args(["--sandbox", self.sandbox.name()]);
        }
        command.args(arguments);
    }

    pub fn instar<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        Outcome::of(&mut self.command(arguments))
    }

    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::start(&mut self.command(arguments))
    }

    /// Of cases that differ in what the sandboxed code does, not in how it is confined: all of them in a process, every third in a virtual
    /// machine. Both run the same code, and most of the time of a case goes to the reference tool. `sandboxes_agree` compares the two.
    pub fn share<C: IntoIterator>(&self, cases: C) -> impl Iterator<Item = C::Item> {
        let step = match self.sandbox() {
            Sandbox::Process => 1,
            Sandbox::Kvm => 3,
        };
        cases.into_iter().step_by(step)
    }

    /// Runs the installed qemu-img.
    pub fn qemu<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.installed("qemu-img", arguments)
    }

    /// Waits until no other process has a lock on an image. One that was killed while it started an instance of itself leaves its files
    /// open in that, until the new program begins.
    ///
    /// # Panics
    ///
    /// If none of them ever lets go.
    pub fn wait_for_lock(&self, format: &str, image: &str) {
        wait::until("the end of a lock", || {
            !self.qemu(["check", "-f", format, image]).errors().contains("Failed to get")
        });
    }

    /// Runs the installed qemu-io.
    pub fn qemu_io<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.installed("qemu-io", arguments)
    }

    fn installed<S: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let mut program = Reference::installed().program(name);
        Outcome::of(program.current_dir(self.directory()).env("LC_ALL", "C").args(arguments))
    }
}
