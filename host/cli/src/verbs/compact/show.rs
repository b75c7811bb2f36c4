//! `compact`: what was done, for people and as JSON.

use instar_abi::report::Compacted;

use crate::json::{Object, pretty};
use crate::show::human_size;

/// For people. A number of clusters or bytes that is none is left out.
pub(super) fn human(done: &Compacted) -> String {
    let mut text = String::new();
    if done.trimmed > 0 {
        let clusters = if done.trimmed == 1 { "cluster" } else { "clusters" };
        text.push_str(&format!("{} {clusters} of zeros given up.\n", done.trimmed));
    }
    if done.moved > 0 {
        text.push_str(&format!("{} moved.\n", human_size(done.moved)));
    }
    let (before, after) = (human_size(done.before), human_size(done.after));
    if done.after < done.before {
        text.push_str(&format!("The file had {before} and has {after} now.\n"));
    } else {
        text.push_str(&format!("The file has {after}, as before.\n"));
    }
    text
}

/// For programs.
pub(super) fn json(done: &Compacted, name: &[u8]) -> String {
    let object = Object::new()
        .with("filename", name)
        .with("zero-clusters", done.trimmed)
        .with("moved-bytes", done.moved)
        .with("size-before", done.before)
        .with("size-after", done.after);
    let mut text = pretty(&object.into());
    text.push('\n');
    text
}
