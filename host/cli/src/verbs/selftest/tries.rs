//! What is tried: by guests alone, by guests that ask the host, and by a process that is confined like our own.

use std::io;

use instar_run::selftest::{DEMANDS, OWN, Own, Place, confined};
use instar_sandbox::{ATTEMPTS, Choice, Held, Mode};

use super::room::Room;

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Guest,
    Request,
    Process,
}

/// One thing that was tried, and what became of it in each sandbox, or in none.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) by: By,
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    pub(super) results: Vec<(Option<Mode>, Found)>,
}

/// What became of it, and what that says.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) held: Held,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As promised.
    Kept,
    /// It is not promised on such a machine, and it does not hold.
    Unprotected,
    /// It is promised.
    Broken,
}

fn found(held: Held, allowed: bool, promised: bool) -> Found {
    let verdict = match (&held, allowed) {
        (Held::Done, true) | (Held::Ended(_) | Held::Refused(_), false) => Verdict::Kept,
        (Held::Done, false) if !promised => Verdict::Unprotected,
        _ => Verdict::Broken,
    };
    Found { held, verdict }
}

pub(super) const fn choice(mode: Mode) -> Choice {
    match mode {
        Mode::Kvm => Choice::Kvm,
        Mode::Process => Choice::Process,
    }
}

/// A test that could not be made.
fn unclear(error: &io::Error) -> Held {
    Held::Unclear(instar_engine::said(error))
}

/// Whether a guest can be started there.
pub(super) fn starts(mode: Mode) -> Result<(), String> {
    let first = ATTEMPTS.first().ok_or("nothing is tried")?;
    let tried = first.tried(choice(mode));
    tried.map(drop).map_err(|error| instar_engine::said(&error))
}

/// Lets guests try, each in every sandbox.
pub(super) fn by_guests(modes: &[Mode]) -> Vec<Try> {
    let tried = |attempt: &instar_sandbox::Attempt, mode: Mode| {
        let held = attempt
            .tried(choice(mode))
            .unwrap_or_else(|error| unclear(&error));
        (
            Some(mode),
            found(held, attempt.is_allowed(), !attempt.may_be_done(mode)),
        )
    };
    let one = |attempt: &instar_sandbox::Attempt| Try {
        by: By::Guest,
        name: attempt.name,
        words: attempt.words,
        results: modes.iter().map(|mode| tried(attempt, *mode)).collect(),
    };
    ATTEMPTS.iter().map(one).collect()
}

/// Lets guests ask the host, each in every sandbox.
pub(super) fn by_requests(modes: &[Mode], room: &Room) -> io::Result<Vec<Try>> {
    let directory = room.path("requests");
    std::fs::create_dir(&directory)?;
    let place = Place::new(&directory)?;
    let tried = |demand: &instar_run::selftest::Demand, mode: Mode| {
        let held = demand
            .tried(choice(mode), &place)
            .unwrap_or_else(|error| unclear(&error));
        (Some(mode), found(held, demand.is_allowed(), true))
    };
    let one = |demand: &instar_run::selftest::Demand| Try {
        by: By::Request,
        name: demand.name,
        words: demand.words,
        results: modes.iter().map(|mode| tried(demand, *mode)).collect(),
    };
    Ok(DEMANDS.iter().map(one).collect())
}

/// Lets confined processes try, each by itself.
pub(super) fn by_processes(room: &Room) -> Vec<Try> {
    let landlock = instar_jail::landlock_abi().is_some();
    let one = |(number, own): (usize, &Own)| {
        let held = in_a_process(own, number, room).unwrap_or_else(|error| unclear(&error));
        Try {
            by: By::Process,
            name: own.name,
            words: own.words,
            results: vec![(None, found(held, number == 0, landlock || !own.needs_landlock))],
        }
    };
    OWN.iter().enumerate().map(one).collect()
}

fn in_a_process(own: &Own, number: usize, room: &Room) -> io::Result<Held> {
    let directory = room.path(&format!("act-{number}"));
    std::fs::create_dir(&directory)?;
    let output = room.instar([
        "selftest".as_ref(),
        "--act".as_ref(),
        own.name.as_ref(),
        directory.as_os_str(),
    ])?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if let Some((_, call)) = complained.split_once(STOPPED) {
        return Ok(Held::Ended(format!("at system call {}", call.trim())));
    }
    let said = said.trim_end();
    Ok(match (output.status.code(), said.strip_prefix(REFUSED)) {
        (Some(0), Some(why)) => Held::Refused(why.to_owned()),
        (Some(0), None) if said == DONE => Held::Done,
        // The kernel ends a process whose handler is gone.
        (None, _) => Held::Ended(output.status.to_string()),
        _ => Held::Unclear(format!("{}: {}", output.status, complained.trim_end())),
    })
}

/// Tries one in this process, which is confined from then on; what is printed about it, if it comes to that.
pub(super) fn act(name: &[u8], directory: &std::path::Path) -> Result<String, String> {
    let own = OWN.iter().find(|own| own.name.as_bytes() == name);
    let own = own.ok_or("there is no such act")?;
    match confined(own, directory) {
        Ok(Held::Done) => Ok(format!("{DONE}\n")),
        Ok(Held::Refused(why)) => Ok(format!("{REFUSED}{why}\n")),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(instar_engine::said(&error)),
    }
}

/// What our jail says when it ends a process.
const STOPPED: &str = "stopped by its own jail at system call";
const REFUSED: &str = "refused: ";
const DONE: &str = "done";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_stopped_is_as_promised_and_only_what_is_allowed_may_be_done() {
        let verdict = |held: &Held, allowed, promised| found(held.clone(), allowed, promised).verdict;
        let (ended, refused) = (Held::Ended(String::new()), Held::Refused(String::new()));
        let unclear = Held::Unclear(String::new());
        for stopped in [&ended, &refused] {
            assert_eq!(verdict(stopped, false, true), Verdict::Kept);
            assert_eq!(verdict(stopped, false, false), Verdict::Kept);
            // What may be done and cannot: the others prove nothing.
            assert_eq!(verdict(stopped, true, true), Verdict::Broken);
        }
        assert_eq!(verdict(&Held::Done, true, true), Verdict::Kept);
        assert_eq!(verdict(&Held::Done, false, true), Verdict::Broken);
        assert_eq!(verdict(&Held::Done, false, false), Verdict::Unprotected);
        for allowed in [false, true] {
            assert_eq!(verdict(&unclear, allowed, true), Verdict::Broken);
        }
    }
}
