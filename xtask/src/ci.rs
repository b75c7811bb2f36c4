//! Everything that must hold before a change lands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, exists, step};
use crate::{Outcome, compatibility, deviations, fuzz, tidy, wheel, workspace};

/// Where tests write down which sandbox they ran in, what they skipped, and which deviations they showed.
const LEDGER: &str = instar_testkit::ledger::VARIABLE;

/// Skips without which some deviations cannot be shown.
const LACKING: [&str; 2] = ["qemu-img ", "an XFS "];

/// Makes a skip for want of KVM a failure.
const REQUIRE_KVM: &str = "INSTAR_TEST_NEEDS_KVM";

pub(crate) fn run() -> Outcome {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    println!("── house rules");
    tidy::check()?;
    step(
        "lints",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-Dwarnings",
        ]),
    )?;
    step("lints of the sandboxed binary", &mut bare_guest())?;
    advisories()?;
    step(
        "documentation",
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-Dwarnings"),
    )?;
    step(
        "build",
        cargo().args(["build", "--package", "instar", "--locked"]),
    )?;
    println!("── table of compatibility");
    compatibility::check()?;
    tests()?;
    println!("── Python package");
    wheel::made(wheel::Build::Debug)?;
    println!("── corpus of the search");
    fuzz::replay()
}

/// Looks for known faults in other people's crates, where there is a program that knows them.
fn advisories() -> Outcome {
    let unchecked = |why: &str| println!("── known faults of crates: NOT CHECKED, because {why}");
    if !exists("cargo-deny") {
        unchecked("cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    if step("database of known faults", cargo().args(["deny", "fetch", "db"])).is_err() {
        unchecked("their database cannot be reached");
        return Ok(());
    }
    step(
        "known faults of crates",
        cargo().args(["deny", "check", "advisories"]),
    )
}

/// Lints the code that exists only inside the sandbox, as the build script of the host builds it.
fn bare_guest() -> Command {
    let flags = [
        "-Crelocation-model=static",
        "-Ctarget-feature=+crt-static",
        "-Ctarget-cpu=x86-64-v3",
        "--cfg=guest_bare",
        "-Dwarnings",
    ];
    let mut command = cargo();
    command
        .args([
            "clippy",
            "--package",
            "instar-guest",
            "--bin",
            "guest",
            "--profile",
            "guest-dev",
            "--locked",
        ])
        .args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--target-dir",
            "target/bare",
        ])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command
}

fn tests() -> Outcome {
    let ledger = fresh_ledger("target/test-ledger.txt")?;
    let kvm = Path::new("/dev/kvm").exists();
    let mut documentation = cargo();
    documentation.args(["test", "--workspace", "--doc", "--locked", "--quiet"]);
    let mut all = cargo();
    if exists("cargo-nextest") {
        all.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
        all.args(["--test-threads", &tests_at_once().to_string()]);
    } else {
        all.args([
            "test",
            "--workspace",
            "--all-targets",
            "--locked",
            "--no-fail-fast",
        ]);
    }
    for command in [&mut documentation, &mut all] {
        keep_account(command, &ledger, kvm);
    }
    step("examples in the documentation", &mut documentation)?;
    let outcome = step("tests", &mut all);
    let account = Account::read(&ledger)?;
    account.print(kvm);
    outcome?;
    account.judge(kvm)
}

/// Two for each processor: half of a test's time goes to programs that start and end, and to virtual machines that are taken down.
fn tests_at_once() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs some tests and says, whatever comes of them, what they skipped.
pub(crate) fn with_skips_shown(what: &str, command: &mut Command) -> Outcome {
    let ledger = fresh_ledger("target/test-ledger-of-some.txt")?;
    keep_account(command, &ledger, Path::new("/dev/kvm").exists());
    let outcome = step(what, command);
    Account::read(&ledger)?.print_skips();
    outcome
}

fn keep_account(command: &mut Command, ledger: &Path, kvm: bool) {
    command.env(LEDGER, ledger);
    if kvm {
        command.env(REQUIRE_KVM, "1");
    }
}

fn fresh_ledger(name: &str) -> Result<PathBuf, String> {
    let ledger = workspace::root().join(name);
    std::fs::write(&ledger, "").map_err(|error| format!("{}: {error}", ledger.display()))?;
    ledger.canonicalize().map_err(|error| error.to_string())
}

/// What the tests wrote down: lines `sandbox NAME TEST`, `skip REASON`, `opinion READER WHAT`, `compared RELEASE VERB`,
/// `deviation NAME`, `count NUMBER KIND`.
#[derive(Debug, Default)]
struct Account {
    runs: BTreeMap<String, BTreeSet<String>>,
    skips: BTreeMap<String, usize>,
    opinions: BTreeMap<String, BTreeSet<String>>,
    deviations: BTreeSet<String>,
    /// Outputs compared, by release and kind.
    compared: BTreeMap<String, usize>,
    /// Faults, power cuts, kills: how many of a kind there were.
    counts: BTreeMap<String, usize>,
}

impl Account {
    fn read(ledger: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(ledger).map_err(|error| error.to_string())?;
        let mut account = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("sandbox", rest)) => {
                    let (sandbox, test) = rest.split_once(' ').unwrap_or((rest, ""));
                    account
                        .runs
                        .entry(sandbox.to_owned())
                        .or_default()
                        .insert(test.to_owned());
                }
                Some(("skip", reason)) => *account.skips.entry(reason.to_owned()).or_default() += 1,
                Some(("opinion", rest)) => {
                    let (reader, what) = rest.split_once(' ').unwrap_or((rest, ""));
                    let judged = account.opinions.entry(reader.to_owned()).or_default();
                    judged.insert(what.to_owned());
                }
                Some(("compared", what)) => *account.compared.entry(what.to_owned()).or_default() += 1,
                Some(("count", rest)) => {
                    let (number, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                    let number: usize = number.parse().map_err(|error| format!("{line}: {error}"))?;
                    *account.counts.entry(kind.to_owned()).or_default() += number;
                }
                Some(("deviation", name)) => {
                    account.deviations.insert(name.to_owned());
                }
                _ => return Err(format!("the test ledger has an unknown line: {line}")),
            }
        }
        Ok(account)
    }

    fn ran(&self, sandbox: &str) -> usize {
        self.runs.get(sandbox).map_or(0, BTreeSet::len)
    }

    fn print(&self, kvm: bool) {
        println!("sandbox kvm: {} tests ran", self.ran("kvm"));
        println!("sandbox process: {} tests ran", self.ran("process"));
        if !kvm {
            println!("/dev/kvm does not exist, so the kvm sandbox was not tested");
        }
        self.print_skips();
        for (reader, judged) in &self.opinions {
            println!("{reader} read {} kinds of images that we wrote", judged.len());
        }
        for (what, count) in &self.compared {
            println!("compared with qemu-img {what}: {count} outputs, all equal");
        }
        for (kind, count) in &self.counts {
            println!("{kind}: {count}");
        }
        println!("deviations shown: {}", self.deviations.len());
    }

    fn print_skips(&self) {
        for (reason, count) in &self.skips {
            println!("skipped {count}: {reason}");
        }
    }

    fn judge(&self, kvm: bool) -> Outcome {
        if self.ran("process") == 0 {
            return Err("no test ran in the process sandbox".to_owned());
        }
        if kvm && self.ran("kvm") == 0 {
            return Err("/dev/kvm exists, but no test ran in the kvm sandbox".to_owned());
        }
        let unused: Vec<String> = deviations::names()?
            .difference(&self.deviations)
            .cloned()
            .collect();
        let lacks = |reason: &String| LACKING.iter().any(|start| reason.starts_with(start));
        let lacking = self.skips.keys().any(lacks);
        if !unused.is_empty() && lacking {
            println!(
                "not shown, because a release of qemu-img or a filesystem is missing: {}",
                unused.join(", ")
            );
        } else if !unused.is_empty() {
            return Err(format!("no test showed these deviations: {}", unused.join(", ")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_runs_is_refused() {
        assert!(Account::default().judge(false).is_err());
    }

    #[test]
    fn reads_what_tests_wrote_down() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger");
        std::fs::write(
            &ledger,
            "sandbox kvm a\nsandbox kvm a\nsandbox process b\nskip no strace\nopinion 7-Zip vdi\nopinion 7-Zip vdi\ncount 3 kills\ncount 4 kills\n",
        )
        .unwrap();
        let account = Account::read(&ledger).unwrap();
        assert_eq!((account.ran("kvm"), account.ran("process")), (1, 1));
        assert_eq!(account.skips.get("no strace"), Some(&1));
        assert_eq!(account.opinions.get("7-Zip").map(BTreeSet::len), Some(1));
        assert_eq!(account.counts.get("kills"), Some(&7));
        std::fs::write(&ledger, "nonsense\n").unwrap();
        assert!(Account::read(&ledger).is_err());
    }
}
