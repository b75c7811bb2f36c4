//! The command line of differential fuzzing; `cargo xtask differential` builds both programs and starts it.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a tool for developers: a failure ends it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use instar_differential::{Account, Campaign, Disagreement, Fleet, Plan, Verdict};
use instar_tests::Reference;
use rustix::process::{Resource, Rlimit, setrlimit};

const USAGE: &str = "usage: cargo xtask differential [--seed S] [--cases N] [--first N] [--campaign NAME]… \
    [--against RELEASE|all] [--workers N] [--minutes N] [--no-kvm] [--no-shrink] [--list] | --replay NUMBER --campaign NAME [--seed S]";

struct Options {
    seed: u64,
    cases: u64,
    first: u64,
    campaigns: Vec<Campaign>,
    against: Option<String>,
    workers: usize,
    minutes: Option<u64>,
    kvm: bool,
    shrink: bool,
    /// Only what was found, no scripts.
    list: bool,
    replay: Option<u64>,
}

fn main() -> ExitCode {
    match parse().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("differential: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Options, String> {
    let mut options = Options {
        seed: 1,
        cases: 1000,
        first: 0,
        campaigns: Vec::new(),
        against: None,
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        minutes: None,
        kvm: std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok(),
        shrink: true,
        list: false,
        replay: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(USAGE.to_owned());
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("{word}: {text} is not a number"))
        };
        match word.as_str() {
            "--seed" => options.seed = number(value()?)?,
            "--cases" => options.cases = number(value()?)?,
            "--first" => options.first = number(value()?)?,
            "--minutes" => options.minutes = Some(number(value()?)?),
            "--workers" => {
                options.workers = usize::try_from(number(value()?)?).map_err(|error| error.to_string())?
            }
            "--replay" => options.replay = Some(number(value()?)?),
            "--against" => options.against = Some(value()?),
            "--campaign" => {
                let name = value()?;
                let campaign = Campaign::named(&name).ok_or(format!("there is no campaign {name}"))?;
                options.campaigns.push(campaign);
            }
            "--no-kvm" => options.kvm = false,
            "--no-shrink" => options.shrink = false,
            "--list" => options.list = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.campaigns.is_empty() {
        options.campaigns.extend(Campaign::ALL);
    }
    Ok(options)
}

/// Whether both programs agree.
fn run(options: &Options) -> Result<bool, String> {
    let instar = PathBuf::from(std::env::var_os("INSTAR_BIN").ok_or("INSTAR_BIN names no program")?);
    let _ = rustix::process::nice(10);
    bound_files()?;
    let mut agreed = true;
    for reference in references(options.against.as_deref())? {
        let fleet = Fleet::new(instar.clone(), reference.clone());
        for campaign in &options.campaigns {
            let plan = Plan {
                campaign: *campaign,
                seed: options.seed,
                first: options.first,
                cases: options.cases,
                workers: options.workers,
                without_kvm: !options.kvm,
                time: options.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
            };
            if let Some(number) = options.replay {
                let (script, verdict) = fleet.explain(&plan, number, options.shrink);
                println!("{script}");
                agreed &= show(&verdict);
                continue;
            }
            let account = fleet.run(&plan);
            report(&account, &plan, reference);
            for (count, number, _) in account.found.values() {
                agreed = false;
                if options.list {
                    continue;
                }
                println!("\n──── {count} times; first case {number}");
                let (script, verdict) = fleet.explain(&plan, *number, options.shrink);
                println!("{script}");
                show(&verdict);
            }
        }
    }
    Ok(agreed)
}

/// No program writes more into a file than this, whatever an image or an option says: what they write is in memory.
fn bound_files() -> Result<(), String> {
    let most = Rlimit {
        current: Some(MOST_OF_A_FILE),
        maximum: Some(MOST_OF_A_FILE),
    };
    setrlimit(Resource::Fsize, most).map_err(|error| format!("the size of files cannot be limited: {error}"))
}

const MOST_OF_A_FILE: u64 = 1 << 30;

fn references(against: Option<&str>) -> Result<Vec<&'static Reference>, String> {
    match against {
        None => Ok(vec![Reference::installed()]),
        Some("all") => Ok(Reference::live().iter().collect()),
        Some(series) => Reference::of(series)
            .map(|one| vec![one])
            .ok_or(format!("qemu-img {series} cannot be started here")),
    }
}

fn report(account: &Account, plan: &Plan, reference: &Reference) {
    let cases = account.cases();
    println!(
        "{} beside qemu-img {}, seed {}: {cases} cases in {:.1} s, {:.1} a second",
        plan.campaign.name(),
        reference.version,
        plan.seed,
        account.took.as_secs_f64(),
        cases as f64 / account.took.as_secs_f64()
    );
    println!(
        "  agreed {}, with {} comparisons",
        account.agreed, account.commands
    );
    for (why, count) in &account.void {
        println!("  void {count}: {why}");
    }
    for (row, count) in &account.known {
        println!("  {count} times the deviation {row}");
    }
    for (signature, (count, number, _)) in &account.found {
        println!("  DISAGREED {count} times, first in case {number}: {signature}");
    }
}

/// Shows what came of a case; whether it is well.
fn show(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Disagreed(found) => {
            print(found);
            false
        }
        other => {
            println!("# {other:?}");
            true
        }
    }
}

fn print(found: &Disagreement) {
    println!("# {:?}: {} {}", found.kind, found.words.join(" "), found.note);
    for (name, ended) in [("qemu-img", &found.theirs), ("instar", &found.ours)] {
        println!(
            "# {name}: code {:?}, signal {:?}, hung {}",
            ended.code, ended.signal, ended.hung
        );
        for (stream, bytes) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
            for line in String::from_utf8_lossy(bytes).lines().take(40) {
                println!("#   {stream}: {line}");
            }
        }
    }
}
