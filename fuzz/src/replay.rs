//! Targets without the engine: their corpus, and changes of it from a fixed seed.

use std::path::{Path, PathBuf};

use crate::targets::{Target, named};
use crate::{Dice, mutate};

/// Where the inputs of a target are kept.
#[must_use]
pub fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The kept inputs of a target in the order of their names, or its seeds if there are none.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    if let Ok(entries) = std::fs::read_dir(corpus(target.name)) {
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            inputs.push((name, std::fs::read(&path).unwrap()));
        }
    }
    inputs.sort();
    inputs
}

/// Puts the input in the file that `INSTAR_FUZZ_INPUT` names to the oracle of a target, if the variable is set.
///
/// # Panics
/// If a rule is broken, or the file cannot be read.
#[must_use]
pub fn one(target: &Target) -> bool {
    let Some(path) = std::env::var_os("INSTAR_FUZZ_INPUT") else {
        return false;
    };
    (target.oracle)(&std::fs::read(path).unwrap());
    true
}

/// Puts the corpus of a target, its seeds, and `changes` changes of them to its oracle.
///
/// # Panics
/// If a rule is broken; the input is printed, and kept below the directory for temporary files.
pub fn run(name: &str, changes: u64) {
    let target = named(name).unwrap_or_else(|| panic!("there is no target {name}"));
    if one(target) {
        return;
    }
    let mut inputs: Vec<Vec<u8>> = (target.seeds)();
    inputs.extend(self::inputs(target).into_iter().map(|(_, input)| input));
    for input in &inputs {
        put(target, input);
    }
    for number in 0..changes {
        let mut dice = Dice::new(number);
        let mut input = inputs[dice.index(inputs.len())].clone();
        for _ in 0..=dice.below(4) {
            let mut blind = mutate::blind(&mut dice);
            (target.mutate)(&mut input, &mut dice, &mut blind);
        }
        put(target, &input);
    }
}

fn put(target: &Target, input: &[u8]) {
    if std::panic::catch_unwind(|| (target.oracle)(input)).is_err() {
        let path = std::env::temp_dir().join(format!("instar-fuzz-{}-{}", target.name, std::process::id()));
        std::fs::write(&path, input).unwrap();
        panic!("{}: the input is in {}", target.name, path.display());
    }
}
