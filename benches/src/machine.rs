//! The limits of the machine itself: what any program meets that does this work.
//!
//! They are measured by this program, in a process of their own, so that their buffers do not show in the memory of other children.

mod work;

use std::path::Path;
use std::process::Command;

use crate::corpus::Corpus;
use crate::options::Options;
pub(crate) use work::{WORD, serve};

/// Kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Memory to memory, in buffers that no cache holds.
    Copy,
    /// Out of the page cache, into a buffer that the cache holds.
    Read,
    /// New pages of the page cache.
    Write,
    /// Data extents from file to file, in the kernel.
    CopyRange,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Copy, Self::Read, Self::Write, Self::CopyRange];

    fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Read => "read",
            Self::Write => "write",
            Self::CopyRange => "copy-range",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Copy => "copy of memory, buffers of 64 MiB",
            Self::Read => "read from the page cache, pieces of 256 KiB",
            Self::Write => "first write of new pages, one file, pieces of 256 KiB",
            Self::CopyRange => "copy_file_range of the data extents, one file to a new one",
        }
    }
}

/// The command that writes so many bytes into a new file, with two threads.
pub(crate) fn write_limit(bytes: u64, output: &Path) -> Command {
    command(Kind::Write, 2, bytes, Path::new("-"), output)
}

fn command(kind: Kind, threads: usize, bytes: u64, source: &Path, output: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([WORD, kind.word(), &threads.to_string(), &bytes.to_string()]);
    command.arg(source).arg(output);
    command
}

/// The name that `--only` looks for.
pub(crate) const NAME: &str = "limits of the machine";

/// Measures all of it with the data of the corpus, and says it in Markdown.
pub(crate) fn report(options: &Options, corpus: &Corpus) -> String {
    let source = corpus.path("fs.raw");
    corpus.need("fs.raw");
    let bytes = work::extents(&source)
        .iter()
        .map(|extent| extent.end - extent.start)
        .sum();
    let mut text = format!(
        "Limits of the machine, {} MiB each, medians:\n\n| what | one thread | two threads |\n| --- | --- | --- |\n",
        bytes >> 20
    );
    for kind in Kind::ALL {
        eprintln!("{NAME}: {} …", kind.word());
        let mut rates: [Vec<f64>; 2] = Default::default();
        // The first turn warms up.
        for turn in 0..=options.runs(5) {
            for (threads, rates) in [1, 2].into_iter().zip(&mut rates) {
                let output = corpus.temporary("output");
                let seconds = seconds(command(kind, threads, bytes, &source, &output));
                let _ = std::fs::remove_file(output);
                if turn > 0 {
                    rates.push(crate::measure::gibibytes(bytes) / seconds);
                }
            }
        }
        let [one, two] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied().unwrap_or_default()
        });
        text.push_str(&format!(
            "| {} | {one:.1} GiB/s | {two:.1} GiB/s |\n",
            kind.title()
        ));
    }
    text
}

/// Runs the command, which says how long its work took, without its start.
fn seconds(mut command: Command) -> f64 {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}
