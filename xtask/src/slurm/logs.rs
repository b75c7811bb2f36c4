//! What is shown when something has gone wrong.

use std::path::{Path, PathBuf};

/// Lines of each file.
const TAIL: usize = 15;

/// The ends of the daemons' logs in the room, and of what tasks printed.
pub(super) fn logs(room: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(room) else {
        return String::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| match path.extension().and_then(|end| end.to_str()) {
            Some("log") => true,
            // A daemon that has a log says the same there.
            Some("out") => !path.with_extension("log").exists(),
            _ => false,
        })
        .collect();
    files.sort();
    files.iter().filter_map(|file| end(file)).collect()
}

/// The last lines of a file under its name, if it has any.
fn end(file: &Path) -> Option<String> {
    let whole = std::fs::read(file).ok()?;
    let whole = String::from_utf8_lossy(&whole);
    let lines: Vec<&str> = whole.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL)..)?;
    let name = file.file_name()?.to_string_lossy();
    (!last.is_empty()).then(|| format!("\n── the end of {name}\n{}", last.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_logs_are_shown_and_nothing_twice() {
        let room = tempfile::tempdir().unwrap();
        let long: String = (0..100).map(|number| format!("line {number}\n")).collect();
        for (name, text) in [
            ("n1.log", long.as_str()),
            ("n1.out", "twice"),
            ("slurm-1_0.out", "refused\n"),
            ("n2.log", ""),
            ("plan.jsonl", "{}"),
        ] {
            std::fs::write(room.path().join(name), text).unwrap();
        }
        let shown = logs(room.path());
        assert!(
            shown.contains("the end of n1.log\nline 85\n") && shown.contains("line 99\n"),
            "{shown}"
        );
        assert!(shown.ends_with("the end of slurm-1_0.out\nrefused"), "{shown}");
        for absent in ["line 84", "twice", "n2", "plan"] {
            assert!(!shown.contains(absent), "{absent}: {shown}");
        }
    }
}
