//! How far images are trusted, and what a worker may use.

use std::ffi::OsString;
use std::time::Duration;

/// How far images are trusted, and what a worker may use. What is left out is as the configuration of the machine says, and the
/// environment of the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Refuse ambiguous formats, and cap the virtual size and the time.
    pub untrusted: bool,
    /// Where images are parsed.
    pub sandbox: Option<Sandbox>,
    /// Give up a call that takes longer.
    pub timeout: Option<Duration>,
    /// Bytes of memory of the sandbox.
    pub memory: Option<u64>,
    /// Largest virtual size, in bytes.
    pub max_size: Option<u64>,
    /// Largest target, in bytes. Also lifts the limits on data that is used over and over.
    pub max_output: Option<u64>,
    /// Longest chain of layers.
    pub max_chain: Option<u32>,
    /// How many lanes work, 1 to 16; without, one for each processor.
    pub lanes: Option<u32>,
}

/// Where images are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sandbox {
    /// In a virtual machine if there can be one, else in a confined process.
    Auto,
    /// In a virtual machine.
    Kvm,
    /// In a confined process.
    Process,
}

impl Policy {
    /// As the machine is configured.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For images of strangers.
    #[must_use]
    pub fn untrusted() -> Self {
        Self {
            untrusted: true,
            ..Self::default()
        }
    }

    /// Its options.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let sandbox = self.sandbox.map(|sandbox| match sandbox {
            Sandbox::Auto => "auto",
            Sandbox::Kvm => "kvm",
            Sandbox::Process => "process",
        });
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let given = [
            ("--sandbox", sandbox.map(str::to_owned)),
            (
                "--timeout",
                self.timeout.map(|timeout| timeout.as_secs_f64().to_string()),
            ),
            ("--memory", number(self.memory)),
            ("--max-size", number(self.max_size)),
            ("--max-output", number(self.max_output)),
            ("--max-chain", number(self.max_chain.map(u64::from))),
            ("--parallel", number(self.lanes.map(u64::from))),
        ];
        let mut words = Vec::new();
        if self.untrusted {
            words.push("--untrusted".into());
        }
        for (name, value) in given {
            words.extend(value.map(|value| OsString::from(format!("{name}={value}"))));
        }
        words
    }
}
