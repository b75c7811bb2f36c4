//! How far an image is trusted, how hard it is confined, and how much it may use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instar_abi::NamedSecret;
use instar_abi::layout::DEFAULT_BYTES;
use instar_sandbox::Choice;

use crate::Error;

/// Largest virtual size of an untrusted image unless `max_size` says more. Ours.
pub const UNTRUSTED_SIZE: u64 = 1 << 40;

/// What holds for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Open nothing that an image names.
    pub untrusted: bool,
    /// Directories in which every image may name files and block devices.
    pub allow_dirs: Vec<PathBuf>,
    /// Directories in which images are somebody else's.
    pub untrusted_dirs: Vec<PathBuf>,
    /// A key for records of images that several users of this host share.
    pub trust_key: Option<PathBuf>,
    /// Where images are parsed.
    pub backend: Backend,
    /// No other place than a virtual machine will do.
    pub require_kvm: bool,
    /// Our own process must be confined by Landlock.
    pub require_landlock: bool,
    /// Time after which the run is given up.
    pub timeout: Option<Duration>,
    /// Bytes of guest memory.
    pub memory: u64,
    /// Largest virtual size.
    pub max_size: Option<u64>,
    /// No byte of a target past this one.
    pub max_output: Option<u64>,
    /// Longest backing chain.
    pub max_chain: u32,
    /// What unlocks images, by the names that images are opened with. A run is given those that it needs.
    pub secrets: Arc<[NamedSecret]>,
}

/// Where images are parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// In a virtual machine if there can be one, else in a process.
    #[default]
    Auto,
    /// In a virtual machine.
    Kvm,
    /// In a confined process.
    Process,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            untrusted: false,
            allow_dirs: Vec::new(),
            untrusted_dirs: Vec::new(),
            trust_key: None,
            backend: Backend::Auto,
            require_kvm: false,
            require_landlock: false,
            timeout: None,
            memory: DEFAULT_BYTES,
            max_size: None,
            max_output: None,
            max_chain: 200,
            secrets: Arc::default(),
        }
    }
}

impl Policy {
    /// The sandbox that it asks for.
    ///
    /// # Errors
    /// [`Error::Contradiction`]
    pub fn choice(&self) -> Result<Choice, Error> {
        match (self.backend, self.require_kvm) {
            (Backend::Process, true) => Err(Error::Contradiction),
            (Backend::Kvm, _) | (Backend::Auto, true) => Ok(Choice::Kvm),
            (Backend::Auto, false) => Ok(Choice::Auto),
            (Backend::Process, false) => Ok(Choice::Process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, Policy};
    use instar_sandbox::Choice;

    #[test]
    fn requiring_kvm_leaves_no_other_choice() {
        let mut policy = Policy::default();
        assert!(matches!(policy.choice(), Ok(Choice::Auto)));
        policy.require_kvm = true;
        assert!(matches!(policy.choice(), Ok(Choice::Kvm)));
        policy.backend = Backend::Process;
        assert!(policy.choice().is_err());
    }
}
