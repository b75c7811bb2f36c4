//! Runs other programs.

use std::process::Command;
use std::time::Instant;

use crate::Outcome;

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::workspace::root());
    command
}

/// Runs `command` with our own output streams, after saying what it is for; then says how long it took.
pub(crate) fn step(what: &str, command: &mut Command) -> Outcome {
    println!("── {what}");
    let began = Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    println!("   {what}: {} s", began.elapsed().as_secs());
    if status.success() {
        return Ok(());
    }
    Err(format!("{what}: failed ({status})"))
}

/// Runs `command` and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{name}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Says what was not done, as other skips are said: in a line that begins with the number.
pub(crate) fn skip(why: &str) {
    println!("skipped 1: {why}");
}

/// Whether a program of this name can be started.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/sbin".into(), "/usr/sbin".into()])
            .any(|directory| directory.join(program).is_file())
    })
}

/// Builds instar, unless `INSTAR` names one.
pub(crate) fn build() -> Outcome {
    if std::env::var_os("INSTAR").is_some() {
        return Ok(());
    }
    step(
        "build",
        cargo().args(["build", "--package", "instar", "--locked"]),
    )
}

/// The instar that was just built; or, for comparing builds, the one that `INSTAR` names.
pub(crate) fn instar() -> Result<std::path::PathBuf, String> {
    let built = crate::workspace::root().join("target/x86_64-unknown-linux-gnu/debug/instar");
    let program = std::env::var_os("INSTAR").map_or(built, std::path::PathBuf::from);
    program
        .canonicalize()
        .map_err(|error| format!("{}: {error}", program.display()))
}
