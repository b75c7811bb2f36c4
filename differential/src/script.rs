//! A case as a shell script: the same steps in two directories, qemu-img in one and instar in the other.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::case::{Case, Step};
use crate::edit::Edit;
use crate::twins::Twins;

/// The script of `case`. Edits follow pointers, so the bytes that they change are found out by making the image once more.
pub(crate) fn script(case: &Case, twins: &Twins<'_>) -> String {
    let mut text = String::from(HEAD);
    let _ = writeln!(text, "export INSTAR_QEMU_VERSION={}", twins.reference.profile());
    let _ = writeln!(text, "export INSTAR_SANDBOX={}", case.sandbox.name());
    let prefix = case.steps.iter().take_while(|step| step.is_setup()).count();
    text.push_str("cd theirs\n");
    for step in &case.steps[..prefix] {
        text.push_str(&made(step));
    }
    text.push_str("cp -a --sparse=always . ../ours\n");
    let ready = twins.fill(&case.steps[..prefix]);
    for step in &case.steps[prefix..] {
        match step {
            Step::Edit(edit) if ready => text.push_str(&edited(edit, &twins.theirs())),
            Step::Both(words) => {
                let _ = writeln!(text, "both {}", quoted(words));
                if ready {
                    twins.qemu(words, &twins.theirs());
                }
            }
            Step::Same(name, format) => {
                let _ = writeln!(text, "same {} {format}", word(name));
            }
            Step::Io(format, image, commands) => {
                for directory in ["theirs", "ours"] {
                    let _ = writeln!(text, "(cd ../{directory} && {})", io(format, image, commands));
                }
                if ready {
                    twins.io(format, image, commands, &twins.theirs());
                }
            }
            _ => text.push_str("# a step that cannot be shown\n"),
        }
    }
    text
}

fn made(step: &Step) -> String {
    match step {
        Step::Disk(name, size, pieces) => {
            let name = word(name);
            let mut text = format!("rm -f {name}; truncate -s {size} {name}\n");
            for piece in pieces {
                let _ = writeln!(text, "{}", piece.command(&name));
            }
            // Pieces at the end may be longer than what is left.
            let _ = writeln!(text, "truncate -s {size} {name}");
            text
        }
        Step::File(name, bytes) => {
            format!(
                "base64 -d <<'END' | gzip -d > {}\n{}END\n",
                word(name),
                packed(bytes)
            )
        }
        Step::Setup(words) => format!("$QEMU_IMG {} > /dev/null\n", quoted(words)),
        Step::Io(format, image, commands) => format!("{}\n", io(format, image, commands)),
        _ => String::new(),
    }
}

fn io(format: &str, image: &str, commands: &[String]) -> String {
    let commands: Vec<String> = commands
        .iter()
        .map(|words| format!("-c {}", word(words)))
        .collect();
    format!(
        "$QEMU_IO -f {format} -d unmap {} {} > /dev/null",
        commands.join(" "),
        word(image)
    )
}

/// Bytes through gzip and base64.
fn packed(bytes: &[u8]) -> String {
    let mut child = Command::new("sh")
        .args(["-c", "gzip -9n | base64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Carries an edit out and shows which bytes it changes.
fn edited(edit: &Edit, directory: &Path) -> String {
    let path = directory.join(&edit.file);
    let before = fs::read(&path).unwrap_or_default();
    edit.apply(directory);
    let after = fs::read(&path).unwrap_or_default();
    let name = word(&edit.file);
    let mut text = String::new();
    if before.len() != after.len() {
        let _ = writeln!(
            text,
            "for d in theirs ours; do truncate -s {} ../$d/{name}; done",
            after.len()
        );
    }
    let mut at = 0;
    while at < after.len() {
        if before.get(at).copied().unwrap_or(0) == after[at] {
            at += 1;
            continue;
        }
        let end = (at..after.len())
            .find(|place| before.get(*place).copied().unwrap_or(0) == after[*place])
            .unwrap_or(after.len());
        let bytes: String = after[at..end]
            .iter()
            .map(|byte| format!("\\{byte:03o}"))
            .collect();
        let _ = writeln!(
            text,
            "for d in theirs ours; do printf '{bytes}' | dd of=../$d/{name} bs=1 seek={at} conv=notrunc status=none; done"
        );
        at = end;
    }
    text
}

pub(crate) fn quoted(words: &[String]) -> String {
    words.iter().map(|each| word(each)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

const HEAD: &str = "\
#!/bin/sh
# The same commands in two directories. INSTAR, QEMU_IMG and QEMU_IO name the programs.
: \"${INSTAR:=instar}\" \"${QEMU_IMG:=qemu-img}\" \"${QEMU_IO:=qemu-io}\"
export LC_ALL=C TZ=UTC
work=$(mktemp -d /dev/shm/differential-XXXXXX) || exit 1
trap 'rm -rf \"$work\"' EXIT
mkdir \"$work/theirs\" \"$work/ours\"
cd \"$work\" || exit 1
both() {
    echo \"== $*\"
    (cd ../theirs && $QEMU_IMG \"$@\"; echo \"qemu-img: exit code $?\")
    (cd ../ours && $INSTAR \"$@\"; echo \"instar: exit code $?\")
}
same() {
    if [ \"$2\" = raw ]; then
        cmp \"../theirs/$1\" \"../ours/$1\" && echo \"$1: the same bytes\"
    else
        $QEMU_IMG compare -f \"$2\" -F \"$2\" \"../theirs/$1\" \"../ours/$1\"
    fi
}
";
