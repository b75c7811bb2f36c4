//! `selftest`, carried out.

use std::io;
use std::path::Path;
use std::time::Instant;

use std::os::unix::ffi::OsStrExt;

use instar_run::{Backend, Policy};
use instar_sandbox::{Mode, Probe};

use super::args::Args;
use super::formats::{self, Tested};
use super::room::Room;
use super::show;
use super::tries::{self, Try, Verdict};
use crate::run::Context;
use crate::stop::{Step, Stop};
use crate::words::run::NO_LANDLOCK;

/// All that was found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) probe: Probe,
    /// The sandboxes that were tested.
    pub(super) modes: Vec<Mode>,
    pub(super) tries: Vec<Try>,
    pub(super) formats: Vec<Tested>,
    /// Protections that this machine does not give.
    pub(super) lacking: Vec<String>,
    /// What is wrong beside what was tried.
    pub(super) wrong: Vec<String>,
    pub(super) seconds: f64,
}

impl Findings {
    /// Whether all holds that is promised on such a machine.
    pub(super) fn passed(&self) -> bool {
        self.wrong.is_empty() && !self.is_broken()
    }

    /// Whether something was tried, and came otherwise than promised.
    pub(super) fn is_broken(&self) -> bool {
        let broken = |(_, found): &(Option<Mode>, tries::Found)| found.verdict == Verdict::Broken;
        self.tries.iter().any(|tried| tried.results.iter().any(broken))
            || !self.formats.iter().all(Tested::passed)
    }
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    if let Some((name, directory)) = &args.act {
        let said = tries::act(name.as_bytes(), Path::new(directory)).map_err(Stop::say)?;
        context.console.print(said.as_bytes());
        return Ok(0);
    }
    let room = Room::new().map_err(|error| {
        let place = std::env::temp_dir();
        let why = instar_engine::said(&error);
        Stop::say(format!(
            "cannot make a directory for the test in '{}': {why} (TMPDIR names another place)",
            place.display()
        ))
    })?;
    room.starts().map_err(|error| {
        let why = instar_engine::said(&error);
        Stop::say(format!(
            "the test runs this program many times, and another process cannot be started: {why}"
        ))
    })?;
    let findings = found(context.policy, &room)
        .map_err(|error| Stop::say(format!("the test cannot go on: {}", instar_engine::said(&error))))?;
    drop(room);
    let text = if args.json {
        show::json(&findings)
    } else {
        show::human(&findings)
    };
    context.console.print(text.as_bytes());
    Ok(u8::from(!findings.passed()))
}

fn found(policy: &Policy, room: &Room) -> io::Result<Findings> {
    let start = Instant::now();
    let probe = instar_sandbox::probe();
    let mut lacking = lacking(&probe);
    let mut modes = modes(policy, &probe);
    modes.retain(|mode| match tries::starts(*mode) {
        Ok(()) => true,
        Err(why) => {
            lacking.push(format!("{}: it cannot be started: {why}", show::name(*mode)));
            false
        }
    });
    let mut wrong = Vec::new();
    if modes.is_empty() {
        wrong.push("no sandbox that the settings permit can be used on this machine".to_owned());
    }
    if policy.require_landlock && instar_jail::landlock_abi().is_none() {
        wrong.push(NO_LANDLOCK.to_owned());
    }
    let mut tried = Vec::new();
    if !modes.is_empty() {
        tried.extend(tries::by_guests(&modes));
        tried.extend(tries::by_requests(&modes, room)?);
    }
    if instar_jail::seccomp_supported() {
        tried.extend(tries::by_processes(room));
    } else {
        wrong.push(
            "the kernel has no seccomp, so that our own process cannot be confined and nothing runs"
                .to_owned(),
        );
    }
    let formats = if modes.is_empty() {
        Vec::new()
    } else {
        formats::all(&modes, room)?
    };
    lacking.extend(tried.iter().flat_map(unprotected));
    Ok(Findings {
        probe,
        modes,
        tries: tried,
        formats,
        lacking,
        wrong,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The sandboxes that the settings permit and this machine has.
fn modes(policy: &Policy, probe: &Probe) -> Vec<Mode> {
    let wanted: &[Mode] = match (policy.backend, policy.require_kvm) {
        (Backend::Process, true) => &[],
        (Backend::Kvm, _) | (Backend::Auto, true) => &[Mode::Kvm],
        (Backend::Process, false) => &[Mode::Process],
        (Backend::Auto, false) => &[Mode::Kvm, Mode::Process],
    };
    let there = |mode: &&Mode| match mode {
        Mode::Kvm => probe.kvm.is_ok(),
        Mode::Process => probe.process.is_ok(),
    };
    wanted.iter().filter(there).copied().collect()
}

/// What this machine does not have, in a line each.
fn lacking(probe: &Probe) -> Vec<String> {
    let mut lines = Vec::new();
    if let Err(why) = &probe.kvm {
        lines.push(format!(
            "kvm: {why}. Images are parsed in a process, which is as good as the kernel's seccomp"
        ));
    }
    if let Err(why) = &probe.process {
        lines.push(format!("process: {why}. Without KVM no image can be parsed here"));
    }
    if instar_jail::landlock_abi().is_none() {
        lines.push(
            "landlock: the kernel has none or has it disabled. If our own process were taken over, it could open every file that the user can (require-landlock refuses to run)"
                .to_owned(),
        );
    }
    lines
}

/// What was done because this machine does not prevent it.
fn unprotected(tried: &Try) -> Vec<String> {
    let done = tried
        .results
        .iter()
        .filter(|(_, found)| found.verdict == Verdict::Unprotected);
    let line = |(mode, _): &(Option<Mode>, tries::Found)| {
        let place = mode.map_or("our own process", show::name);
        format!("{place}: it was possible to {}", tried.words)
    };
    done.map(line).collect()
}
