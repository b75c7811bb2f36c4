//! `selftest`: words and JSON for what was found.

use std::fmt::Write;

use instar_abi::Format;
use instar_sandbox::{Held, Mode};

use super::formats::Tested;
use super::run::Findings;
use super::tries::{By, Found, Try, Verdict};
use crate::json::{Json, Object, pretty};

pub(super) const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Kvm => "kvm",
        Mode::Process => "process",
    }
}

impl Tested {
    /// Whether it works, and in the same way everywhere.
    pub(super) fn passed(&self) -> bool {
        self.same && self.results.iter().all(|(_, failure)| failure.is_none())
    }
}

const fn word(held: &Held) -> &'static str {
    match held {
        Held::Ended(_) => "ended",
        Held::Refused(_) => "refused",
        Held::Done => "done",
        Held::Unclear(_) => "unclear",
    }
}

fn detail(held: &Held) -> Option<&str> {
    match held {
        Held::Ended(how) | Held::Refused(how) | Held::Unclear(how) => Some(how),
        Held::Done => None,
    }
}

/// Room for the words of one thing that is tried.
const WIDTH: usize = 52;

pub(super) fn human(findings: &Findings) -> String {
    let mut text = String::new();
    let available = |outcome: &Result<(), String>| match outcome {
        Ok(()) => "available".to_owned(),
        Err(why) => format!("not available: {why}"),
    };
    let _ = writeln!(text, "sandboxes");
    let _ = writeln!(text, "    kvm: {}", available(&findings.probe.kvm));
    let _ = writeln!(text, "    process: {}", available(&findings.probe.process));
    for (by, title) in [
        (By::Guest, "what a guest tries that has been taken over"),
        (By::Request, "what such a guest asks of the host"),
        (By::Process, "what our own process tries if it is taken over"),
    ] {
        let columns = findings.modes.iter().map(|mode| name(*mode));
        let heads: Vec<&str> = if by == By::Process {
            vec![""]
        } else {
            columns.collect()
        };
        let mut tries = findings.tries.iter().filter(|tried| tried.by == by).peekable();
        if tries.peek().is_some() {
            heading(&mut text, title, &heads);
        }
        for tried in tries {
            let cells: Vec<&str> = tried.results.iter().map(|(_, found)| word(&found.held)).collect();
            row(&mut text, tried.words, &cells);
            for (mode, found) in &tried.results {
                remark(&mut text, *mode, found);
            }
        }
    }
    made(&mut text, findings);
    text.push_str("not protected on this machine\n");
    for line in &findings.lacking {
        let _ = writeln!(text, "    {line}");
    }
    if findings.lacking.is_empty() {
        text.push_str("    (nothing that instar can protect is left out)\n");
    }
    for line in &findings.wrong {
        let _ = writeln!(text, "wrong: {line}");
    }
    conclusion(&mut text, findings);
    text
}

fn made(text: &mut String, findings: &Findings) {
    if findings.formats.is_empty() {
        return;
    }
    let heads: Vec<&str> = findings.modes.iter().map(|mode| name(*mode)).collect();
    heading(text, "an image made, checked and read back", &heads);
    for tested in &findings.formats {
        let cell = |(_, failure): &(Mode, Option<String>)| if failure.is_none() { "same" } else { "failed" };
        let cells: Vec<&str> = tested.results.iter().map(cell).collect();
        row(text, tested.format.name(), &cells);
        for (mode, failure) in &tested.results {
            if let Some(why) = failure {
                let _ = writeln!(text, "        {}: {why}", name(*mode));
            }
        }
        if !tested.same {
            let _ = writeln!(text, "        the sandboxes wrote different bytes");
        }
    }
    let _ = writeln!(text, "    {}: only read, not tested", read_only().join(", "));
}

fn heading(text: &mut String, title: &str, columns: &[&str]) {
    let mut line = format!("{title:<width$}", width = WIDTH + 4);
    for column in columns {
        let _ = write!(line, "{column:<10}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

fn row(text: &mut String, words: &str, cells: &[&str]) {
    let mut line = format!("    {words:<WIDTH$}");
    for cell in cells {
        let _ = write!(line, "{cell:<10}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// What stands below a line that is not as it should be.
fn remark(text: &mut String, mode: Option<Mode>, found: &Found) {
    let place = mode.map_or(String::new(), |mode| format!("{}: ", name(mode)));
    let _ = match found.verdict {
        Verdict::Kept => Ok(()),
        Verdict::Unprotected => writeln!(text, "        {place}this machine does not prevent it"),
        Verdict::Broken => writeln!(
            text,
            "        {place}NOT AS PROMISED{}",
            detail(&found.held).map_or(String::new(), |how| format!(": {how}"))
        ),
    };
}

fn conclusion(text: &mut String, findings: &Findings) {
    let tries: usize = findings.tries.iter().map(|tried| tried.results.len()).sum();
    let images: usize = findings.formats.iter().map(|tested| tested.results.len()).sum();
    let verdict = if findings.passed() {
        "passed: what is promised holds"
    } else if findings.is_broken() {
        "FAILED: something that is promised does not hold; please report it"
    } else {
        "FAILED: this machine lacks what every run needs"
    };
    let _ = writeln!(
        text,
        "{verdict} ({tries} attempts, {images} images, {:.1} seconds)",
        findings.seconds
    );
}

fn read_only() -> Vec<&'static str> {
    let formats = Format::ALL.into_iter().filter(|format| format.is_read_only());
    formats.map(Format::name).collect()
}

pub(super) fn json(findings: &Findings) -> String {
    let available = |outcome: &Result<(), String>| {
        Object::new()
            .with("available", outcome.is_ok())
            .with_some("reason", outcome.as_ref().err().map(String::as_str))
    };
    let attempts: Vec<Json> = findings.tries.iter().flat_map(attempts).collect();
    let formats: Vec<Json> = findings.formats.iter().flat_map(images).collect();
    let lines =
        |lines: &[String]| -> Vec<Json> { lines.iter().map(|line| Json::from(line.as_str())).collect() };
    // Milliseconds: a number without a point in it.
    let milliseconds = std::time::Duration::from_secs_f64(findings.seconds).as_millis();
    let object = Object::new()
        .with("passed", findings.passed())
        .with("milliseconds", u64::try_from(milliseconds).unwrap_or(u64::MAX))
        .with("kvm", available(&findings.probe.kvm))
        .with("process", available(&findings.probe.process))
        .with_some("landlock-abi", instar_jail::landlock_abi().map(i64::from))
        .with("attempts", attempts)
        .with("formats", formats)
        .with("not-protected", lines(&findings.lacking))
        .with("wrong", lines(&findings.wrong));
    let mut text = pretty(&object.into());
    text.push('\n');
    text
}

fn attempts(tried: &Try) -> Vec<Json> {
    let by = match tried.by {
        By::Guest => "guest",
        By::Request => "request",
        By::Process => "process",
    };
    let one = |(mode, found): &(Option<Mode>, Found)| {
        Object::new()
            .with("by", by)
            .with("name", tried.name)
            .with("description", tried.words)
            .with_some("sandbox", mode.map(name))
            .with("outcome", word(&found.held))
            .with_some("detail", detail(&found.held))
            .with("promised", found.verdict != Verdict::Unprotected)
            .with("as-promised", found.verdict != Verdict::Broken)
            .into()
    };
    tried.results.iter().map(one).collect()
}

fn images(tested: &Tested) -> Vec<Json> {
    let one = |(mode, failure): &(Mode, Option<String>)| {
        Object::new()
            .with("format", tested.format.name())
            .with("sandbox", name(*mode))
            .with("works", failure.is_none())
            .with_some("detail", failure.as_deref())
            .with("same-in-every-sandbox", tested.same)
            .into()
    };
    tested.results.iter().map(one).collect()
}
