//! Benchmarks: instar beside the installed qemu-img, others that do the same, and the machine's own limits.
//!
//! ```text
//!  cargo run --release -p instar-benches                  everything, about an hour and a half on two cores
//!  cargo run --release -p instar-benches -- --quick       smaller images, fewer runs
//!  cargo run --release -p instar-benches -- --group cold  rows of a group: plain, codec, cold, limits, looks, making
//!  cargo run --release -p instar-benches -- --only zlib   rows whose name has this word
//!  cargo run --release -p instar-benches -- --runs 9      runs of each program for each row
//!  cargo run --release -p instar-benches -- --against OTHER  another binary of instar instead of qemu-img
//!  cargo run --release -p instar-benches -- --large       also rows that need 45 GB of room
//!  cargo run --release -p instar-benches -- --list        groups and names
//! ```
//!
//! Principles:
//!
//! 1. Only ratios count: the programs take turns, each row is the median of its runs, and every ratio is to qemu-img in the same run.
//! 2. Realistic images: a file system with real files, fragmented and compressed clusters, empty disks of terabytes. They are made once, by
//!    qemu-img, under `target/bench-cache` (or `INSTAR_BENCH_CACHE`).
//! 3. The whole process counts: wall time from start to reaped, processor time and memory with every child.
//! 4. What a row needs and the machine lacks (a program, root, control groups) is a printed reason, not a failure.
//! 5. Nothing is left behind: see `cleanup`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a program for developers: a failure ends it"
)]

mod against;
mod cleanup;
mod commands;
mod confined;
mod corpus;
mod machine;
mod measure;
mod options;
mod peers;
mod place;
mod rows;
mod site;
mod table;
mod turns;

use corpus::Corpus;
use options::Options;
use place::Place;
use rows::{Group, Row};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((machine::WORD, rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return machine::serve(rest);
    }
    let mut options = Options::parse();
    let chosen = options.chosen();
    if options.list {
        return list(&options, &chosen);
    }
    if chosen.iter().any(|row| row.place.mounts()) {
        site::enter_namespace();
    }
    cleanup::on_signals();
    options.find_instar();
    site::remove_old_groups();
    let corpus = Corpus::prepare(options.quick);
    let (confined, others): (Vec<&Row>, Vec<&Row>) =
        chosen.into_iter().partition(|row| row.place == Place::Confined);
    if let Some(other) = &options.against {
        return println!("{}", against::report(&options, &corpus, &others, other));
    }
    let mut parts = Vec::new();
    if options.wants(Group::Limits, machine::NAME) {
        parts.push(machine::report(&options, &corpus));
    }
    let lines: Vec<table::Line> = others
        .into_iter()
        .map(|row| {
            eprintln!("{} …", row.name);
            let line = turns::measure(&options, &corpus, row);
            eprintln!("  {}", line.brief());
            line
        })
        .collect();
    if !lines.is_empty() {
        parts.push(table::render(&lines, &options));
    }
    let reports: Vec<confined::Report> = confined
        .into_iter()
        .map(|row| {
            eprintln!("{} …", row.name);
            confined::measure(&options, &corpus, row)
        })
        .collect();
    if !reports.is_empty() {
        parts.push(confined::render(&reports));
    }
    println!("{}", parts.join("\n"));
}

fn list(options: &Options, chosen: &[&Row]) {
    if options.wants(Group::Limits, machine::NAME) {
        println!("{}\t{}", Group::Limits.name(), machine::NAME);
    }
    for row in chosen {
        println!("{}\t{}", row.group.name(), row.name);
    }
}
