//! The licences of everything that is linked: a list, and then each text once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::files::read;
use crate::linked::Linked;

/// How the names of files begin that contain licences.
const NAMES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Where the licence of the GNU C library is, which is linked statically: on Debian, and on Fedora.
const OF_THE_C_LIBRARY: &[&str] = &[
    "/usr/share/common-licenses/LGPL-2.1",
    "/usr/share/licenses/glibc/COPYING.LIB",
];

/// The file `copyright`.
///
/// # Errors
/// If a crate has no text of its licence, or a text cannot be read.
pub fn text(root: &Path, crates: &[Linked]) -> Result<String, String> {
    let foreign: Vec<&Linked> = crates.iter().filter(|linked| !linked.ours).collect();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |bytes: &[u8], of: String| {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let owners = texts.entry(text.trim_end().to_owned()).or_default();
        if !owners.contains(&of) {
            owners.push(of);
        }
    };
    for linked in &foreign {
        let files = licence_files(&linked.directory)?;
        if files.is_empty() {
            return Err(format!(
                "{} {}: no file with its licence",
                linked.id.0, linked.id.1
            ));
        }
        for file in files {
            add(&read(&file)?, format!("{} {}", linked.id.0, linked.id.1));
        }
    }
    let library = OF_THE_C_LIBRARY.iter().find(|path| Path::new(path).exists());
    let library = library.ok_or("the licence of the GNU C library is in none of the known places")?;
    add(&read(Path::new(library))?, "GNU C library".to_owned());
    let own = read(&root.join("LICENSE"))?;
    let mut all = head(&foreign);
    section(&mut all, "instar", &String::from_utf8_lossy(&own));
    for (text, owners) in texts {
        section(&mut all, &owners.join(", "), &text);
    }
    Ok(all)
}

fn head(foreign: &[&Linked]) -> String {
    let mut text = "instar is under the MIT licence. Other code is linked into the program and into the sandboxed program inside it; it is\n\
        under the licences that this list names. The texts follow, each after the names of those that it belongs to.\n\n"
        .to_owned();
    for linked in foreign {
        let _ = writeln!(text, "{} {}: {}", linked.id.0, linked.id.1, linked.licence);
        for author in &linked.authors {
            let _ = writeln!(text, "    {author}");
        }
    }
    text.push_str(
        "Rust standard library: MIT OR Apache-2.0; rust-standard-library.html has its notices and those of its parts\n\
         GNU C library: LGPL-2.1-or-later; the source of instar is enough to link it with another\n\
         libgcc: GPL-3.0-or-later WITH GCC-exception-3.1, under which programs that it is linked into can have any licence\n",
    );
    text
}

fn section(all: &mut String, owners: &str, text: &str) {
    let _ = write!(all, "\n{}\n{owners}\n\n{}\n", "-".repeat(76), text.trim_end());
}

/// The files of a crate that contain licences. Of C code in a directory of its own it is `LICENSE` alone: another file beside it is of
/// an alternative that the crate does not choose.
fn licence_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for entry in sorted(directory)? {
        let name = entry
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        if entry.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(entry);
        } else if name == "LICENSES" {
            found.extend(sorted(&entry)?.into_iter().filter(|path| path.is_file()));
        } else if entry.join("LICENSE").is_file() {
            found.push(entry.join("LICENSE"));
        }
    }
    Ok(found)
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error| format!("{}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(wrong)?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}
