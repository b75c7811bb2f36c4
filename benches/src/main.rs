//! Benchmarks: instar beside the installed qemu-img, one table.
//!
//! ```text
//!  cargo run --release -p instar-benches                 everything, about half an hour on two cores
//!  cargo run --release -p instar-benches -- --quick      smaller images, fewer runs: a few minutes
//!  cargo run --release -p instar-benches -- --only zlib  rows whose name has this word
//!  cargo run --release -p instar-benches -- --runs 9     runs of each program for each row
//! ```
//!
//! Principles:
//!
//! 1. Only ratios count: the programs take turns, each row is the median of its runs, and every ratio is to qemu-img in the same run.
//! 2. Realistic images: a file system with real files, fragmented and compressed clusters, a terabyte of nothing. They are made once, by
//!    qemu-img, under `target/bench-cache` (or `INSTAR_BENCH_CACHE`).
//! 3. The whole process counts: wall time from start to reaped, processor time and memory with every child.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a program for developers: a failure ends it"
)]

mod corpus;
mod measure;
mod rows;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use corpus::Corpus;
use measure::Sample;
use rows::Row;
use table::Line;

/// What was asked for.
#[derive(Debug)]
struct Options {
    quick: bool,
    only: Option<String>,
    runs: Option<usize>,
    qemu: PathBuf,
    instar: PathBuf,
    sandboxes: Vec<&'static str>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            quick: false,
            only: None,
            runs: None,
            qemu: "qemu-img".into(),
            instar: PathBuf::new(),
            sandboxes: vec!["process"],
        };
        if std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
        {
            options.sandboxes.push("kvm");
        }
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only = words.next(),
                "--runs" => options.runs = words.next().and_then(|text| text.parse().ok()),
                _ => panic!("usage: instar-benches [--quick] [--only WORD] [--runs N]"),
            }
        }
        options.instar = std::env::var_os("INSTAR_BIN").map_or_else(build, Into::into);
        options
    }
}

/// Builds the release binary.
fn build() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--release", "--package", "instar"])
        .status()
        .unwrap();
    assert!(status.success(), "instar cannot be built");
    root.join("target/x86_64-unknown-linux-gnu/release/instar")
}

fn main() {
    let options = Options::parse();
    let corpus = Corpus::prepare(options.quick);
    let chosen: Vec<&Row> = rows::all()
        .filter(|row| {
            options
                .only
                .as_ref()
                .is_none_or(|word| row.name.contains(word.as_str()))
        })
        .collect();
    let mut lines = Vec::new();
    for row in chosen {
        eprintln!("{} …", row.name);
        let line = measure_row(&options, &corpus, row);
        eprintln!("  {}", line.brief());
        lines.push(line);
    }
    println!("{}", table::render(&lines, &options.sandboxes, options.quick));
    corpus.clear_output();
}

/// One program, as the rows call it.
enum Program<'a> {
    /// qemu-img, or instar in a sandbox.
    Image(&'a Path, Option<&'static str>),
    /// Whoever else does the same.
    Peer,
}

impl Program<'_> {
    fn command(&self, row: &Row, corpus: &Corpus) -> Command {
        match self {
            Self::Image(binary, sandbox) => row.command(corpus, binary, *sandbox),
            Self::Peer => row.peer_command(corpus).expect("only rows with a peer have one"),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Image(_, None) => "qemu-img",
            Self::Image(_, Some(sandbox)) => sandbox,
            Self::Peer => "peer",
        }
    }
}

fn measure_row(options: &Options, corpus: &Corpus, row: &Row) -> Line {
    let mut programs = vec![Program::Image(&options.qemu, None)];
    let sandboxes = options.sandboxes.iter();
    programs.extend(sandboxes.map(|sandbox| Program::Image(&options.instar, Some(sandbox))));
    programs.extend(row.peer.map(|_| Program::Peer));
    for image in row.needs {
        corpus.need(image);
    }
    let runs = options
        .runs
        .unwrap_or(if options.quick { row.runs.min(3) } else { row.runs });
    let mut samples: Vec<Vec<Sample>> = programs.iter().map(|_| Vec::new()).collect();
    let mut failure = None;
    for turn in 0..=runs {
        for (program, samples) in programs.iter().zip(&mut samples) {
            corpus.clear_output();
            let command = || program.command(row, corpus);
            // The first turn warms the page cache up, measures memory, and is not timed.
            let sample = if turn == 0 {
                measure::memory(command())
            } else {
                measure::time(command())
            };
            match sample {
                Ok(sample) => samples.push(Sample {
                    output_bytes: corpus.output_bytes(),
                    ..sample
                }),
                Err(message) => failure = Some(format!("{}: {message}", program.name())),
            }
        }
        if failure.is_some() {
            break;
        }
    }
    Line::new(row, &samples, options.sandboxes.len(), failure)
}
