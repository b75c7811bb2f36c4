//! Every verb that changes an image, tried on hostile ones.

use std::fs;
use std::process::Command;

use instar_tests::{Bench, Outcome};

use crate::PROMPT;

/// Commands that change `copy`.
pub(crate) const CHANGES: &[&[&str]] = &[
    &["bitmap", "--add", "copy", "new"],
    &["bitmap", "--add", "--merge", "one", "copy", "new"],
    &["bitmap", "--merge", "two", "copy", "one"],
    &["bitmap", "--clear", "copy", "one"],
    &["bitmap", "--remove", "copy", "one"],
    &["bitmap", "--remove-all", "copy"],
    &["amend", "-o", "refcount_bits=64", "copy"],
    &["amend", "-o", "refcount_bits=1", "copy"],
    &["amend", "-o", "compat=0.10", "copy"],
    &["amend", "-o", "lazy_refcounts=on", "copy"],
    &["amend", "--force", "-o", "size=1M", "copy"],
    &["resize", "copy", "+1G"],
    &["resize", "--preallocation=metadata", "copy", "+64M"],
    &["resize", "--shrink", "copy", "1M"],
    &["resize", "--shrink", "copy", "--", "-512"],
    &["snapshot", "-c", "new", "copy"],
    &["snapshot", "-a", "1", "copy"],
    &["snapshot", "-d", "one", "copy"],
    &["check", "-r", "leaks", "copy"],
    &["check", "-r", "all", "copy"],
    &["bench", "-w", "-c", "50", "-s", "5000", "-S", "70000", "copy"],
    &["rebase", "-u", "-b", "", "copy"],
    &["rebase", "-b", "", "copy"],
    &["commit", "copy"],
];

/// Each of them, on a copy of the image.
pub(crate) fn changed(bench: &Bench, image: &str) {
    for words in CHANGES {
        change(bench, image, words);
    }
}

/// One of them, on a copy of the image: it ends in time, and the file does not grow without bounds.
pub(crate) fn change(bench: &Bench, image: &str, words: &[&str]) {
    let copied =
        Command::new("cp").current_dir(bench.directory()).args(["--sparse=always", image, "copy"]).status();
    assert!(copied.unwrap().success());
    let outcome = Outcome::of(&mut bench.command_under(&["prlimit", "--as=268435456", "--core=0"], words));
    // A repair says what it finds, 65,536 times at most, and looks at all of it twice. That takes ten seconds of a processor, which other
    // tests may have as well.
    let (bound, most) = match words[0] {
        "check" => (PROMPT * 8, 32 << 20),
        _ => (PROMPT * 2, 8192),
    };
    outcome.is_civil().within(bound);
    assert!(outcome.stderr.len() < most, "{words:?}: too many words");
    let length = fs::metadata(bench.path("copy")).unwrap().len();
    let before = fs::metadata(bench.path(image)).unwrap().len();
    assert!(length <= before + (1 << 30), "{words:?}: it grew to {length} bytes");
}
