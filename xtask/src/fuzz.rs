//! The search for inputs that break a rule: builds the targets with the compiler's coverage, and runs libFuzzer on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{self, cargo, step};
use crate::{Outcome, workspace};

/// What the stable compiler needs to be told: count the edges between blocks, and show comparisons to the search.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Where inputs are found and kept that are not committed.
const RUNS: &str = "target/fuzz/runs";
/// Bytes of the longest input. Ours: room for every structure of a small image.
const LONGEST: &str = "-max_len=131072";
/// Seconds after which an input is a finding. Ours: the account allows a second or two, and machines are busy.
const SLOWEST: &str = "-timeout=30";
/// MiB of memory that an input may take. Ours.
const MEMORY: &str = "-rss_limit_mb=3072";

/// What is asked for on the command line.
#[derive(Debug, PartialEq)]
struct Wish {
    targets: Vec<String>,
    seconds: u64,
    merge: bool,
}

/// How long a target is run.
#[derive(Clone, Copy)]
enum Until {
    /// Inputs are changed by chance for so many seconds.
    Seconds(u64),
    /// Its corpus and seeds have been run.
    Replayed,
}

/// `cargo xtask fuzz [TARGET…] [--minutes N] [--merge]`.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let mut wish = parse(words)?;
    let program = build()?;
    let known = names(&program)?;
    if let Some(unknown) = wish.targets.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "{unknown}: no such target; there are {}",
            known.join(", ")
        ));
    }
    if wish.targets.is_empty() {
        wish.targets = known;
    }
    search(&program, &wish.targets, Until::Seconds(wish.seconds), wish.merge)
}

/// Every target under the engine, with its corpus and seeds. A check must not fail by chance: changes by chance are for `cargo xtask fuzz`,
/// and those of the ordinary tests are the same every time.
pub(crate) fn replay() -> Outcome {
    let program = build()?;
    search(&program, &names(&program)?, Until::Replayed, false)
}

fn parse(words: &[&str]) -> Result<Wish, String> {
    let mut wish = Wish {
        targets: Vec::new(),
        seconds: 60,
        merge: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--minutes" => {
                let minutes: u64 = words
                    .next()
                    .and_then(|number| number.parse().ok())
                    .ok_or("--minutes needs a whole number")?;
                wish.seconds = minutes * 60;
            }
            "--merge" => wish.merge = true,
            name if name.starts_with('-') => return Err(format!("unknown option {name}")),
            name => wish.targets.push(name.to_owned()),
        }
    }
    Ok(wish)
}

/// The targets, as the program lists them.
fn names(program: &Path) -> Result<Vec<String>, String> {
    let list = run::output(&mut Command::new(program))?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn build() -> Result<PathBuf, String> {
    if !run::exists("c++") {
        return Err("a C++ compiler is missing; install the package g++".to_owned());
    }
    let mut command = cargo();
    command
        .args([
            "build",
            "--package",
            "instar-fuzz",
            "--bin",
            "fuzz",
            "--features",
            "engine",
        ])
        .args([
            "--profile",
            "fuzz",
            "--locked",
            "--target",
            TRIPLE,
            "--target-dir",
            "target/fuzz",
        ])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env("INSTAR_GUEST", "skip");
    step("build with coverage", &mut command)?;
    Ok(workspace::root().join(format!("target/fuzz/{TRIPLE}/fuzz/fuzz")))
}

/// Searches each target in turn and says how it went.
fn search(program: &Path, targets: &[String], until: Until, merges: bool) -> Outcome {
    let mut failed = Vec::new();
    for target in targets {
        let (outcome, figures) = one(program, target, until, merges)?;
        println!("{target}: {figures}");
        if let Some(input) = outcome {
            println!("{target}: a rule is broken by {}", input.display());
            failed.push(target.as_str());
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        _ => Err(format!("rules are broken: {}", failed.join(", "))),
    }
}

/// One search; gives the input that broke a rule, and figures.
fn one(
    program: &Path,
    target: &str,
    until: Until,
    merges: bool,
) -> Result<(Option<PathBuf>, String), String> {
    let work = workspace::root().join(RUNS).join(target);
    let found = work.join("found");
    let crashes = work.join("crashes");
    let seeds = work.join("seeds");
    let kept = workspace::root().join("fuzz/corpus").join(target);
    for directory in [&found, &crashes, &seeds, &kept] {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    run::output(
        Command::new(program)
            .env("INSTAR_FUZZ_TARGET", target)
            .env("INSTAR_FUZZ_SEEDS", &seeds),
    )?;
    let log = work.join("log.txt");
    let written = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let before = crashed(&crashes)?;
    let began = Instant::now();
    let status = Command::new(program)
        .env("INSTAR_FUZZ_TARGET", target)
        .args([&found, &kept, &seeds])
        .arg(match until {
            Until::Seconds(seconds) => format!("-max_total_time={seconds}"),
            Until::Replayed => "-runs=0".to_owned(),
        })
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args([LONGEST, SLOWEST, MEMORY, "-print_final_stats=1"])
        .stdout(Stdio::null())
        .stderr(written)
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let new = crashed(&crashes)?
        .into_iter()
        .find(|input| !before.contains(input));
    if !status.success() && new.is_none() {
        return Err(format!(
            "{target}: the search ended with {status}; see {}",
            log.display()
        ));
    }
    if merges && new.is_none() {
        merge(program, target, &found, &kept)?;
    }
    Ok((new, figures(&text, began.elapsed())))
}

fn crashed(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(|error| error.to_string()))
        .collect()
}

/// Replaces the kept inputs by the fewest that reach what all of them reach.
fn merge(program: &Path, target: &str, found: &Path, kept: &Path) -> Outcome {
    let fewest = found.with_file_name("fewest");
    let _ = std::fs::remove_dir_all(&fewest);
    std::fs::create_dir_all(&fewest).map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .env("INSTAR_FUZZ_TARGET", target)
        .args(["-merge=1", LONGEST, MEMORY])
        .args([&fewest, kept, found])
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{target}: the merge ended with {}", output.status));
    }
    keep(&fewest, kept)
}

/// Bytes of one target's corpus. Ours: all of them together stay below a megabyte.
const KEPT: usize = 32 << 10;

/// Inputs of one target's corpus. Ours.
const INPUTS: usize = 80;

/// Keeps the smallest inputs, under names that follow from their content.
fn keep(fewest: &Path, kept: &Path) -> Outcome {
    let mut inputs: BTreeMap<(usize, String), Vec<u8>> = BTreeMap::new();
    for path in crashed(fewest)? {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy()[..12].to_owned();
        inputs.insert((bytes.len(), name), bytes);
    }
    std::fs::remove_dir_all(kept).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(kept).map_err(|error| error.to_string())?;
    let mut total = 0;
    for ((length, name), bytes) in inputs.into_iter().take(INPUTS) {
        total += length;
        if total > KEPT {
            break;
        }
        std::fs::write(kept.join(name), bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What libFuzzer counted, in one line.
fn figures(log: &str, took: Duration) -> String {
    let after = |key: &str| {
        let mut lines = log.lines().rev();
        let line = lines
            .find_map(|line| line.split_once(key))
            .map(|(_, rest)| rest.trim());
        line.and_then(|rest| rest.split_whitespace().next())
            .unwrap_or("?")
            .to_owned()
    };
    format!(
        "{} executions in {} s, {} a second, {} edges, {} inputs",
        after("stat::number_of_executed_units:"),
        took.as_secs(),
        after("stat::average_exec_per_sec:"),
        after(" cov: "),
        after(" corp: ").split('/').next().unwrap_or("?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_wished_for() {
        let wish = parse(&["qcow2", "--minutes", "3", "vmdk"]).unwrap();
        assert_eq!((wish.targets.len(), wish.seconds, wish.merge), (2, 180, false));
        assert!(
            parse(&["--minutes"]).is_err()
                && parse(&["--minutes", "x"]).is_err()
                && parse(&["--fast"]).is_err()
        );
    }

    #[test]
    fn reads_the_figures_of_a_search() {
        let log = "#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0\n#9\tDONE   cov: 19 ft: 9 corp: 3/9b lim: 4096\n\
                   stat::number_of_executed_units: 900\nstat::average_exec_per_sec:     300\n";
        assert_eq!(
            figures(log, Duration::from_secs(3)),
            "900 executions in 3 s, 300 a second, 19 edges, 3 inputs"
        );
    }
}
