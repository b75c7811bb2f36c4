//! The sandbox in use, and the output of instar about it.

use std::fs;
use std::process::Command;

use instar_tests::craft::Crafted;
use instar_tests::{Bench, Outcome, Sandbox, both_sandboxes, disk, instar_path, ledger};

both_sandboxes!(
    sandbox_says_which_one_is_in_use,
    verbs_open_only_the_files_that_they_need,
    a_configuration_that_cannot_be_read_is_an_error,
    a_configuration_sets_the_policy,
);

fn sandbox_says_which_one_is_in_use(bench: &Bench) {
    let human = bench.instar(["sandbox"]);
    assert!(human.succeeds().text().contains(bench.sandbox().name()), "{human}");
    let json = bench.instar(["sandbox", "--output=json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.succeeds().stdout).unwrap();
    assert!(value.to_string().contains(bench.sandbox().name()), "{json}");
}

/// Under strace: the source is opened once, nothing else in reach of the image, and no socket is made.
fn verbs_open_only_the_files_that_they_need(bench: &Bench) {
    if Command::new("strace").arg("-V").output().is_err() {
        return ledger::skip("strace is not installed");
    }
    let image = Crafted::image(bench, "image", "4M", "", 65536);
    image.backing(b"below.raw");
    disk::usual(&bench.path("below.raw"));
    for (words, opened) in [
        (["info", "image"].as_slice(), ["image"].as_slice()),
        (&["info", "--output=json", "image"], &["image"]),
        (&["convert", "--untrusted", "-O", "raw", "image", "out"], &["image"]),
        (&["convert", "-O", "raw", "image", "out"], &["image", "below.raw"]),
    ] {
        let trace =
            ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=open,openat,openat2,socket,connect,execve"];
        Outcome::of(&mut bench.command_under(&trace, words)).is_civil();
        let trace = fs::read_to_string(bench.path("trace")).unwrap();
        assert!(trace.contains("execve("), "strace saw nothing: {trace}");
        assert!(!trace.contains("socket(") && !trace.contains("connect("), "{trace}");
        assert_eq!(trace.matches("execve(").count(), 1, "{trace}");
        for name in ["image", "below.raw"] {
            let times = trace
                .lines()
                .filter(|line| {
                    line.contains("open")
                        && !line.contains("O_PATH")
                        && line.contains(&format!("{name}\""))
                        && !line.contains(" = -1")
                })
                .count();
            assert_eq!(
                times,
                usize::from(opened.contains(&name)),
                "{words:?} opened {name} {times} times:\n{trace}"
            );
        }
        // And nothing else but what the program itself and the machine are made of.
        let others: Vec<&str> = trace
            .lines()
            .filter(|line| line.contains("open") && !line.contains("O_PATH") && !line.contains(" = -1"))
            // A new file without a name, for an image that turns out to be packed.
            .filter(|line| !line.contains("O_TMPFILE"))
            .filter_map(opened_name)
            .collect();
        let strangers: Vec<_> = others
            .iter()
            .filter(|name| {
                !opened.contains(name)
                    && **name != "."
                    && !OF_THE_MACHINE.iter().any(|place| name.starts_with(place))
            })
            .collect();
        assert!(strangers.is_empty(), "{words:?} opened {strangers:?} too:\n{trace}");
        assert!(opened.iter().all(|name| others.contains(name)), "{words:?}: {others:?}");
        fs::remove_file(bench.path("trace")).unwrap();
    }
}

fn a_configuration_that_cannot_be_read_is_an_error(bench: &Bench) {
    disk::usual(&bench.path("image"));
    fs::write(bench.path("bad.toml"), "untrusted = maybe\n").unwrap();
    bench.instar(["info", "--config", "bad.toml", "image"]).fails_with("bad.toml");
    fs::write(bench.path("typo.toml"), "untrustd = true\n").unwrap();
    bench.instar(["info", "--config", "typo.toml", "image"]).fails_with("typo.toml");
    bench.instar(["info", "--config", "absent.toml", "image"]).fails_with("absent.toml");
}

fn a_configuration_sets_the_policy(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 65536);
    disk::usual(&bench.path("below.raw"));
    image.backing(b"below.raw");
    fs::write(bench.path("strict.toml"), "untrusted = true\n").unwrap();
    bench
        .instar(["convert", "--config", "strict.toml", "-O", "raw", "image", "out"])
        .fails_with("below.raw");
    fs::create_dir_all(bench.path(".config/instar")).unwrap();
    fs::write(bench.path(".config/instar/config.toml"), "untrusted = true\n").unwrap();
    bench.instar(["convert", "-O", "raw", "image", "out"]).fails_with("below.raw");
}

/// Where a program finds its libraries, its settings, the clock and what the kernel says of the machine.
const OF_THE_MACHINE: &[&str] =
    &["/etc/", "/lib", "/usr/lib", "/usr/share/zoneinfo", "/proc/", "/sys/", "/dev/kvm", "/dev/urandom"];

/// The name in a line of a trace of calls that open files.
fn opened_name(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

/// The process that holds file descriptors has no code that parses images: no symbol of it is in the binary outside the sandboxed ELF,
/// which is stripped.
#[test]
fn the_binary_has_no_symbol_of_a_format() {
    let binary = fs::read(instar_path()).unwrap();
    let text = String::from_utf8_lossy(&binary);
    let holds = |name: &str| text.contains(name);
    if !holds("instar_engine") {
        return ledger::skip("the binary under test is stripped");
    }
    for name in [
        "instar_disk",
        "instar_qcow2",
        "instar_raw",
        "instar_vmdk",
        "instar_vhd",
        "instar_vdi",
        "instar_ops",
        "instar_codecs",
        "zlib_rs",
    ] {
        assert!(!holds(name), "{name} is linked into the host");
    }
}

#[test]
fn an_unknown_sandbox_is_refused() {
    let bench = Bench::new(Sandbox::Process);
    disk::usual(&bench.path("image"));
    let outcome = Outcome::of(Command::new(instar_path()).current_dir(bench.directory()).args([
        "info",
        "--sandbox",
        "none",
        "image",
    ]));
    outcome.fails();
}
