//! docs/writers.md, from a run.

use std::fmt::Write as _;

use super::Made;
use super::judge::{Answer, Judgement};
use crate::run::output;
use crate::workspace;

const PAGE: &str = "docs/writers.md";

const HEAD: &str = "\
# Images of other programs

`cargo xtask writers --write` writes this page; do not edit it here. It fetched the programs from package registries
and had them make these images; instar and qemu-img then read every image. The columns: `info`, `map`, `check` and
`measure` compare JSON output and exit codes. *read* compares every byte of the disk in both sandboxes
(`convert -O raw`). *writer's disk* compares it with the raw disk that the program was given, or with what the
program itself reads. *untrusted* is `convert --untrusted`, and *unsafe* counts verdicts of `info --safety`. All runs
gave the format with `-f`; `info` also ran without it.

";

/// The whole page.
pub(super) fn render(
    judged: &[(Made, Vec<Judgement>)],
    skipped: &[(String, String)],
) -> Result<String, String> {
    let version = output(std::process::Command::new("qemu-img").arg("--version"))?;
    let version = version.split_whitespace().nth(2).unwrap_or("of unknown version");
    let mut page = HEAD.to_owned();
    let fail = |error: std::fmt::Error| error.to_string();
    writeln!(page, "Compared with qemu-img {version}.\n").map_err(fail)?;
    writeln!(
        page,
        "| writer | version | formats | images | read | both refuse | refused | info, map, check, measure differ | writer's disk | unsafe | untrusted refuses |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    .map_err(fail)?;
    for (made, judgements) in judged {
        writeln!(page, "{}", row(made, judgements)).map_err(fail)?;
    }
    notes(&mut page, judged).map_err(fail)?;
    if !skipped.is_empty() {
        writeln!(page, "\n## Programs that could not be fetched\n").map_err(fail)?;
        for (name, reason) in skipped {
            writeln!(page, "- {name}: {}", plain(reason)).map_err(fail)?;
        }
    }
    Ok(page)
}

fn row(made: &Made, judgements: &[Judgement]) -> String {
    let count = |wanted: &dyn Fn(&Judgement) -> bool| judgements.iter().filter(|one| wanted(one)).count();
    let mut formats: Vec<&str> = judgements.iter().map(|one| one.format).collect();
    formats.sort_unstable();
    formats.dedup();
    let differ = [Answer::Different, Answer::Refused];
    let known = count(&|one| one.truth.is_some());
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} of {known} | {} | {} |",
        made.writer,
        made.version,
        formats.join(", "),
        judgements.len(),
        count(&|one| matches!(one.read, Answer::Same | Answer::OnlyOurs)
            || one.is_deliberate() && one.truth == Some(true)),
        count(&|one| one.read == Answer::BothRefuse),
        count(&|one| !one.is_deliberate() && differ.contains(&one.read)),
        count(&|one| {
            !one.is_deliberate()
                && [&one.info, &one.probe, &one.map, &one.check, &one.measure]
                    .iter()
                    .any(|answer| differ.contains(answer))
        }),
        count(&|one| one.truth == Some(true)),
        count(&|one| one.safety != "safe"),
        count(&|one| one.untrusted != Answer::Same),
    )
}

/// Everything that is not plainly the same, with what both programs say.
fn notes(page: &mut String, judged: &[(Made, Vec<Judgement>)]) -> std::fmt::Result {
    writeln!(page, "\n## Differences\n")?;
    for (made, judgements) in judged {
        for (variant, reason) in &made.failed {
            let reason = plain(reason);
            writeln!(
                page,
                "- {} {}, {variant}: the program itself fails: {reason}",
                made.writer, made.version
            )?;
        }
        for (words, variants) in grouped(judgements) {
            writeln!(
                page,
                "- {} {}, {}: {words}",
                made.writer,
                made.version,
                variants.join("; ")
            )?;
        }
    }
    Ok(())
}

/// What was found, with the variants that it was found with, in the order of the first of each.
fn grouped(judgements: &[Judgement]) -> Vec<(String, Vec<&str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for one in judgements {
        let mut words: Vec<String> = one
            .findings
            .iter()
            .map(|finding| general(&plain(finding)))
            .collect();
        if let Some(row) = one.deviation {
            words.push(format!(
                "deliberate, the row {row} of [deviations](deviations.md)"
            ));
        }
        if one.truth == Some(false) {
            words.push("the writer's own disk is another one".to_owned());
        }
        if words.is_empty() {
            continue;
        }
        let words = words.join("; ");
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, variants)) => variants.push(&one.variant),
            None => groups.push((words, vec![&one.variant])),
        }
    }
    groups
}

/// Without the names of files, which differ from one variant to the next.
fn general(text: &str) -> String {
    let words: Vec<&str> = text
        .split(' ')
        .map(|word| match word.strip_prefix('\'') {
            Some(name) if name.ends_with("':") => "'…':",
            Some(name) if name.ends_with("',") => "'…',",
            Some(_) => "'…'",
            None => word,
        })
        .collect();
    words.join(" ")
}

/// Text of programs, as it may stand in a document: no directories of this machine, nothing that Markdown reads.
fn plain(text: &str) -> String {
    let root = workspace::root().canonicalize().unwrap_or_default();
    text.replace(&*root.to_string_lossy(), "")
        .replace('|', "/")
        .replace(['`', '<', '>', '*'], "'")
}

pub(super) fn write(page: &str) -> Result<(), String> {
    std::fs::write(workspace::root().join(PAGE), page).map_err(|error| format!("{PAGE}: {error}"))
}
