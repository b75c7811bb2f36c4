//! Records what each release of qemu-img says: run by the tests that compare with it.

use crate::run::{cargo, step};
use crate::{Outcome, dd_matrix, references};

/// Profiles of instar.
pub(crate) const PROFILES: [&str; 3] = ["7.2", "10.0", "11.1"];

pub(crate) fn record() -> Outcome {
    let found = references::found()?;
    for profile in PROFILES {
        if !found.iter().any(|reference| reference.series == profile) {
            println!(
                "qemu-img {profile} is missing, so its baselines were not rewritten; fetch it with cargo xtask references"
            );
        }
    }
    step(
        "baselines",
        cargo()
            .args([
                "test",
                "--package",
                "instar-tests",
                "--test",
                "blackbox",
                "--locked",
            ])
            .args(["--", "the_releases_still"])
            .env("INSTAR_BASELINES", "record"),
    )?;
    dd_matrix::render()
}
