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
/// What fleets are tested with: the extra `dask`, Slurm through it, and the models of Kubernetes. They need newer Pythons than the package.
const ENGINES: &[&str] = &[
    "distributed==2026.8.0",
    "cryptography==50.0.2",
    "dask-jobqueue==0.9.0",
    "asyncssh==2.24.1",
    "kubernetes==37.0.2",
];
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
    let engines = engines(&tools).is_ok();
    if !engines {
        skip(
            "distributed, dask-jobqueue and kubernetes cannot be fetched for this Python: fleets were not tested on engines",
        );
    }
    let room = fresh(&python, &tools, &wheel, engines)?;
    let kvm = Path::new("/dev/kvm").exists();
    if !kvm {
        skip("/dev/kvm does not exist: the package was not tested in KVM");
    }
    tests(&room, "process", "")?;
    if kvm {
        tests(&room, "kvm", "not engine")?;
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

    fn pip(&self, verb: &str) -> Command {
        let mut command = Command::new(self.program("pip"));
        command.args([verb, "--quiet", "--disable-pip-version-check"]);
        command
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
    output(tools.pip("install").arg(BUILDER).args(CHECKERS))?;
    output(
        tools
            .pip("download")
            .arg("--dest")
            .arg(tools.packages())
            .args(TESTERS),
    )?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(tools)
}

/// Fetches what fleets are tested with, unless it is there.
fn engines(tools: &Tools) -> Outcome {
    let wanted = ENGINES.join(" ");
    let stamp = tools.place.join("engines");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!("── fetching {wanted}");
    output(
        tools
            .pip("download")
            .arg("--dest")
            .arg(tools.packages())
            .args(ENGINES),
    )?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
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
fn fresh(python: &Path, tools: &Tools, wheel: &Path, engines: bool) -> Result<PathBuf, String> {
    let room = workspace::root().join("target/wheels/environment");
    environment(python, &room)?;
    let (extra, more) = match engines {
        true => ("[dask]", ENGINES),
        false => ("", &[] as &[&str]),
    };
    let mut package = wheel.as_os_str().to_owned();
    package.push(extra);
    output(
        Command::new(room.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-index", "--find-links"])
            .arg(tools.packages())
            .arg(package)
            .args(TESTERS)
            .args(more),
    )?;
    Ok(room)
}

/// Runs the tests with such `marks`, or all, with their files in memory where there is some: holes in files are where they were made there.
fn tests(room: &Path, sandbox: &str, marks: &str) -> Outcome {
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
            .args(["-q", "-p", "no:cacheprovider", "-m", marks, "--basetemp"])
            .arg(&files),
    );
    // They are of no use afterwards, and may not be there.
    let _ = std::fs::remove_dir_all(&files);
    outcome
}
