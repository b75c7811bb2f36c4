//! The Python package: builds the wheel, and tests what is in it, installed into an environment of its own.
//!
//! Tools come from the package index into target/tools, once. What is missing on this machine is said and counted as a skip.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{output, skip, step};
use crate::{Outcome, workspace};

/// Builds the wheels.
const BUILDER: &str = "maturin==1.16.0";
/// What the tests run with, fetched as wheels so that a fresh environment needs no network.
const TESTERS: &[&str] = &["pytest==8.4.2"];
/// What checks the types of the package.
const CHECKERS: &[&str] = &["mypy==1.18.2"];

/// Whether a program for people is built, or one for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    Release,
    Debug,
}

pub(crate) fn run(words: &[&str]) -> Outcome {
    match words {
        [] => made(Build::Release),
        ["--debug"] => made(Build::Debug),
        _ => Err("usage: cargo xtask wheel [--debug]".to_owned()),
    }
}

/// Builds and tests, as far as this machine can.
pub(crate) fn made(build: Build) -> Outcome {
    let Some(python) = python() else {
        skip("python3 with venv and pip is not installed: the Python package was not built");
        return Ok(());
    };
    let Ok(tools) = tools(&python) else {
        skip("maturin, pytest and mypy cannot be fetched: the Python package was not built");
        return Ok(());
    };
    step(
        "types of the Python package",
        Command::new(tools.program("mypy"))
            .current_dir(sources())
            .arg("--cache-dir")
            .arg(tools.place.join("mypy-cache"))
            .arg("src"),
    )?;
    let wheel = wheel(&tools, build)?;
    let room = fresh(&python, &tools, &wheel)?;
    let kvm = Path::new("/dev/kvm").exists();
    if !kvm {
        skip("/dev/kvm does not exist: the package was not tested in KVM");
    }
    for sandbox in ["process", "kvm"]
        .into_iter()
        .filter(|name| kvm || *name != "kvm")
    {
        tests(&room, sandbox)?;
    }
    Ok(())
}

/// Where the sources of the package are.
fn sources() -> PathBuf {
    workspace::root().join("python")
}

/// A Python that makes environments.
fn python() -> Option<PathBuf> {
    let able = |python: &Path| {
        let mut command = Command::new(python);
        output(command.args(["-c", "import ensurepip, ssl, venv"])).is_ok()
    };
    ["python3", "/usr/bin/python3"]
        .map(PathBuf::from)
        .into_iter()
        .find(|python| able(python))
}

/// The environment with the tools, and the wheels of what the tests run with.
struct Tools {
    place: PathBuf,
}

impl Tools {
    fn program(&self, name: &str) -> PathBuf {
        self.place.join("bin").join(name)
    }

    fn packages(&self) -> PathBuf {
        self.place.join("packages")
    }
}

/// Fetches the tools, unless those are there.
fn tools(python: &Path) -> Result<Tools, String> {
    let tools = Tools {
        place: workspace::root().join("target/tools/python"),
    };
    let wanted = [&[BUILDER], TESTERS, CHECKERS].concat().join(" ");
    let stamp = tools.place.join("versions");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(tools);
    }
    println!("── fetching {wanted}");
    environment(python, &tools.place)?;
    let pip = |verb: &str| {
        let mut command = Command::new(tools.program("pip"));
        command.args([verb, "--quiet", "--disable-pip-version-check"]);
        command
    };
    output(pip("install").arg(BUILDER).args(CHECKERS))?;
    output(pip("download").arg("--dest").arg(tools.packages()).args(TESTERS))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(tools)
}

/// Makes an environment anew.
fn environment(python: &Path, place: &Path) -> Outcome {
    output(Command::new(python).args(["-m", "venv", "--clear"]).arg(place)).map(drop)
}

/// Builds the wheel; the only one in its directory.
fn wheel(tools: &Tools, build: Build) -> Result<PathBuf, String> {
    let directory = workspace::root().join("target/wheels").join(match build {
        Build::Release => "release",
        Build::Debug => "debug",
    });
    if directory.exists() {
        std::fs::remove_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let profile = match build {
        Build::Release => "release",
        Build::Debug => "dev",
    };
    step(
        "wheel",
        Command::new(tools.program("maturin"))
            .current_dir(sources())
            .args(["build", "--locked", "--profile", profile, "--out"])
            .arg(&directory),
    )?;
    let entries = std::fs::read_dir(&directory).map_err(|error| error.to_string())?;
    let mut wheels: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    match (wheels.pop(), wheels.is_empty()) {
        (Some(wheel), true) => {
            println!("   {}", wheel.display());
            Ok(wheel)
        }
        _ => Err(format!("{}: not one wheel", directory.display())),
    }
}

/// An environment with the wheel and what tests it, and nothing else.
fn fresh(python: &Path, tools: &Tools, wheel: &Path) -> Result<PathBuf, String> {
    let room = workspace::root().join("target/wheels/environment");
    environment(python, &room)?;
    output(
        Command::new(room.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-index", "--find-links"])
            .arg(tools.packages())
            .arg(wheel)
            .args(TESTERS),
    )?;
    Ok(room)
}

/// Runs the tests, with their files in memory where there is some: holes in files are where they were made there.
fn tests(room: &Path, sandbox: &str) -> Outcome {
    let memory = Path::new("/dev/shm");
    let files = if memory.is_dir() {
        memory
    } else {
        Path::new("/tmp")
    };
    let files = files.join(format!("instar-wheel-{}", std::process::id()));
    let outcome = step(
        &format!("tests of the wheel, sandbox {sandbox}"),
        Command::new(room.join("bin/pytest"))
            .current_dir(sources())
            .env("INSTAR_SANDBOX", sandbox)
            .args(["-q", "-p", "no:cacheprovider", "--basetemp"])
            .arg(&files),
    );
    // They are of no use afterwards, and may not be there.
    let _ = std::fs::remove_dir_all(&files);
    outcome
}
