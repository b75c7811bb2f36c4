//! Completion in zsh.

use std::process::Command;

use instar_cli::completion::Shell;
use instar_packages::papers;
use tempfile::{TempDir, tempdir};

use crate::support::{blocks, completes, completes_all, installed, quiet};

/// For the shell that completes: whatever is offered is written into the file `offers`, and `END` after each line.
const INNER: &str = r#"
fpath=($PWD $fpath)
autoload -Uz compinit
compinit -u -d $PWD/dump
zstyle ':completion:*' verbose no
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)* ]]; then
        local -a hits
        builtin compadd -A hits "$@"
        (($#hits)) && print -rl -- $hits >>offers
    fi
    builtin compadd "$@"
}
offer() { zle list-choices; zle kill-whole-line; print END >>offers }
zle -N offer
bindkey '^X' offer
LISTMAX=0
print READY >>offers
"#;

/// Drives it through a terminal.
const OUTER: &str = r#"
zmodload zsh/zpty
zmodload zsh/zselect
zpty shell zsh -f -i
wait() {
    local -i tries
    for ((tries = 0; tries < 3000; tries++)); do
        [[ -e offers && $(grep -c "^$1" offers) -ge $2 ]] && return
        zpty -r -t shell _
        zselect -t 1
    done
    print -u2 "no $1"
    exit 1
}
zpty -w shell 'source ./inner'
wait READY 1
integer count=0
for line in "$@"; do
    zpty -w -n shell "$line"$'\C-X'
    wait END $((++count))
done
zpty -d shell
"#;

fn stage() -> TempDir {
    let directory = tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    put("_instar", &papers::completion(Shell::Zsh));
    put("inner", INNER);
    put("disk.raw", "");
    directory
}

/// What zsh offers at the end of each line, sorted.
fn offers(lines: &[String]) -> Option<Vec<Vec<String>>> {
    let zsh = installed("zsh", "completion in zsh is not tried")?;
    let directory = stage();
    quiet(
        Command::new(zsh)
            .args(["-f", "-c", OUTER, "zsh"])
            .args(lines)
            .current_dir(directory.path())
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8"),
    );
    let text = std::fs::read_to_string(directory.path().join("offers")).unwrap();
    let text = text.split_once("READY\n").unwrap().1;
    Some(blocks(text, |line| line))
}

#[test]
fn the_script_is_zsh() {
    let Some(zsh) = installed("zsh", "completion in zsh is not tried") else {
        return;
    };
    let directory = stage();
    quiet(
        Command::new(&zsh)
            .current_dir(directory.path())
            .args(["-n", "_instar"]),
    );
    let script = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d dump; print $_comps[instar]";
    let known = quiet(
        Command::new(&zsh)
            .current_dir(directory.path())
            .args(["-f", "-c", script]),
    );
    assert_eq!(known, "_instar\n");
}

#[test]
fn zsh_completes_every_verb_and_every_option_of_it() {
    completes_all(offers);
}

#[test]
fn zsh_completes_what_follows_an_option() {
    let expected: &[(&str, &[&str])] = &[
        ("instar --timeout 5 conv", &["convert"]),
        ("instar convert -O qc", &["qcow", "qcow2"]),
        ("instar convert -f dm", &["dmg"]),
        ("instar info --output=j", &["json"]),
        ("instar check -r ", &["all", "leaks"]),
        ("instar info di", &["disk.raw"]),
        ("instar fleet s", &["script", "status"]),
        ("instar fleet status di", &["disk.raw"]),
        ("instar dd if=di", &["disk.raw"]),
        ("instar create -f qcow2 -o lazy", &["lazy_refcounts"]),
        ("instar create -fqcow2 -o lazy_refcounts=", &["off", "on"]),
        (
            "instar create -f qcow2 -o size=1G,preallocation=f",
            &["falloc", "full"],
        ),
    ];
    completes(offers, expected);
}
