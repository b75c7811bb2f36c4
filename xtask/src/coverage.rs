//! Which lines tests reach, by crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::run::{cargo, output, step};
use crate::{Outcome, workspace};

/// Where everything of it lies.
const PLACE: &str = "target/coverage";

/// Percent of the lines of each format's crate that its own tests and the corpus reach at least.
const LEAST: u64 = 92;

/// `cargo xtask coverage [--corpus]`: the tests of the formats and of the verbs, without and with the corpus of the search.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let only_corpus = match words {
        [] => false,
        ["--corpus"] => true,
        _ => return Err("usage: cargo xtask coverage [--corpus]".to_owned()),
    };
    let tools = tools()?;
    let place = workspace::root().join(PLACE);
    let corpus = ["--package", "instar-fuzz"].map(str::to_owned);
    let corpus = measured(&tools, &place, "corpus", &corpus)?;
    let before = match only_corpus {
        true => Lines::new(),
        false => measured(&tools, &place, "tests", &packages()?)?,
    };
    let both = match only_corpus {
        true => corpus.clone(),
        false => lines(&tools, &place, &["tests", "corpus"])?,
    };
    println!(
        "{:<20} {:>8} {:>8} {:>8} {:>8}",
        "crate", "lines", "tests", "corpus", "both"
    );
    let mut few = Vec::new();
    for (name, (_, all)) in &both {
        let percent = |lines: &Lines| {
            let (reached, _) = lines.get(name).copied().unwrap_or_default();
            reached * 100 / (*all).max(1)
        };
        println!(
            "{name:<20} {all:>8} {:>7}% {:>7}% {:>7}%",
            percent(&before),
            percent(&corpus),
            percent(&both)
        );
        if name.starts_with("formats/") && percent(&both) < LEAST {
            few.push(name.as_str());
        }
    }
    match few.as_slice() {
        [] => Ok(()),
        _ if only_corpus => Ok(()),
        _ => Err(format!(
            "fewer than {LEAST} % of the lines are reached: {}",
            few.join(", ")
        )),
    }
}

/// Lines reached, and all lines, by crate.
type Lines = BTreeMap<String, (u64, u64)>;

/// The programs of LLVM that belong to the compiler.
struct Tools(PathBuf);

fn tools() -> Result<Tools, String> {
    let root = output(
        Command::new("rustc")
            .current_dir(workspace::root())
            .args(["--print", "sysroot"]),
    )?;
    let directory = Path::new(root.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
    if !directory.join("llvm-cov").exists() {
        return Err("llvm-cov is missing; install it with: rustup component add llvm-tools".to_owned());
    }
    Ok(Tools(directory))
}

/// The crates whose tests are measured.
fn packages() -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (name, member) in workspace::members()? {
        let place = member.place.as_str();
        if place.starts_with("formats/")
            || ["abi", "disk", "codecs", "crypt", "partitions", "ops"].contains(&place)
        {
            words.extend(["--package".to_owned(), name]);
        }
    }
    Ok(words)
}

/// Runs tests that write down which lines they reach.
fn measured(tools: &Tools, place: &Path, name: &str, packages: &[String]) -> Result<Lines, String> {
    let profiles = place.join(name);
    let _ = std::fs::remove_dir_all(&profiles);
    let mut command = cargo();
    command
        .args(["test", "--locked", "--lib", "--tests", "--target-dir", PLACE])
        .args(packages)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cinstrument-coverage")
        .env("LLVM_PROFILE_FILE", profiles.join("%m-%p.profraw"))
        .env("INSTAR_GUEST", "skip");
    step(&format!("{name}, with coverage"), &mut command)?;
    lines(tools, place, &[name])
}

/// What profiles say, taken together.
fn lines(tools: &Tools, place: &Path, names: &[&str]) -> Result<Lines, String> {
    let merged = place.join(format!("{}.profdata", names.join("-")));
    let mut merge = Command::new(tools.0.join("llvm-profdata"));
    merge.args(["merge", "-sparse", "-o"]).arg(&merged);
    for name in names {
        merge.arg(place.join(name));
    }
    output(&mut merge)?;
    let mut export = Command::new(tools.0.join("llvm-cov"));
    export
        .args(["export", "-summary-only", "-instr-profile"])
        .arg(&merged);
    for program in programs(&place.join("x86_64-unknown-linux-gnu/debug/deps"))? {
        export.arg("-object").arg(program);
    }
    by_crate(&output(&mut export)?)
}

/// The programs that ran: those that can be started and are no libraries.
fn programs(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_none() {
            programs.push(path);
        }
    }
    Ok(programs)
}

#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Counted,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
    covered: u64,
}

/// Adds up the files of each crate; tests do not count.
fn by_crate(text: &str) -> Result<Lines, String> {
    let export: Export = serde_json::from_str(text).map_err(|error| format!("llvm-cov: {error}"))?;
    let root = workspace::root()
        .canonicalize()
        .map_err(|error| error.to_string())?;
    let mut lines = Lines::new();
    for file in export.data.into_iter().flat_map(|data| data.files) {
        let Ok(path) = file.filename.strip_prefix(&root) else {
            continue;
        };
        let path = path.to_string_lossy();
        let Some((place, within)) = path.split_once("/src/") else {
            continue;
        };
        if within.ends_with("tests.rs") || place == "testkit" || place == "fuzz" {
            continue;
        }
        let (reached, all) = lines.entry(place.to_owned()).or_default();
        *reached += file.summary.lines.covered;
        *all += file.summary.lines.count;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_files_of_a_crate() {
        let root = workspace::root().canonicalize().unwrap();
        let file = |name: &str, covered: u64| {
            let name = root.join(name);
            serde_json::json!({"filename": name, "summary": {"lines": {"count": 10, "covered": covered}}})
        };
        let files = [
            file("formats/vdi/src/a.rs", 7),
            file("formats/vdi/src/b.rs", 10),
            file("formats/vdi/src/tests.rs", 1),
            file("testkit/src/lib.rs", 1),
        ];
        let text = serde_json::json!({"data": [{"files": files}]}).to_string();
        let lines = by_crate(&text).unwrap();
        assert_eq!(lines, Lines::from([("formats/vdi".to_owned(), (17, 20))]));
    }
}
