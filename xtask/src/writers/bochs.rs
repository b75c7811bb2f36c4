//! `bximage` of Bochs, in the version of each suite.

use std::path::Path;
use std::process::Stdio;

use super::apt::Tree;
use super::bench::Bench;
use super::{Image, Made};

/// bximage's modes whose formats qemu-img reads, with its name of each.
const MODES: &[(&str, &str)] = &[("vpc", "vpc"), ("vmware4", "vmdk"), ("growing", "bochs")];

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let apt = bench.apt()?;
    ["bullseye", "bookworm", "trixie", "sid"]
        .iter()
        .map(|suite| {
            let tree = apt.tree(suite, "bximage", &[])?;
            let room = bench.room(&format!("bximage-{suite}"))?;
            let mut made = Made::new("bximage", &tree.version("bximage"));
            // Its first name for the option.
            let function = if *suite == "bullseye" { "mode" } else { "func" };
            for (mode, format) in MODES {
                let mode_word = format!("-imgmode={mode}");
                let create = format!("-{function}=create");
                let created = format!("created.{mode}");
                let outcome = bximage(
                    &tree,
                    &room,
                    &["-q", &create, "-hd=10M", &mode_word, &format!("/room/{created}")],
                );
                let image = |variant: String, path: &str, truth: &str| Image {
                    variant,
                    path: room.join(path),
                    format,
                    truth: Some(room.join(truth)),
                    deviation: None,
                };
                made.add(outcome, image(format!("create, {mode}"), &created, "empty.raw"));
                for disk in ["odd", "even", "empty"] {
                    let (raw, path) = (format!("{disk}.raw"), format!("{disk}.{mode}"));
                    let convert = format!("-{function}=convert");
                    let words = [
                        "-q",
                        &convert,
                        &mode_word,
                        &format!("/room/{raw}"),
                        &format!("/room/{path}"),
                    ];
                    let outcome = bximage(&tree, &room, &words);
                    made.add(
                        outcome,
                        image(format!("convert, {mode}, {disk} disk"), &path, &raw),
                    );
                }
            }
            Ok(made)
        })
        .collect()
}

/// Runs it with nothing to ask from; it complains where it shows its progress.
fn bximage(tree: &Tree, room: &Path, words: &[&str]) -> Result<String, String> {
    let result = tree
        .command(room, "/usr/bin/bximage")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&result.stdout).replace('\r', "\n");
    if result.status.success() {
        return Ok(said);
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.unwrap_or_default().rsplit(']').next().unwrap_or_default();
    Err(format!("error: {}", last.trim()))
}
