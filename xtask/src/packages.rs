//! Starts the program that makes packages. It has the tables of options in it, and these tools have not: they are built often.

use crate::Outcome;
use crate::run::{cargo, step};

pub(crate) fn run(words: &[&str]) -> Outcome {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", "instar-packages", "--"]);
    step(&words.join(" "), command.args(words))
}
