//! The whole command line of `convert`, in hundreds of lines: both programs run under the same name, in the same environment,
//! and agree in exit code, output, messages and written files. `deviating::options` has the differences.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::{Bench, Outcome, Sandbox, disk, instar_path, ledger, variant};

const LINES: &str = include_str!("lines.txt");

/// Parts into which the lines are cut, to run beside each other.
const PARTS: usize = 4;

/// What the lines refer to.
const MATERIAL: &[&str] = &[
    "convert -f raw -O qcow2 disk.raw q",
    "convert -f raw -O vmdk disk.raw v",
    "convert -f raw -O vpc disk.raw p",
    "convert -f raw -O vdi disk.raw d",
    "convert -f raw -O vhdx disk.raw x",
    "create -q -f qcow2 -b q -F qcow2 over",
    "create -q -f qcow2 -b disk.raw -F raw over2",
    "convert -f raw -O qcow2 disk.raw snap",
    "snapshot -c s1 snap",
    "snapshot -c s2 snap",
    "convert -f raw -O qcow2 disk.raw bm",
    "bitmap --add bm b0",
    "bitmap --add bm b1",
    "create -q -f qcow2 eq 8M",
    "create -q -f raw er 8M",
    "create -q -f qcow2 small 1M",
    "create -q -f raw smallr 1M",
];

/// Images that lines write into.
const WRITTEN: &[&str] = &["eq", "er"];

const WHO: [&str; 2] = ["theirs", "ours"];

fn material(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for line in MATERIAL {
        bench.qemu(line.split(' ')).succeeds();
    }
    variant::io(bench, "snap", &["write -P 7 64k 128k"]);
    variant::io(bench, "over", &["write -P 7 64k 128k"]);
    variant::io(bench, "bm", &["write -P 9 1M 128k"]);
    fs::write(bench.path("odd.raw"), disk::pattern(0, 1000, 8)).unwrap();
    fs::write(bench.path("sec"), "abc").unwrap();
    fs::write(bench.path("a:b"), [b'x'; 1024]).unwrap();
    let names = bench.names();
    for who in WHO {
        fs::create_dir(bench.path(who)).unwrap();
        for name in &names {
            fs::copy(bench.path(name), bench.path(who).join(name)).unwrap();
        }
    }
    let links = bench.path("links");
    fs::create_dir(&links).unwrap();
    symlink(instar_path(), links.join("qemu-img")).unwrap();
}

/// Words of a line; quotes hold one together, and words before the verb set the environment.
fn words(line: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            letter => word.push(letter),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    let verb = words.iter().position(|word| word == "convert").unwrap();
    let environment = words.drain(..verb);
    let environment = environment.map(|word| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    (environment.collect(), words)
}

fn run(bench: &Bench, who: &str, line: &str) -> Outcome {
    let mut path = instar_tests::Reference::search_path();
    if who == "ours" {
        let mut all = bench.path("links").into_os_string();
        all.push(":");
        all.push(path);
        path = all;
    }
    let (environment, words) = words(line);
    Outcome::of(
        Command::new("env")
            .arg("qemu-img")
            .args(words)
            .current_dir(bench.path(who))
            .envs(environment)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOME", bench.directory())
            .env_remove("XDG_CONFIG_HOME")
            .envs(instar_tests::reference::environment())
            .env("INSTAR_SANDBOX", bench.sandbox().name()),
    )
}

/// Standard output without the steps of progress between the first and the last.
fn settled(outcome: &Outcome) -> String {
    let text = outcome.text();
    let parts = text.split_inclusive('\r');
    let kept = parts.filter(|part| {
        let step = part.strip_prefix("    (").and_then(|rest| rest.strip_suffix("/100%)\r"));
        step.is_none_or(|step| ["0.00", "100.00"].contains(&step))
    });
    kept.collect()
}

/// The disk in `name` is the same in both places, whatever its format, which is the same, too.
fn same_disk(bench: &Bench, name: &str, what: &str) {
    let format = |who: &str| {
        let info = bench.qemu(["info", "-U", "--output=json", &format!("{who}/{name}")]);
        let value: serde_json::Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
        value["format"].as_str().unwrap().to_owned()
    };
    assert_eq!(format("theirs"), format("ours"), "{what}");
    let raws = WHO.map(|who| {
        let raw = format!("{who}.raw");
        // A data file is looked for where the program is called.
        let read = Outcome::of(
            instar_tests::Reference::installed()
                .program("qemu-img")
                .current_dir(bench.path(who))
                .args(["convert", "-O", "raw", name])
                .arg(bench.path(&raw)),
        );
        read.succeeds();
        raw
    });
    same_bytes(bench, &raws[0], &raws[1], what);
}

/// Both programs do the same with a line.
fn same(bench: &Bench, line: &str, names: &[String]) {
    let [theirs, ours] = WHO.map(|who| run(bench, who, line));
    let comparable = !instar_tests::reference::lacks_option(&theirs, &ours);
    if comparable {
        assert_eq!(theirs.code(), ours.code(), "{line}: {theirs}{ours}");
        assert_eq!(theirs.errors(), ours.errors(), "{line}");
        assert_eq!(settled(&theirs), settled(&ours), "{line}");
    }
    let there = WHO.map(|who| {
        let mut names: Vec<String> = fs::read_dir(bench.path(who))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    });
    if comparable && theirs.code() == Some(0) {
        assert_eq!(there[0], there[1], "{line}");
        let new = there[0].iter().find(|name| *name == "out");
        let written = WRITTEN.iter().find(|name| line.contains(**name));
        for name in new.map(String::as_str).into_iter().chain(written.copied()) {
            same_disk(bench, name, line);
        }
    } else if comparable {
        assert_eq!(there[1], *names, "{line}: failed, and left something behind");
    }
    for (who, there) in WHO.iter().zip(&there) {
        for name in there.iter().filter(|name| !names.contains(name)) {
            fs::remove_file(bench.path(who).join(name)).unwrap();
        }
        for name in WRITTEN.iter().filter(|name| line.contains(**name)) {
            fs::copy(bench.path(name), bench.path(who).join(name)).unwrap();
        }
    }
}

/// Options do not depend on the sandbox; the halves of the lines are shared out among the two.
fn part(sandbox: Sandbox, index: usize) {
    fn none(_: &Bench) {}
    let mut available = Sandbox::Process;
    if sandbox == Sandbox::Kvm && fs::File::options().read(true).write(true).open("/dev/kvm").is_ok() {
        available = Sandbox::Kvm;
    }
    Bench::with(available, module_path!(), none);
    // Direct I/O in memory works in pages, to which qemu-img rounds the length up.
    let bench = Bench::new(available).on_disk();
    material(&bench);
    let mut names: Vec<String> = fs::read_dir(bench.path("ours"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.skip(index).step_by(PARTS) {
        same(&bench, line, &names);
    }
}

#[test]
fn every_line_is_answered_alike_1() {
    part(Sandbox::Kvm, 0);
}

#[test]
fn every_line_is_answered_alike_2() {
    part(Sandbox::Process, 1);
}

#[test]
fn every_line_is_answered_alike_3() {
    part(Sandbox::Kvm, 2);
}

#[test]
fn every_line_is_answered_alike_4() {
    part(Sandbox::Process, 3);
}

/// Options taken together, in pairs, each with a value that is fine and one that is not.
#[test]
fn pairs_of_options_are_judged_alike() {
    const PIECES: &[&str] = &[
        "-c",
        "-C",
        "-S 4k",
        "-S 1",
        "-n",
        "-W",
        "-m 4",
        "-m 0",
        "-r 10M",
        "-r x",
        "-t none",
        "-t bad",
        "-T bad",
        "--salvage",
        "--target-is-zero",
        "--target-image-opts",
        "--image-opts",
        "--skip-broken-bitmaps",
        "-o size=1M",
        "-o bad=1",
        "-f bad",
        "-O qcow2",
        "-O bad",
        "-F raw",
        "-l s1",
        "-q",
        "-p",
        "-U",
    ];
    let bench = Bench::new(Sandbox::Process);
    material(&bench);
    let mut names: Vec<String> = fs::read_dir(bench.path("ours"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for (index, first) in PIECES.iter().enumerate() {
        for second in PIECES.iter().skip(index + 1) {
            // The source does not exist, so that nothing is written.
            same(&bench, &format!("convert {first} {second} absent out"), &names);
        }
    }
    ledger::ran("process", module_path!());
}
