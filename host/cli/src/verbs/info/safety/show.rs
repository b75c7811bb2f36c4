//! The verdicts of `info --safety`, for people and for programs.

use std::fmt::Write;

use instar_abi::safety::{Level, Risk, Safety};

use crate::json::{Json, Object};
use crate::show::human_size;
use crate::words;

/// One verdict, in words.
#[derive(Debug)]
pub(super) struct Finding {
    risk: Risk,
    level: Level,
    why: Option<String>,
}

/// What was found of one image.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    /// Its name, as the user wrote it.
    pub(super) name: &'a [u8],
    /// What the guest found.
    pub(super) report: &'a Safety,
    /// A finding for each risk.
    pub(super) findings: Vec<Finding>,
}

/// The finding for `risk`: the guest's, and if it says nothing, that nothing is known.
pub(super) fn finding(report: &Safety, risk: Risk) -> Finding {
    let verdict = report.verdicts.iter().find(|verdict| verdict.risk == risk);
    Finding {
        risk,
        level: verdict.map_or(Level::Unknown, |verdict| verdict.level),
        why: verdict.and_then(|verdict| verdict.why.as_ref()).map(words::fault),
    }
}

impl Findings<'_> {
    /// Nothing unsafe was found, and everything was looked at.
    pub(super) fn safe(&self) -> bool {
        let encrypted = self
            .findings
            .iter()
            .any(|finding| finding.risk == Risk::Encryption && finding.level == Level::Note);
        self.findings.iter().all(|finding| match finding.level {
            Level::Safe | Level::Note => true,
            Level::Unsafe => false,
            // Tables of an encrypted image are not walked through.
            Level::Unknown => encrypted && matches!(finding.risk, Risk::Structure | Risk::Amplification),
        })
    }

    pub(super) fn human(&self) -> Vec<u8> {
        let mut out = [b"image: ", self.name, b"\n"].concat();
        let mut text = String::new();
        if let Some(format) = self.report.format {
            let _ = writeln!(text, "file format: {}", format.name());
        }
        if let Some(size) = self.report.virtual_size {
            let _ = writeln!(text, "virtual size: {} ({size} bytes)", human_size(size));
        }
        let verdict = if self.safe() { "safe" } else { "unsafe" };
        let _ = writeln!(text, "verdict: {verdict}");
        for finding in &self.findings {
            let _ = write!(text, "    {}: {}", name(finding.risk), level(finding.level));
            match &finding.why {
                Some(why) => {
                    let _ = writeln!(text, ": {why}");
                }
                None => text.push('\n'),
            }
        }
        out.extend_from_slice(text.as_bytes());
        out
    }

    pub(super) fn json(&self) -> Json {
        let checks: Vec<Json> = self
            .findings
            .iter()
            .map(|finding| {
                Object::new()
                    .with("name", name(finding.risk))
                    .with("result", level(finding.level))
                    .with_some("reason", finding.why.as_deref())
                    .into()
            })
            .collect();
        Object::new()
            .with("filename", self.name)
            .with_some("format", self.report.format.map(|format| format.name()))
            .with_some("virtual-size", self.report.virtual_size)
            .with("safe", self.safe())
            .with("checks", checks)
            .into()
    }
}

const fn name(risk: Risk) -> &'static str {
    match risk {
        Risk::Format => "format",
        Risk::Structure => "structure",
        Risk::UnknownFeatures => "unknown-features",
        Risk::BackingFile => "backing-file",
        Risk::DataFile => "data-file",
        Risk::ExtentFiles => "extent-files",
        Risk::VirtualSize => "virtual-size",
        Risk::TableSizes => "table-sizes",
        Risk::Amplification => "amplification",
        Risk::Encryption => "encryption",
        Risk::Dirty => "dirty",
        Risk::Corrupt => "corrupt",
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Safe => "ok",
        Level::Note => "note",
        Level::Unsafe => "unsafe",
        Level::Unknown => "not checked",
    }
}
