//! Builds instar and the program that draws random cases, and starts that.

use crate::run::{cargo, step};
use crate::{Outcome, workspace};

pub(crate) fn run(words: &[&str]) -> Outcome {
    step(
        "building instar",
        cargo().args(["build", "--release", "--package", "instar", "--locked"]),
    )?;
    let built = workspace::root().join("target/x86_64-unknown-linux-gnu/release/instar");
    let program = std::env::var_os("INSTAR_BIN").map_or(built, std::path::PathBuf::from);
    let mut command = cargo();
    command.args([
        "run",
        "--release",
        "--quiet",
        "--locked",
        "--package",
        "instar-differential",
        "--",
    ]);
    step(
        "differential fuzzing",
        command.args(words).env("INSTAR_BIN", program),
    )
}
