//! Starts a program of another release through that release's own loader, with its own libraries.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::PROGRAMS;
use crate::Outcome;

const LOADER: &str = "ld-linux-x86-64.so.2";

/// Where a root keeps libraries: releases before the merge of `/usr` have them in both.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// Writes `bin/PROGRAM` for every program of the root below `directory`.
pub(super) fn write(directory: &Path) -> Outcome {
    let directory = directory
        .canonicalize()
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let root = directory.join("root");
    let libraries: Vec<PathBuf> = LIBRARIES.iter().map(|name| root.join(name)).collect();
    // `lib64` has a link with an absolute path, which leads to the loader of this machine.
    let loader = libraries
        .iter()
        .map(|place| place.join(LOADER))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{}: there is no {LOADER}", root.display()))?;
    let paths: Vec<String> = libraries.iter().map(|path| path.display().to_string()).collect();
    let bin = directory.join("bin");
    std::fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    for program in PROGRAMS {
        let text = format!(
            "#!/bin/sh\nexec '{}' --library-path '{}' --argv0 \"${{0##*/}}\" '{}' \"$@\"\n",
            loader.display(),
            paths.join(":"),
            root.join("usr/bin").join(program).display()
        );
        let path = bin.join(program);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        // A test may be about to start it: it is there whole, or not yet.
        let new = bin.join(format!(".{program}.{}", std::process::id()));
        let written = std::fs::write(&new, text)
            .and_then(|()| std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)))
            .and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
