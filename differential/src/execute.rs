//! Carries a case out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::case::{Case, Step};
use crate::known;
use crate::normal;
use crate::program::Ended;
use crate::twins::{Twins, next_data};

/// What came of a case.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Both programs agree; so many commands were compared.
    Agreed(usize),
    /// Its setup cannot be made, or the reference crashed or hung: nothing to compare.
    Void(&'static str),
    /// They differ as a row of the table of deviations says.
    Known(&'static str),
    Disagreed(Box<Disagreement>),
}

/// In what they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// instar crashed, hung, or broke its own contract.
    Crash,
    /// One succeeded, the other did not.
    Accepted,
    /// The exit code.
    Code,
    /// Which files there are.
    Files,
    /// The disk in an image.
    Content,
    Stdout,
    Stderr,
}

/// A difference that no row explains.
#[derive(Clone, Debug)]
pub struct Disagreement {
    pub kind: Kind,
    /// The step that shows it.
    pub step: usize,
    /// What was run.
    pub words: Vec<String>,
    pub theirs: Ended,
    pub ours: Ended,
    /// More about it.
    pub note: String,
}

impl Disagreement {
    /// Disagreements of one signature are probably one fault.
    #[must_use]
    pub fn signature(&self) -> String {
        let verb = self.words.first().map_or("", String::as_str);
        let line = |ended: &Ended| -> String {
            let text = match self.kind {
                Kind::Stdout => String::new(),
                Kind::Content => self.note.clone(),
                _ => normal::complaint(ended),
            };
            normal::without_numbers(text.lines().next().unwrap_or_default())
        };
        format!(
            "{:?} {verb}: qemu-img {} «{}», instar {} «{}»",
            self.kind,
            end(&self.theirs),
            line(&self.theirs),
            end(&self.ours),
            line(&self.ours)
        )
    }

    /// The same fault, as far as can be told: what shrinking keeps.
    #[must_use]
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.signature() == other.signature()
    }
}

/// An exit code, or what there is in its place.
pub(crate) fn end(ended: &Ended) -> String {
    match (ended.code, ended.signal) {
        _ if ended.hung => "hung".to_owned(),
        (Some(code), _) => code.to_string(),
        (_, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// Carries `case` out and gives the first thing in which the programs differ.
pub(crate) fn execute(case: &Case, twins: &Twins<'_>) -> Verdict {
    let prefix = case.steps.iter().take_while(|step| step.is_setup()).count();
    if !twins.fill(&case.steps[..prefix]) {
        return Verdict::Void("setup");
    }
    let mut compared = 0;
    let mut last: Option<(&[String], Ended, Ended)> = None;
    for (number, step) in case.steps.iter().enumerate().skip(prefix) {
        match step {
            Step::Edit(edit) => {
                edit.apply(&twins.theirs());
                edit.apply(&twins.ours());
            }
            Step::Both(words) => {
                let theirs = twins.qemu(words, &twins.theirs());
                let ours = twins.instar(words, case.sandbox);
                compared += 1;
                match judge(number, words, theirs, ours, twins, case) {
                    Ok((theirs, ours)) => last = Some((words, theirs, ours)),
                    Err(verdict) => return verdict,
                }
            }
            Step::Same(name, format) => {
                let Some((words, theirs, ours)) = &last else {
                    continue;
                };
                if !theirs.succeeded() || !ours.succeeded() {
                    continue;
                }
                compared += 1;
                if let Some(note) = differs(twins, name, format) {
                    let found = Disagreement {
                        kind: Kind::Content,
                        step: number,
                        words: words.to_vec(),
                        theirs: theirs.clone(),
                        ours: ours.clone(),
                        note,
                    };
                    return settle(found, case);
                }
            }
            Step::Io(format, image, commands) => {
                let done = [twins.theirs(), twins.ours()]
                    .map(|directory| twins.io(format, image, commands, &directory));
                if !done[0] {
                    return Verdict::Void("qemu-io");
                }
                if !done[1] {
                    let Some((words, theirs, ours)) = last.clone() else {
                        return Verdict::Void("qemu-io");
                    };
                    let note = format!("qemu-io cannot write to {image} of instar: {commands:?}");
                    let found = Disagreement {
                        kind: Kind::Content,
                        step: number,
                        words: words.to_vec(),
                        theirs,
                        ours,
                        note,
                    };
                    return settle(found, case);
                }
            }
            Step::Disk(..) | Step::File(..) | Step::Setup(_) => return Verdict::Void("setup after work"),
        }
    }
    Verdict::Agreed(compared)
}

/// Compares what both programs said to one command; gives them back if they agree.
fn judge(
    step: usize,
    words: &[String],
    theirs: Ended,
    ours: Ended,
    twins: &Twins<'_>,
    case: &Case,
) -> Result<(Ended, Ended), Verdict> {
    let found = |kind, theirs: &Ended, ours: &Ended, note: String| Disagreement {
        kind,
        step,
        words: words.to_vec(),
        theirs: theirs.clone(),
        ours: ours.clone(),
        note,
    };
    if !ours.is_civil() || breaks_contract(&ours) {
        return Err(Verdict::Disagreed(Box::new(found(
            Kind::Crash,
            &theirs,
            &ours,
            String::new(),
        ))));
    }
    if !theirs.is_civil() {
        return Err(Verdict::Void("qemu-img crashed or hung"));
    }
    let kind = if theirs.succeeded() != ours.succeeded() {
        Some(Kind::Accepted)
    } else if theirs.code != ours.code {
        Some(Kind::Code)
    } else if normal::output(words, &theirs, case.is_written())
        != normal::output(words, &ours, case.is_written())
    {
        Some(Kind::Stdout)
    } else if !normal::same_complaint(words, &theirs, &ours, case.is_written()) {
        Some(Kind::Stderr)
    } else {
        None
    };
    if let Some(kind) = kind {
        let found = found(kind, &theirs, &ours, String::new());
        return match known::row(&found, case) {
            // Other words change nothing: the case goes on.
            Some(_) if kind == Kind::Stderr => {
                settle_files(found_files(found), twins, case)?;
                Ok((theirs, ours))
            }
            Some(row) => Err(Verdict::Known(row)),
            None => Err(Verdict::Disagreed(Box::new(found))),
        };
    }
    settle_files(found(Kind::Files, &theirs, &ours, String::new()), twins, case)?;
    Ok((theirs, ours))
}

/// The same files are there. What a command that failed has left behind in the directory of qemu-img goes away.
fn settle_files(mut found: Disagreement, twins: &Twins<'_>, case: &Case) -> Result<(), Verdict> {
    let [theirs, ours] = [twins.theirs(), twins.ours()].map(|directory| names(&directory));
    if !found.ours.succeeded() && MAKES.contains(&found.words[0].as_str()) {
        for left in theirs.iter().filter(|name| !ours.contains(name)) {
            fs::remove_file(twins.theirs().join(left)).unwrap();
        }
        // An existing file that a failed command has emptied is another one from now on.
        let same =
            |name: &&String| bytes_differ(&twins.theirs().join(name), &twins.ours().join(name)).is_none();
        if ours
            .iter()
            .filter(|name| theirs.contains(name))
            .any(|name| !same(&name))
        {
            return Err(Verdict::Known("failed-create-keeps"));
        }
        return Ok(());
    }
    if theirs == ours {
        return Ok(());
    }
    found.note = format!("qemu-img left {theirs:?}, instar {ours:?}");
    Err(settle(found, case))
}

/// The same, asked about files.
fn found_files(found: Disagreement) -> Disagreement {
    Disagreement {
        kind: Kind::Files,
        ..found
    }
}

fn settle(found: Disagreement, case: &Case) -> Verdict {
    match known::row(&found, case) {
        Some(row) => Verdict::Known(row),
        None => Verdict::Disagreed(Box::new(found)),
    }
}

/// It died within, said too much or printed JSON that is none.
fn breaks_contract(ours: &Ended) -> bool {
    let errors = ours.errors();
    let worded = [
        "panicked",
        "internal error",
        "broke the contract",
        "sandboxed program ended",
        "a fault in instar",
    ]
    .iter()
    .any(|words| errors.contains(words));
    let silent = !ours.succeeded() && ours.stderr.is_empty() && ours.stdout.is_empty();
    worded || (silent && !QUIET_CODES.contains(&ours.code.unwrap_or_default()))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// How the disks in both images differ, if they do.
fn differs(twins: &Twins<'_>, name: &str, format: &str) -> Option<String> {
    let [theirs, ours] = [twins.theirs(), twins.ours()].map(|directory| directory.join(name));
    if format == "raw" {
        return bytes_differ(&theirs, &ours);
    }
    if !theirs.exists() && !ours.exists() {
        return None;
    }
    // In the directory of each: names in images are relative.
    let words = ["compare", "-f", format, "-F", format, name, "../ours/"].map(str::to_owned);
    let mut words = words.to_vec();
    if let Some(last) = words.last_mut() {
        last.push_str(name);
    }
    let ended = twins.qemu(&words, &twins.theirs());
    if ended.succeeded() {
        return None;
    }
    Some(format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        ended.errors()
    ))
}

fn bytes_differ(theirs: &Path, ours: &Path) -> Option<String> {
    let (left, right) = match (File::open(theirs), File::open(ours)) {
        (Ok(left), Ok(right)) => (left, right),
        // Both have written elsewhere.
        (Err(_), Err(_)) => return None,
        _ => return Some("one of the files is missing".to_owned()),
    };
    let [a, b] = [&left, &right].map(|file| file.metadata().unwrap().len());
    if a != b {
        return Some(format!("lengths are {a} and {b} bytes"));
    }
    // Where one has data, the other has it too, or zeros in a hole.
    for (one, other) in [(&left, &right), (&right, &left)] {
        let mut at = 0;
        while let Some((start, end)) = next_data(one, at, a) {
            let mut bytes = [vec![0; (end - start) as usize], vec![0; (end - start) as usize]];
            one.read_exact_at(&mut bytes[0], start).unwrap();
            other.read_exact_at(&mut bytes[1], start).unwrap();
            if bytes[0] != bytes[1] {
                let place = bytes[0].iter().zip(&bytes[1]).take_while(|(x, y)| x == y).count();
                return Some(format!("byte {} differs", start + place as u64));
            }
            at = end;
        }
    }
    None
}

/// Verbs that make a new file: qemu-img leaves what it has of it when it fails.
const MAKES: [&str; 3] = ["create", "convert", "dd"];

/// Codes that say something without words: differences found by `compare`, and none.
const QUIET_CODES: [i32; 3] = [0, 1, 3];
