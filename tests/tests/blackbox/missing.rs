//! Every verb on kernels and filesystems that lack something, one thing at a time and as real places combine them.
//!
//! Each run does the whole work, with the bytes and words of the reference tool, or fails with a message that says what is missing,
//! and leaves nothing behind. `INSTAR_TEST_MATRIX=1` prints the table, which distinguishes runs that never reached the missing call (works)
//! from runs that did without it (falls back).

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use instar_tests::compare::checks_clean;
use instar_tests::disk::{self, Piece};
use instar_tests::missing::{FEATURES, PLACES};
use instar_tests::{Bench, Outcome, Reference, Sandbox, both_sandboxes, instar_path, ledger, variant};

const WITHOUT: &str = env!("CARGO_BIN_EXE_without");

/// Some work, and how it shows that it is done.
struct Work {
    line: &'static str,
    done: Done,
}

#[derive(Clone, Copy)]
enum Done {
    /// It prints what the reference tool prints.
    Prints,
    /// It prints the checksum of the disk.
    Sums,
    /// It prints these words.
    Says(&'static str),
    /// The target has the disk in it.
    Copies,
    /// The target is the one that the reference tool makes, byte for byte.
    Makes,
    /// The target is the one that the reference tool makes, with as much space.
    Reserves,
    /// The image shows the disk that it shows when the reference tool has changed it, and is sound.
    Changes,
}

const WORK: &[Work] = &[
    work("info image", Done::Prints),
    work("info --backing-chain over", Done::Prints),
    work("info split.vmdk", Done::Prints),
    work("check over", Done::Prints),
    work("map over", Done::Prints),
    work("map -f raw disk.raw", Done::Prints),
    work("compare -f raw -F qcow2 disk.raw over", Done::Prints),
    work("measure -O qcow2 over", Done::Prints),
    work("snapshot -l image", Done::Prints),
    work("checksum -a sha256 over", Done::Sums),
    work("info --safety image", Done::Says("verdict: safe")),
    work("sandbox", Done::Says("protections in force")),
    work("trust --show over", Done::Says("base")),
    work("convert -O raw over out", Done::Copies),
    work("convert -O raw split.vmdk out", Done::Copies),
    work("convert -f raw -O qcow2 disk.raw out", Done::Copies),
    work("convert -f raw -C -O raw disk.raw out", Done::Makes),
    work("convert -c -O qcow2 over out", Done::Copies),
    work("convert -O vmdk -o subformat=monolithicFlat image out", Done::Copies),
    work("convert -O qcow2 -B base -F qcow2 over out", Done::Copies),
    work("convert -f raw -t none -T none -O raw disk.raw out", Done::Makes),
    work("convert -t writeback -O raw -o preallocation=falloc image out", Done::Reserves),
    work("convert -O raw -o preallocation=full image out", Done::Reserves),
    work("convert -O raw image old", Done::Makes),
    work("convert -n -O raw over old", Done::Copies),
    work("convert -n -O qcow2 over old.qcow2", Done::Copies),
    work("dd -f qcow2 bs=1M if=over of=out", Done::Copies),
    work("create -q -f raw out 1M", Done::Makes),
    work("create -q -f qcow2 out 1M", Done::Makes),
    work("create -q -f qcow2 old 1M", Done::Makes),
    work("create -q -f qcow2 -b over -F qcow2 out", Done::Makes),
    work("create -q -f raw -o preallocation=falloc out 1M", Done::Reserves),
    work("resize -q old.over 3M", Done::Changes),
    work("resize -q --shrink old.over 1M", Done::Changes),
    work("rebase -b disk.raw -F raw old.over", Done::Changes),
    work("rebase -u -b disk.raw -F raw old.over", Done::Changes),
    work("commit -q old.over", Done::Changes),
    work("commit -q -d old.over", Done::Changes),
    work("amend -o lazy_refcounts=on old.over", Done::Changes),
    work("bitmap --add old.over spots", Done::Changes),
    work("check -q -r all old.over", Done::Changes),
    work("snapshot -c two old.over", Done::Changes),
    work("snapshot -a one old.over", Done::Changes),
    work("snapshot -d one old.over", Done::Changes),
    work("bench -c 4 -w --pattern 7 old.over", Done::Changes),
];

const fn work(line: &'static str, done: Done) -> Work {
    Work { line, done }
}

/// What cannot be done: features, the start of the work, the sandbox, and the words of the message.
const CANNOT: &[(&str, &str, Option<Sandbox>, &str)] = &[
    ("direct-io", "convert -f raw -t none", None, "filesystem does not support O_DIRECT"),
    ("kvm-ioctls", "", Some(Sandbox::Kvm), "The KVM sandbox cannot be used"),
    ("executable-memory", "", Some(Sandbox::Process), "protecting the guest's memory"),
    ("processes", "trust", None, ANOTHER),
    ("processes", "", Some(Sandbox::Process), "No sandbox can be used on this machine"),
    ("seccomp", "", None, "seccomp"),
];

/// What cannot be done by work that takes more than one thread or process: features, the start of the work, the words of the message.
const MAY_NOT: &[(&str, &str, &str)] = &[
    ("processes", "commit", ANOTHER),
    // The instance has a time limit.
    ("timers", "commit", "The sandbox cannot run"),
    ("timers", "trust", "The sandbox cannot run"),
    ("threads", "", "The sandbox cannot run"),
    ("clone3-allowed", "", "The sandbox cannot run"),
    ("processes", "", "the size of the source could not be determined"),
];

const ANOTHER: &str = "another instance of instar, which would look at it, cannot run";

fn message(features: &str, line: &str, sandbox: Sandbox) -> Option<&'static str> {
    let missing = |name: &str| features.split(',').any(|feature| feature == name);
    let row = CANNOT
        .iter()
        .find(|row| missing(row.0) && line.starts_with(row.1) && row.2.is_none_or(|only| only == sandbox));
    row.map(|row| row.3)
}

/// The images, and what is expected of each work.
fn material(bench: &Bench) -> Vec<Expected> {
    disk::make(
        &bench.path("disk.raw"),
        2 << 20,
        &[Piece::Data(0, 300_000, 1), Piece::Data((1 << 20) + 512, 70_000, 2)],
    );
    for line in [
        "convert -f raw -O qcow2 disk.raw image",
        "snapshot -c one image",
        "convert -f raw -O qcow2 disk.raw base",
        "create -q -f qcow2 -b base -F qcow2 over",
        "convert -f raw -O vmdk -o subformat=monolithicFlat disk.raw split.vmdk",
        "create -q -f qcow2 old.qcow2 2M",
        "convert -f raw -O qcow2 disk.raw old.base",
        "create -q -f qcow2 -b old.base -F qcow2 kept",
    ] {
        bench.qemu(line.split(' ')).succeeds();
    }
    variant::io(bench, "kept", &["write -P 1 100k 200k"]);
    bench.qemu(["snapshot", "-c", "one", "kept"]).succeeds();
    variant::io(bench, "kept", &["write -P 2 200k 200k", "write -z 1M 64k"]);
    // What a file occupies is not known before it is on the disk.
    for name in bench.names() {
        fs::File::open(bench.path(&name)).unwrap().sync_all().unwrap();
    }
    WORK.iter().map(|work| expected(bench, work)).collect()
}

/// What stands at the place of the target before the work.
fn prepare(bench: &Bench, work: &Work) {
    for name in bench.names() {
        // Also what a run that was killed for the table has left.
        if name.contains("out") || name == "old" || name.starts_with('.') {
            fs::remove_file(bench.path(&name)).unwrap();
        }
    }
    fs::write(bench.path("old"), vec![7; 2 << 20]).unwrap();
    if work.line.contains("old.qcow2") {
        bench.qemu(["create", "-q", "-f", "qcow2", "old.qcow2", "2M"]).succeeds();
    }
    if matches!(work.done, Done::Changes) {
        fs::copy(bench.path("kept"), bench.path("old.over")).unwrap();
        fs::copy(bench.path("base"), bench.path("old.base")).unwrap();
    }
}

fn target(work: &Work) -> &'static str {
    let mut last = work
        .line
        .split(' ')
        .filter(|word| word.contains("o") && (word.ends_with("out") || word.starts_with("old")));
    last.next_back().map_or("out", |word| word.trim_start_matches("of="))
}

/// Standard output, the bytes of the target, and its space.
type Expected = (String, Vec<u8>, u64);

/// What the reference tool makes of the work where nothing is missing.
fn expected(bench: &Bench, work: &Work) -> Expected {
    prepare(bench, work);
    if matches!(work.done, Done::Sums) {
        // The same disk in one plain file.
        let sum = bench.instar(["checksum", "-a", "sha256", "-f", "raw", "disk.raw"]).text();
        return (sum.split(' ').next().unwrap().to_owned(), Vec::new(), 0);
    }
    if matches!(work.done, Done::Says(_)) {
        return Expected::default();
    }
    let outcome = bench.qemu(work.line.split(' '));
    outcome.succeeds();
    if matches!(work.done, Done::Changes) {
        return (String::new(), shown(bench, target(work)), 0);
    }
    let target = bench.path(target(work));
    let made = fs::read(&target).unwrap_or_default();
    let space = if target.exists() {
        instar_tests::compare::allocated(&target)
    } else {
        0
    };
    (outcome.text(), made, space)
}

/// The disk that the reference tool sees in an image.
fn shown(bench: &Bench, image: &str) -> Vec<u8> {
    bench.qemu(["convert", "-O", "raw", image, "shown.out"]).succeeds();
    let disk = fs::read(bench.path("shown.out")).unwrap();
    fs::remove_file(bench.path("shown.out")).unwrap();
    disk
}

/// What the reference tool prints where `features` are missing, if it can do the work there.
fn printed_here(bench: &Bench, work: &Work, features: &str) -> Option<Expected> {
    let here = Command::new(WITHOUT)
        .args(["error", features])
        .arg(Reference::installed().program("qemu-img").get_program())
        .args(work.line.split(' '))
        .current_dir(bench.directory())
        .output()
        .unwrap();
    let printed = String::from_utf8(here.stdout).unwrap();
    here.status.success().then(|| (printed, Vec::new(), 0))
}

fn judge(bench: &Bench, work: &Work, outcome: &Outcome, expected: &Expected, what: &str) {
    assert!(outcome.code() == Some(0) && outcome.stderr.is_empty(), "{what}: {outcome}");
    let (text, made, space) = expected;
    let name = target(work);
    let place = bench.path(name);
    match work.done {
        Done::Prints => assert_eq!(outcome.text(), *text, "{what}"),
        Done::Says(words) => assert!(outcome.text().contains(words), "{what}: {outcome}"),
        Done::Sums => assert!(outcome.text().contains(text.as_str()), "{what}: {outcome}"),
        Done::Changes => {
            assert!(shown(bench, name) == *made, "{what}: another disk");
            checks_clean(bench, name, what);
        }
        Done::Makes => assert!(fs::read(&place).unwrap() == *made, "{what}: other bytes"),
        Done::Reserves => {
            assert!(fs::read(&place).unwrap() == *made, "{what}: other bytes");
            assert!(instar_tests::compare::allocated(&place) >= *space, "{what}: less space");
        }
        Done::Copies => {
            let same = bench.qemu(["compare", "-f", "raw", "disk.raw", name]);
            assert_eq!(same.code(), Some(0), "{what}: {same}");
        }
    }
}

/// Does all the work on a system without `features`; adds a line to the table.
fn survive(bench: &Bench, known: &[Expected], called: &str, features: &str, table: &mut String) {
    let wants_table = std::env::var_os("INSTAR_TEST_MATRIX").is_some();
    let (mut works, mut falls_back, mut says) = (0, 0, 0);
    // `sandbox` says what is missing, and with which exit code, in tests of its own.
    for (work, elsewhere) in WORK.iter().zip(known).filter(|(work, _)| work.line != "sandbox") {
        let what = format!("{called}: {}", work.line);
        prepare(bench, work);
        let here = match work.done {
            Done::Prints => printed_here(bench, work, features),
            _ => None,
        };
        let expected = here.as_ref().unwrap_or(elsewhere);
        let before = bench.names();
        let run = |answer| {
            let wrapper = [WITHOUT, answer, features];
            Outcome::of(&mut bench.command_under(&wrapper, work.line.split(' ')))
        };
        let outcome = run("error");
        let threads = MAY_NOT
            .iter()
            .find(|row| features.split(',').any(|feature| feature == row.0) && work.line.starts_with(row.1));
        let refused = threads.filter(|_| outcome.code() != Some(0)).map(|row| row.2);
        if let Some(words) = message(features, work.line, bench.sandbox()).or(refused) {
            assert!(matches!(outcome.code(), Some(1..=4)), "{what}: {outcome}");
            assert!(outcome.is_civil().errors().contains(words), "{what}: {outcome}");
            assert_eq!(bench.names(), before, "{what} left something");
            says += 1;
            continue;
        }
        judge(bench, work, &outcome, expected, &what);
        let hidden = bench.names().into_iter().find(|name| name.starts_with('.'));
        assert_eq!(hidden, None, "{what} left something");
        if wants_table {
            prepare(bench, work);
            let killed = run("kill").status.signal().is_some();
            works += u32::from(!killed);
            falls_back += u32::from(killed);
        }
    }
    if wants_table {
        let _ = writeln!(table, "{called}: {works} work, {falls_back} fall back, {says} say why not");
    }
}

/// Features whose names are `chosen`.
fn one_by_one(bench: &Bench, chosen: fn(&str) -> bool) {
    let known = material(bench);
    let mut table = String::new();
    for feature in FEATURES.iter().filter(|feature| chosen(feature.name)) {
        survive(bench, &known, feature.name, feature.name, &mut table);
    }
    print!("{table}");
}

/// What files, directories and filesystems do.
const OF_FILESYSTEMS: &[&str] = &[
    "unnamed-files",
    "links",
    "exclusive-rename",
    "rename",
    "unlink",
    "locks",
    "leases",
    "direct-io",
    "file-flags",
    "attributes",
    "directory-flush",
];

/// What sandboxes are made of.
const OF_THE_SANDBOX: &[&str] = &[
    "openat2",
    "openat2-allowed",
    "close-range",
    "close-range-allowed",
    "pidfd-signals",
    "pidfds",
    "clone3",
    "clone3-allowed",
    "threads",
    "processes",
    "timers",
    "landlock",
    "seccomp",
    "executable-memory",
    "kvm-ioctls",
];

both_sandboxes!(
    every_verb_does_without_what_directories_lack,
    every_verb_does_without_what_kernels_lack,
    every_verb_does_without_what_sandboxes_lack_or_says_so,
    every_verb_works_in_real_places,
    every_verb_keeps_within_limits_or_says_so,
    every_verb_works_for_another_user_than_root,
);

fn every_verb_does_without_what_directories_lack(bench: &Bench) {
    one_by_one(bench, |name| OF_FILESYSTEMS.contains(&name));
}

fn every_verb_does_without_what_kernels_lack(bench: &Bench) {
    one_by_one(bench, |name| !OF_FILESYSTEMS.contains(&name) && !OF_THE_SANDBOX.contains(&name));
}

fn every_verb_does_without_what_sandboxes_lack_or_says_so(bench: &Bench) {
    one_by_one(bench, |name| OF_THE_SANDBOX.contains(&name));
}

fn every_verb_works_in_real_places(bench: &Bench) {
    let known = material(bench);
    let mut table = String::new();
    for (name, features) in PLACES {
        survive(bench, &known, name, &features.join(","), &mut table);
    }
    print!("{table}");
}

/// What a caller takes away, and the words that do so. All work is done within each.
const LIMITS: &[(&str, &[&str])] = &[
    ("256 MiB of addresses", &["prlimit", "--as=268435456"]),
    ("2 seconds of a processor", &["prlimit", "--cpu=2"]),
    ("32 descriptors", &["prlimit", "--nofile=32"]),
    ("no standard input and no standard error", &["sh", "-c", "exec \"$@\" <&- 2>&-", "sh"]),
    ("no core files, no locked memory", &["prlimit", "--core=0", "--memlock=0"]),
];

/// Mounts of its own: no /proc; a directory in which nothing can be made or changed.
const WITHOUT_PROC: &[&str] = &["unshare", "-m", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"];
const READ_ONLY: &[&str] = &[
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" && exec \"$@\"",
    "sh",
];

/// Another user than root, who owns everything here and belongs to the group that may use KVM: a wrapper for the program.
fn another_user(bench: &Bench) -> Option<String> {
    let program = bench.state().join("instar");
    fs::copy(instar_path(), &program).unwrap();
    let group = fs::metadata("/dev/kvm").map_or(NOBODY, |device| device.gid());
    let other = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --groups={group}");
    let copy = program.display();
    // What follows is the program where this user may not be able to read it.
    let wrapper = format!("{other} sh -c 'shift; exec {copy} \"$@\"' sh");
    for place in [bench.state(), &program] {
        chown(place, Some(NOBODY), Some(NOBODY)).ok()?;
    }
    let mode = bench.sandbox().name();
    let tried = format!("{other} {copy} sandbox --sandbox {mode}");
    let tried = Command::new("sh").args(["-c", &tried]).output().ok()?;
    tried.status.success().then_some(wrapper)
}

const NOBODY: u32 = 65534;

fn every_verb_works_for_another_user_than_root(bench: &Bench) {
    let known = material(bench);
    let Some(wrapper) = another_user(bench) else {
        return ledger::skip("only root becomes another user, who may use the sandbox");
    };
    let wrapper = format!("exec {wrapper} \"$@\"");
    let mut cells = 0;
    for (work, expected) in bench.share(WORK.iter().zip(&known)) {
        prepare(bench, work);
        let names = bench.names().into_iter().map(|name| bench.path(&name));
        for place in names.chain([bench.directory().to_owned()]) {
            chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut command = bench.command_under(&["sh", "-c", &wrapper, "sh"], work.line.split(' '));
        judge(bench, work, &Outcome::of(&mut command), expected, &format!("another user: {}", work.line));
        cells += 1;
    }
    ledger::count("cells of the matrix of verbs and limits", cells);
}

fn every_verb_keeps_within_limits_or_says_so(bench: &Bench) {
    let known = material(bench);
    let run = |wrapper: &[&str], work: &Work| {
        prepare(bench, work);
        Outcome::of(&mut bench.command_under(wrapper, work.line.split(' ')))
    };
    let mut cells = 0;
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    let mounts = mounts.is_ok_and(|status| status.success());
    if !mounts {
        ledger::skip(
            "mounts of its own are only for root: no /proc is taken away, no directory is read-only",
        );
    }
    let without_proc = mounts.then_some(("no /proc", WITHOUT_PROC));
    for (called, wrapper) in LIMITS.iter().copied().chain(without_proc) {
        for (work, expected) in bench.share(WORK.iter().zip(&known)) {
            let outcome = run(wrapper, work);
            judge(bench, work, &outcome, expected, &format!("{called}: {}", work.line));
            cells += 1;
        }
    }
    for (work, expected) in bench.share(WORK.iter().zip(&known)).filter(|_| mounts) {
        let what = format!("read-only directory: {}", work.line);
        let outcome = run(READ_ONLY, work);
        if matches!(work.done, Done::Prints | Done::Sums | Done::Says(_)) {
            judge(bench, work, &outcome, expected, &what);
        } else {
            let said = outcome.is_civil().errors();
            assert!(matches!(outcome.code(), Some(1..=3)), "{what}: {outcome}");
            assert!(said.contains("Read-only file system"), "{what}: {outcome}");
        }
        cells += 1;
    }
    ledger::count("cells of the matrix of verbs and limits", cells);
}
