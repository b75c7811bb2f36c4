//! One image under both readers.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::bench::Bench;
use super::{Image, last_line};

/// How instar's answer stands to qemu-img's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Both succeed with the same result.
    Same,
    BothRefuse,
    /// Only instar refuses.
    Refused,
    /// Only qemu-img refuses.
    OnlyOurs,
    /// Both succeed, with different results.
    Different,
}

impl Answer {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::BothRefuse => "both refuse",
            Self::Refused => "**refused**",
            Self::OnlyOurs => "instar only",
            Self::Different => "**differs**",
        }
    }

    fn is_fault(&self) -> bool {
        matches!(self, Self::Refused | Self::Different)
    }
}

#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) variant: String,
    pub(super) format: &'static str,
    pub(super) info: Answer,
    /// `info` without `-f`: what both take the file for.
    pub(super) probe: Answer,
    pub(super) map: Answer,
    pub(super) check: Answer,
    pub(super) measure: Answer,
    /// Every byte of the disk, in both sandboxes.
    pub(super) read: Answer,
    /// The same with `--untrusted`, against the plain reading: a refusal is not a fault.
    pub(super) untrusted: Answer,
    /// What `info --safety` says.
    pub(super) safety: String,
    /// Whether instar reads the disk that the writer was given; none where that is not known.
    pub(super) truth: Option<bool>,
    pub(super) deviation: Option<&'static str>,
    pub(super) findings: Vec<String>,
}

impl Judgement {
    /// Whether the table of deviations has it that instar answers otherwise, and instar reads the writer's disk or none.
    pub(super) fn is_deliberate(&self) -> bool {
        self.deviation.is_some() && self.truth != Some(false)
    }

    /// Whether a user loses something by instar here.
    pub(super) fn is_fault(&self) -> bool {
        if self.is_deliberate() {
            return false;
        }
        [
            &self.info,
            &self.probe,
            &self.map,
            &self.check,
            &self.measure,
            &self.read,
        ]
        .iter()
        .any(|answer| answer.is_fault())
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "info {}, without -f {}, map {}, check {}, measure {}, read {}, untrusted {}, {}, writer's disk {}",
            self.info.word(),
            self.probe.word(),
            self.map.word(),
            self.check.word(),
            self.measure.word(),
            self.read.word(),
            self.untrusted.word(),
            self.safety,
            match self.truth {
                Some(true) => "same",
                Some(false) => "DIFFERENT",
                None => "not known",
            }
        )
    }
}

/// Asks both readers everything about an image.
pub(super) fn judge(bench: &Bench, image: &Image) -> Judgement {
    let mut case = Case {
        bench,
        room: image.path.parent().unwrap_or(Path::new(".")).to_owned(),
        name: image
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        format: image.format,
        findings: Vec::new(),
    };
    let info = case.text("info", &["info", "--output", "json", "-f", image.format]);
    let probe = case.text("info without -f", &["info", "--output", "json"]);
    let map = case.text("map", &["map", "--output", "json", "-f", image.format]);
    let check = case.text("check", &["check", "--output", "json", "-f", image.format]);
    let measure = case.text(
        "measure",
        &["measure", "--output", "json", "-O", "qcow2", "-f", image.format],
    );
    let (read, untrusted, truth) = case.read(image.truth.as_deref());
    let safety = case.safety();
    Judgement {
        variant: image.variant.clone(),
        format: image.format,
        info,
        probe,
        map,
        check,
        measure,
        read,
        untrusted,
        safety,
        truth,
        deviation: image.deviation,
        findings: merged(case.findings),
    }
}

/// The same words about several verbs stand once.
fn merged(findings: Vec<(String, String)>) -> Vec<String> {
    let mut merged: Vec<(Vec<String>, String)> = Vec::new();
    for (verb, words) in findings {
        match merged.iter_mut().find(|(_, known)| *known == words) {
            Some((verbs, _)) => verbs.push(verb),
            None => merged.push((vec![verb], words)),
        }
    }
    merged
        .into_iter()
        .map(|(verbs, words)| format!("{}: {words}", verbs.join(", ")))
        .collect()
}

struct Case<'a> {
    bench: &'a Bench,
    room: PathBuf,
    name: String,
    format: &'static str,
    findings: Vec<(String, String)>,
}

impl Case<'_> {
    fn note(&mut self, what: &str, words: String) {
        self.findings.push((what.to_owned(), words));
    }

    /// A verb whose answer is text.
    fn text(&mut self, verb: &str, words: &[&str]) -> Answer {
        let words: Vec<&str> = words.iter().copied().chain([self.name.as_str()]).collect();
        let stock = self.bench.stock(&words, &self.room);
        let ours = self.bench.ours(&words, &self.room);
        let (Ok(stock), Ok(ours)) = (stock, ours) else {
            self.note(verb, "cannot be run".to_owned());
            return Answer::Different;
        };
        let same = stock.stdout == ours.stdout && stock.status.code() == ours.status.code();
        // check tells damage by its exit code, with an answer all the same.
        let answered =
            |output: &Output| output.status.success() || verb == "check" && !output.stdout.is_empty();
        let answer = self.compare(verb, &stock, &ours, (answered(&stock), answered(&ours)), same);
        if answer == Answer::Different {
            let (left, right) = (text(&stock.stdout), text(&ours.stdout));
            let line = left
                .lines()
                .zip(right.lines())
                .find(|(left, right)| left != right);
            let (left, right) = line.unwrap_or(("the same lines, then more or fewer", ""));
            let codes = (
                stock.status.code().unwrap_or(-1),
                ours.status.code().unwrap_or(-1),
            );
            self.note(
                verb,
                format!(
                    "qemu-img (exit {}): {}; instar (exit {}): {}",
                    codes.0,
                    left.trim(),
                    codes.1,
                    right.trim()
                ),
            );
        }
        answer
    }

    fn compare(
        &mut self,
        verb: &str,
        stock: &Output,
        ours: &Output,
        answered: (bool, bool),
        same: bool,
    ) -> Answer {
        let words = |output: &Output| last_line(&text(&output.stderr));
        match answered {
            (true, true) if same => Answer::Same,
            (true, true) => Answer::Different,
            (false, false) => {
                // Formats without a check have none in both.
                if !words(stock).ends_with("does not support checks") {
                    self.note(verb, format!("both refuse: {} and {}", words(stock), words(ours)));
                }
                Answer::BothRefuse
            }
            (true, false) => {
                self.note(verb, format!("only instar refuses: {}", words(ours)));
                Answer::Refused
            }
            (false, true) => {
                self.note(verb, format!("only qemu-img refuses: {}", words(stock)));
                Answer::OnlyOurs
            }
        }
    }

    /// The whole disk: by qemu-img, by instar in both sandboxes, and by instar without trust.
    fn read(&mut self, truth: Option<&Path>) -> (Answer, Answer, Option<bool>) {
        let Some(stock) = self.convert(true, &[], "stock.out") else {
            return (Answer::Different, Answer::Different, None);
        };
        let mut answer = Answer::Same;
        for sandbox in ["process", "kvm"] {
            let Some(ours) = self.convert(false, &["--sandbox", sandbox], "ours.out") else {
                return (Answer::Different, Answer::Different, None);
            };
            let answered = (stock.status.success(), ours.status.success());
            let same = answered == (true, true) && self.same_disk("stock.out", "ours.out", true);
            let one = self.compare(&format!("read ({sandbox})"), &stock, &ours, answered, same);
            if one == Answer::Different {
                self.note(
                    &format!("read ({sandbox})"),
                    "other bytes than qemu-img's".to_owned(),
                );
            }
            if answer == Answer::Same {
                answer = one;
            }
        }
        let read = matches!(answer, Answer::Same | Answer::Different | Answer::OnlyOurs);
        let shown = truth
            .filter(|_| read)
            .map(|truth| self.same_disk(&truth.to_string_lossy(), "ours.out", false));
        let untrusted = match self.convert(false, &["--untrusted"], "careful.out") {
            Some(careful) if careful.status.success() && self.same_disk("ours.out", "careful.out", true) => {
                Answer::Same
            }
            Some(careful) if !careful.status.success() => {
                if read {
                    self.note("untrusted", last_line(&text(&careful.stderr)));
                }
                Answer::Refused
            }
            _ => Answer::Different,
        };
        for file in ["stock.out", "ours.out", "careful.out"] {
            let _ = std::fs::remove_file(self.room.join(file));
        }
        (answer, untrusted, shown)
    }

    fn convert(&self, stock: bool, options: &[&str], target: &str) -> Option<Output> {
        let words = ["convert", "-f", self.format, "-O", "raw", &self.name, target];
        let words: Vec<&str> = options.iter().copied().chain(words).collect();
        if stock {
            self.bench.stock(&words, &self.room).ok()
        } else {
            self.bench.ours(&words, &self.room).ok()
        }
    }

    /// Whether two raw disks are the same; where not `strict`, one may end with zeros that the other lacks.
    fn same_disk(&self, left: &str, right: &str, strict: bool) -> bool {
        let size = |file: &str| {
            std::fs::metadata(self.room.join(file))
                .map(|metadata| metadata.len())
                .ok()
        };
        if strict && size(left) != size(right) {
            return false;
        }
        let words = ["compare", "-f", "raw", "-F", "raw", left, right];
        self.bench
            .stock(&words, &self.room)
            .is_ok_and(|output| output.status.success())
    }

    fn safety(&mut self) -> String {
        let words = ["info", "--safety", "-f", self.format, &self.name];
        let Ok(output) = self.bench.ours(&words, &self.room) else {
            return "no verdict".to_owned();
        };
        let report = text(&output.stdout);
        let verdict = report
            .lines()
            .find_map(|line| line.trim().strip_prefix("verdict: "));
        let verdict = verdict.unwrap_or("no verdict").to_owned();
        if !output.status.success() {
            let reasons: Vec<&str> = report
                .lines()
                .filter_map(|line| line.trim().split_once(": unsafe: "))
                .map(|(_, reason)| reason)
                .collect();
            self.note("info --safety", format!("{verdict}: {}", reasons.join("; ")));
        }
        verdict
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
