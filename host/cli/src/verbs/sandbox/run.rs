//! `sandbox`, carried out: what confines images on this machine.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use instar_sandbox::{Choice, Mode, Probe};

use super::args::Args;
use crate::json::{Json, Object, pretty};
use crate::run::Context;
use crate::settings::key_place;
use crate::stop::Step;
use crate::words::run::NO_LANDLOCK;
use instar_run::{Backend, Policy};

/// What holds in either mode, and in which: name, virtual machine, process.
const PROTECTIONS: &[(&str, &str, bool, bool)] = &[
    (
        "ring-3",
        "the parser runs at ring 3, without page tables, MSRs or devices of its own",
        true,
        false,
    ),
    (
        "no-operating-system",
        "nothing but the image parser runs in the virtual machine",
        true,
        false,
    ),
    (
        "no-descriptors",
        "the parser has no open file; it asks for bytes by slot number",
        true,
        true,
    ),
    (
        "guest-seccomp",
        "the process of the parser is killed at any system call except a few",
        false,
        true,
    ),
    (
        "write-xor-execute",
        "no page of the parser is both writable and executable",
        true,
        true,
    ),
    (
        "bounded-memory",
        "the parser has a fixed amount of memory",
        true,
        true,
    ),
    (
        "gate",
        "files named by images are opened read-only, by the rules for names in images",
        true,
        true,
    ),
];

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let probe = instar_sandbox::probe();
    let chosen = chosen(&probe, context.policy);
    let text = if args.json {
        let mut text = pretty(&json(&probe, &chosen, context.policy));
        text.push('\n');
        text
    } else {
        human(&probe, &chosen, context.policy)
    };
    context.console.print(text.as_bytes());
    Ok(u8::from(chosen.mode.is_none()))
}

/// The mode that a run would use, and why.
struct Chosen {
    mode: Option<Mode>,
    reason: String,
}

fn chosen(probe: &Probe, policy: &Policy) -> Chosen {
    if policy.require_landlock && !has_landlock() {
        return Chosen {
            mode: None,
            reason: NO_LANDLOCK.to_owned(),
        };
    }
    let required = policy.require_kvm || policy.backend == Backend::Kvm;
    let asked = match policy.backend {
        Backend::Process => "asked for",
        _ if policy.require_kvm => "required by the configuration",
        Backend::Kvm => "asked for",
        Backend::Auto => "the first choice",
    };
    let (mode, reason) = match (&probe.kvm, &probe.process) {
        (_, Ok(())) if policy.backend == Backend::Process && !policy.require_kvm => {
            (Some(Mode::Process), asked.to_owned())
        }
        (Ok(()), _) if policy.backend != Backend::Process => (Some(Mode::Kvm), asked.to_owned()),
        (Err(why), _) if required => (None, format!("{asked}, but {why}")),
        (Err(why), Ok(())) => (Some(Mode::Process), format!("instead of kvm: {why}")),
        (_, Err(why)) => (None, why.clone()),
        (Ok(()), Ok(())) => (None, "process was asked for, but kvm is required".to_owned()),
    };
    Chosen { mode, reason }
}

const fn name(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Kvm) => "kvm",
        Some(Mode::Process) => "process",
        None => "none",
    }
}

/// Whether the kernel has what a protection needs.
type Present = fn() -> bool;

/// What confines our own process: it holds the files.
const OWN_PROTECTIONS: &[(&str, &str, Present)] = &[
    (
        "host-seccomp",
        "each thread of the host process keeps only the system calls that it needs",
        instar_jail::seccomp_supported,
    ),
    (
        "host-landlock",
        "the host process can open only files that images may name, read-only",
        has_landlock,
    ),
    ("no-new-privileges", "no process can gain privileges", always),
    (
        "few-capabilities",
        "of root's capabilities the host process keeps only those that open layers and complete targets, and the parser keeps none",
        always,
    ),
    ("no-core-files", "no core file is written", always),
];

fn has_landlock() -> bool {
    instar_jail::landlock_abi().is_some()
}

const fn always() -> bool {
    true
}

/// What is tried out rather than known.
fn no_clock(mode: Option<Mode>) -> (&'static str, &'static str, bool) {
    let choice = match mode {
        Some(Mode::Kvm) => Some(Choice::Kvm),
        Some(Mode::Process) => Some(Choice::Process),
        None => None,
    };
    let has_clock = choice.and_then(|choice| instar_sandbox::has_clock(choice).ok());
    (
        "no-clock",
        "the parser cannot read the processor's clock",
        has_clock == Some(false),
    )
}

fn in_force(mode: Option<Mode>) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let own = OWN_PROTECTIONS
        .iter()
        .map(move |(key, text, there)| (*key, *text, mode.is_some() && there()));
    let guest = PROTECTIONS.iter().map(move |(key, text, kvm, process)| {
        let on = match mode {
            Some(Mode::Kvm) => *kvm,
            Some(Mode::Process) => *process,
            None => false,
        };
        (*key, *text, on)
    });
    guest.chain([no_clock(mode)]).chain(own)
}

fn human(probe: &Probe, chosen: &Chosen, policy: &Policy) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "sandbox: {} ({})", name(chosen.mode), chosen.reason);
    let available = |outcome: &Result<(), String>| match outcome {
        Ok(()) => "available".to_owned(),
        Err(why) => format!("not available: {why}"),
    };
    let _ = writeln!(text, "kvm: {}", available(&probe.kvm));
    let _ = writeln!(text, "process: {}", available(&probe.process));
    let _ = writeln!(text, "guest built for: {}", probe.level);
    let _ = writeln!(text, "guest memory: {} MiB", policy.memory >> 20);
    text.push_str("kernel features:\n");
    for (feature, there) in &probe.features {
        let _ = writeln!(text, "    {feature}: {}", if *there { "yes" } else { "no" });
    }
    let landlock = instar_jail::landlock_abi().map_or_else(
        || {
            "no: if the host process were taken over, it could open every file that the user can (require-landlock refuses to run)"
                .to_owned()
        },
        |abi| format!("yes, ABI {abi}"),
    );
    let _ = writeln!(text, "    landlock: {landlock}");
    let _ = writeln!(
        text,
        "    seccomp: {}",
        if instar_jail::seccomp_supported() {
            "yes"
        } else {
            "no"
        }
    );
    text.push_str("protections in force:\n");
    for (_, words, _) in in_force(chosen.mode).filter(|(_, _, on)| *on) {
        let _ = writeln!(text, "    {words}");
    }
    if chosen.mode == Some(Mode::Process) {
        let _ = writeln!(
            text,
            "system calls left to the parser: {}",
            probe.system_calls.join(" ")
        );
    }
    let _ = writeln!(
        text,
        "files named by images: {}",
        if policy.untrusted {
            "never opened"
        } else {
            "by these rules"
        }
    );
    if !policy.untrusted {
        rules(&mut text, policy);
    }
    text
}

/// Which files images may name, in the order in which it is asked.
fn rules(text: &mut String, policy: &Policy) {
    text.push_str("    beside the image\n");
    let key = key_place(policy).map(|place| place.path);
    let _ = match &key {
        Some(key) => writeln!(text, "    recorded by this machine (key: {})", key.display()),
        None => writeln!(
            text,
            "    (nothing can be recorded, because there is no place for a key)"
        ),
    };
    for directory in &policy.allow_dirs {
        let _ = writeln!(text, "    allowed: {}", directory.display());
    }
    for directory in &policy.untrusted_dirs {
        let _ = writeln!(
            text,
            "    untrusted: {} (images there open only recorded files)",
            directory.display()
        );
    }
}

fn json(probe: &Probe, chosen: &Chosen, policy: &Policy) -> Json {
    let available = |outcome: &Result<(), String>| {
        Object::new()
            .with("available", outcome.is_ok())
            .with_some("reason", outcome.as_ref().err().map(String::as_str))
    };
    let features: Vec<Json> = probe
        .features
        .iter()
        .map(|(name, there)| Object::new().with("name", *name).with("present", *there).into())
        .collect();
    let protections: Vec<Json> = in_force(chosen.mode)
        .map(|(key, text, on)| {
            Object::new()
                .with("name", key)
                .with("description", text)
                .with("in-force", on)
                .into()
        })
        .collect();
    let calls: Vec<Json> = probe.system_calls.iter().map(|call| Json::from(*call)).collect();
    let paths = |paths: &[PathBuf]| -> Vec<Json> {
        paths
            .iter()
            .map(|path| Json::from(path.as_os_str().as_bytes()))
            .collect()
    };
    let key = key_place(policy).map(|place| place.path);
    Object::new()
        .with("mode", name(chosen.mode))
        .with("reason", chosen.reason.as_str())
        .with("kvm", available(&probe.kvm))
        .with("process", available(&probe.process))
        .with("guest-level", probe.level)
        .with("guest-memory", policy.memory)
        .with("kernel-features", features)
        .with_some("landlock-abi", instar_jail::landlock_abi().map(i64::from))
        .with("protections", protections)
        .with("guest-system-calls", calls)
        .with("untrusted", policy.untrusted)
        .with("allowed-directories", paths(&policy.allow_dirs))
        .with("untrusted-directories", paths(&policy.untrusted_dirs))
        .with_some("trust-key", key.as_ref().map(|key| key.as_os_str().as_bytes()))
        .into()
}
