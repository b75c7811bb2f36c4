//! The program as it is packaged: built without traces of the machine, without symbols, and with the list of its crates in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::audit;
use crate::date::Epoch;
use crate::files::{cargo, make, output, read, run, write};
use crate::linked::Linked;

/// The flags of `.cargo/config.toml`, which those of the environment replace.
const FLAGS: &str = "-Ctarget-feature=+crt-static";

/// Builds the workspace at `root` for release, with a target directory of its own, and gives the program.
///
/// # Errors
/// If it cannot be built.
pub fn build(root: &Path, epoch: Epoch) -> Result<PathBuf, String> {
    let target = root.join("target/package/build");
    make(&target)?;
    let absolute = |path: &Path| {
        let path = path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        path.into_os_string()
            .into_string()
            .map_err(|path| format!("{}: not UTF-8", path.display()))
    };
    let sysroot = output(
        Command::new("rustc")
            .current_dir(root)
            .args(["--print", "sysroot"]),
    )?;
    let mut flags = vec![FLAGS.to_owned()];
    for (from, to) in [
        (absolute(root)?, "/instar"),
        (absolute(&cargo_home()?)?, "/cargo"),
        (absolute(Path::new(sysroot.trim()))?, "/rust"),
    ] {
        flags.push(format!("--remap-path-prefix={from}={to}"));
    }
    run(cargo(root)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "instar",
            "--target-dir",
        ])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("SOURCE_DATE_EPOCH", epoch.0.to_string()))?;
    Ok(target.join("x86_64-unknown-linux-gnu/release/instar"))
}

fn cargo_home() -> Result<PathBuf, String> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    named
        .or_else(usual)
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set".to_owned())
}

/// The bytes of a program, without symbols and with the list of its crates; `scratch` is a directory for files on the way.
///
/// # Errors
/// If objcopy fails.
pub fn finished(built: &Path, crates: &[Linked], scratch: &Path) -> Result<Vec<u8>, String> {
    let section = scratch.join("crates");
    write(&section, &audit::section(crates)?)?;
    let finished = scratch.join("instar");
    run(Command::new("objcopy")
        .arg("--strip-all")
        .arg("--add-section")
        .arg(format!("{}={}", audit::SECTION, section.display()))
        .arg("--set-section-flags")
        .arg(format!("{}=noload,readonly", audit::SECTION))
        .args([built, &finished]))?;
    read(&finished)
}
