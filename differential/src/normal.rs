//! What is left of an output when clocks, random numbers and space on disk are taken out.

use serde_json::Value;

use crate::program::Ended;

/// Standard output, comparable. Where both programs have written, it is nobody's promise at which place of a file data stands, nor
/// how much of the space that was asked for is taken: that is taken out, too.
pub(crate) fn output(words: &[String], ended: &Ended, written: bool) -> String {
    let text = without_progress(&String::from_utf8_lossy(&ended.stdout));
    let verb = words[0].as_str();
    if written && ["map", "measure"].contains(&verb) {
        return String::new();
    }
    if words.iter().any(|word| word.contains("json"))
        && let Ok(mut value) = serde_json::from_str::<Value>(&text)
    {
        strip(&mut value, written);
        return value.to_string();
    }
    let mut snapshots = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let fact = line.trim_start();
        let unstable =
            fact.starts_with("disk size:") || fact.starts_with("cid:") || fact.starts_with("parent cid:");
        let of_space = fact.starts_with("file length:")
            || fact.starts_with("Image end offset:")
            || fact.contains("% allocated,");
        if unstable || (written && of_space) {
            continue;
        }
        // The date of a snapshot; columns adapt to what is in them.
        if line.starts_with("ID ") {
            snapshots = true;
        }
        if snapshots && line.contains(':') && line.contains('-') {
            let kept: Vec<&str> = line.split_whitespace().filter(|word| !is_clock(word)).collect();
            lines.push(kept.join(" "));
            continue;
        }
        lines.push(line.to_owned());
    }
    lines.join("\n").trim_end().to_owned()
}

/// How far a command is depends on how it works.
fn without_progress(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("    (") {
        let Some((_, tail)) = after.split_once("/100%)\r") else {
            break;
        };
        kept.push_str(before);
        rest = tail;
    }
    kept + rest
}

fn is_clock(word: &str) -> bool {
    word.len() >= 8
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.'))
        && word.contains(['-', ':'])
}

/// Takes out what two runs never share.
fn strip(value: &mut Value, written: bool) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                let key = key.as_str();
                !(UNSTABLE.contains(&key) || written && OF_SPACE.contains(&key))
            });
            map.values_mut().for_each(|value| strip(value, written));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| strip(value, written)),
        _ => {}
    }
}

/// Standard error, without the program's name and numbers that qemu-img makes up.
pub(crate) fn complaint(ended: &Ended) -> String {
    let errors = ended.errors();
    // A release that lacks a part of its package says so.
    let lines = errors.lines().filter(|line| !line.starts_with("qemu: module "));
    let mut kept: Vec<String> = Vec::new();
    for line in lines.map(|line| unnumbered(line.trim_end())) {
        // qemu-img says some things each time that it opens an image.
        let again = ["WARNING: Image format", "         "]
            .iter()
            .any(|start| line.starts_with(start));
        if !(again && kept.contains(&line)) {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// `#block123` is how qemu-img calls an image of which it has lost the name.
fn unnumbered(line: &str) -> String {
    let Some((before, after)) = line.split_once("#block") else {
        return line.to_owned();
    };
    let after = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
    format!("{before}#block{}", unnumbered(after))
}

/// A message whose numbers do not matter.
pub(crate) fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in line.chars() {
        let digit = letter.is_ascii_digit() || (inside && (letter.is_ascii_hexdigit() || letter == 'x'));
        if digit && !inside {
            text.push('N');
        }
        if !digit {
            text.push(letter);
        }
        inside = digit;
    }
    text
}

/// Where an image is called by a number, the other program may say its name, which is one of the words. Where both have `written`, it
/// is nobody's promise which cluster is the first that has too many streams for a narrower refcount.
pub(crate) fn same_complaint(words: &[String], theirs: &Ended, ours: &Ended, written: bool) -> bool {
    let [theirs, ours] = [theirs, ours].map(|ended| {
        let said = complaint(ended);
        match said.split_once(TOO_MANY) {
            Some((before, _)) if written && before.contains(NARROWER) => before.to_owned(),
            _ => said,
        }
    });
    theirs == ours
        || (theirs.contains("#block") && words.iter().any(|word| theirs.replace("#block", word) == ours))
}

/// What `amend -o refcount_bits=` says, and what it says of a place.
const NARROWER: &str = "Cannot decrease refcount entry width to";
const TOO_MANY: &str = ": Cluster at offset";

/// Of `check` and `info`, what depends on where data stands.
const OF_SPACE: [&str; 6] = [
    "children",
    "image-end-offset",
    "allocated-clusters",
    "fragmented-clusters",
    "compressed-clusters",
    "total-clusters",
];

const UNSTABLE: [&str; 7] = [
    "actual-size",
    "cid",
    "parent-cid",
    "date-sec",
    "date-nsec",
    "vm-clock-sec",
    "vm-clock-nsec",
];
