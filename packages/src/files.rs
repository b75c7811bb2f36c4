//! Files and programs, with errors that name them.

use std::path::Path;
use std::process::Command;

/// Reads a file.
///
/// # Errors
/// A message with its name.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a file of text.
///
/// # Errors
/// A message with its name.
pub fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file, and makes the directories above it.
///
/// # Errors
/// A message with its name.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if let Some(above) = path.parent() {
        make(above)?;
    }
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes a directory and those above it.
///
/// # Errors
/// A message with its name.
pub fn make(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes an empty directory in place of what is there.
///
/// # Errors
/// A message with its name.
pub fn make_anew(path: &Path) -> Result<(), String> {
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    make(path)
}

/// Runs a program, and gives what it printed.
///
/// # Errors
/// Its name and what it complained of.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}: {}", output.status, complaint.trim()))
}

/// Runs a program with our own streams.
///
/// # Errors
/// Its name and how it ended.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{name}: {status}"))
}

/// The cargo that started us, in the workspace at `root`.
#[must_use]
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}
