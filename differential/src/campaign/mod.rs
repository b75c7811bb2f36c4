//! The campaigns: each makes a case of a generator of numbers.

mod chains;
mod dd;
mod images;
mod lines;

use instar_tests::disk::mix;
use instar_tests::{Dice, Sandbox};

use crate::case::Case;

/// What cases are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Campaign {
    /// Operands and windows of `dd`.
    Dd,
    /// Valid and nearly valid images, looked at and read.
    Images,
    /// Operations of all verbs, one after another.
    Chains,
    /// Options, good and bad.
    Lines,
}

impl Campaign {
    pub const ALL: [Self; 4] = [Self::Dd, Self::Images, Self::Chains, Self::Lines];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dd => "dd",
            Self::Images => "images",
            Self::Chains => "chains",
            Self::Lines => "lines",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|campaign| campaign.name() == name)
    }

    /// The case of a seed and a number.
    #[must_use]
    pub fn case(self, seed: u64, number: u64) -> Case {
        let salt = self
            .name()
            .bytes()
            .fold(seed, |salt, byte| mix(salt ^ u64::from(byte)));
        let mut dice = Dice::new(mix(salt) ^ number);
        // Starting a virtual machine takes longer than most cases.
        let sandbox = if dice.below(12) == 0 {
            Sandbox::Kvm
        } else {
            Sandbox::Process
        };
        let steps = match self {
            Self::Dd => dd::steps(&mut dice),
            Self::Images => images::steps(&mut dice),
            Self::Chains => chains::steps(&mut dice),
            Self::Lines => lines::steps(&mut dice),
        };
        Case { steps, sandbox }
    }
}
