//! Completion in bash.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use instar_cli::completion::Shell;
use instar_packages::papers;
use tempfile::{TempDir, tempdir};

use crate::support::{installed, options, quiet, verbs};

/// A directory with the script, a program for it to find, and files to complete.
struct Stage(TempDir);

/// Prints what is offered for the words that follow, as the last of which bash would complete: the line comes first.
const DRIVER: &str = r#"
source ./script
COMP_LINE=$1 COMP_POINT=${#1}
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_instar "$1"
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"#;

impl Stage {
    fn new() -> Self {
        let directory = tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("script"), papers::completion(Shell::Bash)).unwrap();
        for name in ["instar", "other"] {
            fs::write(place(name), "").unwrap();
            fs::set_permissions(place(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink("instar", place("qemu-img")).unwrap();
        fs::create_dir(place("bases")).unwrap();
        fs::write(place("disk one.qcow2"), "").unwrap();
        fs::write(place("disk.raw"), "").unwrap();
        Self(directory)
    }

    /// What bash offers at the end of a line, sorted.
    fn offers(&self, line: &str) -> Vec<String> {
        let path = std::env::var("PATH").unwrap();
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            words.extend(cut(word));
        }
        let text = quiet(
            Command::new("bash")
                .current_dir(self.0.path())
                .env("PATH", format!("{}:{path}", self.0.path().display()))
                .args(["--norc", "-c", DRIVER, "bash", line])
                .args(&words),
        );
        let mut offers: Vec<String> = text.lines().map(str::to_owned).collect();
        offers.sort();
        offers
    }
}

/// A word as bash cuts it: `=` and `:` are words of their own.
fn cut(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in word.chars() {
        if ['=', ':'].contains(&character) {
            parts.extend([character.to_string(), String::new()]);
        } else {
            parts.last_mut().unwrap().push(character);
        }
    }
    let last = parts.len() - 1;
    let mut index = 0;
    parts.retain(|part| {
        index += 1;
        !part.is_empty() || index - 1 == last
    });
    parts
}

#[test]
fn the_script_is_bash() {
    if installed("bash", "completion in bash is not tried").is_none() {
        return;
    }
    let stage = Stage::new();
    quiet(
        Command::new("bash")
            .current_dir(stage.0.path())
            .args(["-n", "script"]),
    );
    let registered = quiet(Command::new("bash").current_dir(stage.0.path()).args([
        "--norc",
        "-c",
        "source ./script; complete -p instar qemu-img",
    ]));
    assert_eq!(
        registered,
        "complete -F _instar instar\ncomplete -F _instar qemu-img\n"
    );
}

#[test]
fn bash_completes_every_verb_and_every_option_of_it() {
    if installed("bash", "completion in bash is not tried").is_none() {
        return;
    }
    let stage = Stage::new();
    let mut all = verbs();
    all.sort();
    assert_eq!(stage.offers("instar "), all);
    assert_eq!(
        stage.offers("instar --timeout 5 --allow-dir=bases co"),
        ["commit", "compact", "compare", "convert"]
    );
    for verb in all {
        let offers = stage.offers(&format!("instar {verb} --"));
        for option in options(&verb) {
            assert!(offers.contains(&option), "{verb}: {option} is not in {offers:?}");
        }
    }
}

#[test]
fn bash_completes_what_follows_an_option() {
    if installed("bash", "completion in bash is not tried").is_none() {
        return;
    }
    let stage = Stage::new();
    for (line, offers) in [
        ("instar convert -O qc", &["qcow", "qcow2"][..]),
        ("instar convert -pcO v", &["vdi", "vhdx", "vmdk", "vpc"]),
        ("instar convert -O d", &[]),
        ("instar convert -f d", &["dmg"]),
        ("instar convert --output-format=qcow", &["qcow", "qcow2"]),
        ("instar convert -t write", &["writeback", "writethrough"]),
        ("instar info --output ", &["human", "json"]),
        ("instar info --output=j", &["json"]),
        ("instar check -r ", &["all", "leaks"]),
        ("instar convert --progress=", &["json"]),
        ("instar convert --progress disk.", &["disk.raw"]),
        ("instar info --sandbox k", &["kvm"]),
        ("instar info --allow-dir b", &["bases"]),
        ("instar info --allow-dir=b", &["bases"]),
        ("instar rebase -b disk", &["disk one.qcow2", "disk.raw"]),
        ("instar info d", &["disk one.qcow2", "disk.raw"]),
        ("instar info -- -", &[]),
        ("instar dd b", &["bs="]),
        ("instar dd if=disk.", &["disk.raw"]),
        ("instar resize --preallocation f", &["falloc", "full"]),
        ("instar checksum -a ", &["blake3", "sha256"]),
        ("instar fleet ", &["finish", "plan", "run", "script", "status"]),
        ("instar fleet s", &["script", "status"]),
        ("instar fleet --to bases p", &["plan"]),
        ("instar fleet plan disk.", &["disk.raw"]),
    ] {
        assert_eq!(stage.offers(line), offers, "{line}");
    }
}

#[test]
fn bash_completes_lists_of_options_of_the_format_that_the_line_names() {
    if installed("bash", "completion in bash is not tried").is_none() {
        return;
    }
    let stage = Stage::new();
    for (line, offers) in [
        (
            "instar create -f qcow2 -o comp",
            &["compat=", "compression_type="][..],
        ),
        ("instar create -fqcow2 -o comp", &["compat=", "compression_type="]),
        (
            "instar create --format=qcow2 -o comp",
            &["compat=", "compression_type="],
        ),
        ("instar create -o s", &["size="]),
        ("instar convert -O vmdk -o sub", &["subformat="]),
        ("instar convert -O qcow2 -o preallocation=f", &["falloc", "full"]),
        (
            "instar convert -O qcow2 --options=lazy_refcounts=",
            &["off", "on"],
        ),
        (
            "instar convert -O qcow2 -o preallocation=off,lazy_ref",
            &["off,lazy_refcounts="],
        ),
        (
            "instar convert -O qcow2 -o preallocation=off,lazy_refcounts=o",
            &["off", "on"],
        ),
        ("instar measure -O luks -o key", &["key-secret="]),
        ("instar amend -o encrypt.k", &["encrypt.keyslot="]),
        ("instar amend -f raw -o ", &[]),
    ] {
        assert_eq!(stage.offers(line), offers, "{line}");
    }
}

#[test]
fn bash_completes_the_name_of_the_reference_tool_only_where_it_leads_here() {
    if installed("bash", "completion in bash is not tried").is_none() {
        return;
    }
    let stage = Stage::new();
    assert_eq!(stage.offers("qemu-img conv"), ["convert"]);
    assert_eq!(stage.offers("other conv"), Vec::<String>::new());
    fs::remove_file(stage.0.path().join("qemu-img")).unwrap();
    symlink("other", stage.0.path().join("qemu-img")).unwrap();
    assert_eq!(stage.offers("qemu-img conv"), Vec::<String>::new());
}
