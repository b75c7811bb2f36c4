//! Programs that call qemu-img, run once with the installed qemu-img and once with instar in its place.

mod lines;
mod suites;

use std::path::{Path, PathBuf};

use crate::run::build;
use crate::{Outcome, workspace};

/// Verbs and uses of verbs that instar does not have yet, as they stand on a caller's line.
const MISSING: &[&str] = &["resize", "rebase", "commit", "amend", "bitmap"];

/// Where everything happens, and a directory for each program that holds nothing but a `qemu-img`.
struct Bench {
    home: PathBuf,
    stock: PathBuf,
    ours: PathBuf,
}

pub(crate) fn run(words: &[&str]) -> Outcome {
    build()?;
    let bench = Bench::new()?;
    let all = words.is_empty();
    let mut worse = 0;
    if all || words.contains(&"lines") {
        worse += lines::run(&bench)?;
    }
    for suite in suites::SUITES {
        if all || words.contains(&suite.name) {
            match suites::run(&bench, suite) {
                Ok(new) => worse += new,
                Err(reason) => println!("{}: skipped: {reason}", suite.name),
            }
        }
    }
    if worse > 0 {
        return Err(format!(
            "{worse} lines and tests work with qemu-img and not with instar, without a missing verb"
        ));
    }
    Ok(())
}

impl Bench {
    fn new() -> Result<Self, String> {
        let home = workspace::root().join("target/clients");
        std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let home = home.canonicalize().map_err(|error| error.to_string())?;
        let instar = crate::run::instar()?;
        let stock = std::env::var_os("PATH")
            .and_then(|path| {
                std::env::split_paths(&path)
                    .map(|directory| directory.join("qemu-img"))
                    .find(|program| program.is_file())
            })
            .ok_or("there is no qemu-img to compare with")?;
        Ok(Self {
            stock: link(&home.join("stock"), &stock)?,
            ours: link(&home.join("ours"), &instar)?,
            home,
        })
    }

    /// A PATH on which `qemu-img` is one of the two.
    fn path(&self, ours: bool) -> String {
        let first = if ours { &self.ours } else { &self.stock };
        format!(
            "{}:{}",
            first.display(),
            std::env::var("PATH").unwrap_or_default()
        )
    }
}

fn link(directory: &Path, program: &Path) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(directory).map_err(fail)?;
    let place = directory.join("qemu-img");
    let _ = std::fs::remove_file(&place);
    std::os::unix::fs::symlink(program, &place).map_err(fail)?;
    Ok(directory.to_owned())
}

/// The verb in a line or an error that instar does not have yet.
fn missing(text: &str) -> Option<&'static str> {
    let words = text.replace(['\'', '"', ','], " ");
    let words: Vec<&str> = words.split_whitespace().collect();
    MISSING
        .iter()
        .find(|verb| {
            let verb: Vec<&str> = verb.split(' ').collect();
            words.windows(verb.len() + 1).any(|window| {
                window.first().is_some_and(|first| first.ends_with("qemu-img"))
                    && window.get(1..) == Some(&verb)
            })
        })
        .copied()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_missing_verb_is_found_in_lines_and_in_errors_of_python() {
        assert_eq!(
            missing("qemu-img create x 1M && qemu-img resize x 2M"),
            Some("resize")
        );
        assert_eq!(
            missing("Command '['qemu-img', 'bitmap', '--add']' returned"),
            Some("bitmap")
        );
        assert_eq!(missing("qemu-img amend -o compat=1.1 x"), Some("amend"));
        assert_eq!(missing("qemu-img snapshot -l x; qemu-img info resize"), None);
    }
}
