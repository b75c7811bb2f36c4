//! What is measured, and the goals.

mod making;

use std::path::Path;
use std::process::Command;

use crate::corpus::Corpus;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What is done.
    pub(crate) name: &'static str,
    /// Images that must be there.
    pub(crate) needs: &'static [&'static str],
    /// The command line; `@NAME` is an image and `@` alone the output.
    words: &'static [&'static str],
    /// Another program's command line for the same bytes, if there is one worth comparing.
    pub(crate) peer: Option<&'static [&'static str]>,
    /// Timed runs of each program.
    pub(crate) runs: usize,
    /// The ratio to reach in the better sandbox, if there is a goal.
    pub(crate) goal: Option<f64>,
    /// A goal of KVM's own.
    pub(crate) kvm_goal: Option<f64>,
    /// Whether KVM must stay within 1.25 of the process sandbox.
    pub(crate) conversion: bool,
}

impl Row {
    /// The command for one program.
    pub(crate) fn command(&self, corpus: &Corpus, program: &Path, sandbox: Option<&str>) -> Command {
        let mut command = Command::new(program);
        fill(&mut command, self.words, corpus, sandbox);
        command
    }

    /// The peer's command.
    pub(crate) fn peer_command(&self, corpus: &Corpus) -> Option<Command> {
        let (program, words) = self.peer?.split_first()?;
        let mut command = Command::new(program);
        fill(&mut command, words, corpus, None);
        Some(command)
    }
}

fn fill(command: &mut Command, words: &[&str], corpus: &Corpus, sandbox: Option<&str>) {
    for (place, word) in words.iter().enumerate() {
        match word.split_once('@') {
            Some((before, "")) => command.arg(format!("{before}{}", corpus.output().display())),
            Some((before, name)) => command.arg(format!("{before}{}", corpus.path(name).display())),
            None => command.arg(word),
        };
        if let (0, Some(sandbox)) = (place, sandbox) {
            command.args(["--sandbox", sandbox]);
        }
    }
}

const fn row(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    Row {
        name,
        needs,
        words,
        peer: None,
        runs,
        goal: if goal > 0.0 { Some(goal) } else { None },
        kvm_goal: None,
        conversion: true,
    }
}

/// Every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(FORMATS).chain(LOOKS).chain(making::ROWS)
}

/// What copies a sparse file without looking into it.
const COPY: &[&str] = &["cp", "--sparse=always", "@fs.raw", "@"];

/// Between raw and qcow2.
const ROWS: &[Row] = &[
    Row {
        kvm_goal: Some(0.7),
        conversion: false,
        ..row(
            "info, small qcow2",
            &["small.qcow2"],
            &["info", "@small.qcow2"],
            40,
            0.4,
        )
    },
    Row {
        peer: Some(COPY),
        ..row(
            "qcow2 to raw",
            &["fs.qcow2", "fs.raw"],
            &["convert", "-O", "raw", "@fs.qcow2", "@"],
            7,
            0.5,
        )
    },
    Row {
        peer: Some(COPY),
        ..row(
            "raw to raw",
            &["fs.raw"],
            &["convert", "-f", "raw", "-O", "raw", "@fs.raw", "@"],
            7,
            0.0,
        )
    },
    row(
        "raw to qcow2",
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
        7,
        0.4,
    ),
    row(
        "qcow2 to qcow2",
        &["fs.qcow2"],
        &["convert", "-O", "qcow2", "@fs.qcow2", "@"],
        5,
        0.0,
    ),
    row(
        "qcow2 fragmented at 64k to raw",
        &["fragments64k.qcow2"],
        &["convert", "-O", "raw", "@fragments64k.qcow2", "@"],
        7,
        0.5,
    ),
    row(
        "qcow2 fragmented at 4k to raw",
        &["fragments4k.qcow2"],
        &["convert", "-O", "raw", "@fragments4k.qcow2", "@"],
        5,
        0.5,
    ),
    row(
        "zlib qcow2 to raw",
        &["fs-zlib.qcow2"],
        &["convert", "-O", "raw", "@fs-zlib.qcow2", "@"],
        5,
        0.35,
    ),
    row(
        "zstd qcow2 to raw",
        &["fs-zstd.qcow2"],
        &["convert", "-O", "raw", "@fs-zstd.qcow2", "@"],
        5,
        0.0,
    ),
    row(
        "raw to zlib qcow2 (-c)",
        &["fs.raw"],
        &["convert", "-c", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
        3,
        0.25,
    ),
    row(
        "raw to zstd qcow2 (-c)",
        &["fs.raw"],
        &[
            "convert",
            "-c",
            "-o",
            "compression_type=zstd",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "@fs.raw",
            "@",
        ],
        3,
        0.0,
    ),
    Row {
        conversion: false,
        ..row(
            "1 TiB of nothing, qcow2 to raw",
            &["tera.qcow2"],
            &["convert", "-O", "raw", "@tera.qcow2", "@"],
            9,
            0.4,
        )
    },
    Row {
        conversion: false,
        ..row(
            "1 TiB of nothing, raw to qcow2",
            &["tera.raw"],
            &["convert", "-f", "raw", "-O", "qcow2", "@tera.raw", "@"],
            9,
            0.4,
        )
    },
    row(
        "dd bs=1M, qcow2",
        &["fs.qcow2"],
        &["dd", "bs=1M", "if=@fs.qcow2", "of=@"],
        3,
        0.15,
    ),
    row(
        "dd bs=512, 64 MiB",
        &["64m.raw"],
        &["dd", "-f", "raw", "bs=512", "if=@64m.raw", "of=@"],
        3,
        0.01,
    ),
];

/// To and from what other products use.
const FORMATS: &[Row] = &[
    row(
        "qcow2 to vmdk",
        &["fs.qcow2"],
        &["convert", "-O", "vmdk", "@fs.qcow2", "@"],
        3,
        0.8,
    ),
    row(
        "qcow2 to vpc",
        &["fs.qcow2"],
        &["convert", "-O", "vpc", "@fs.qcow2", "@"],
        3,
        0.8,
    ),
    row(
        "qcow2 to vhdx",
        &["fs.qcow2"],
        &["convert", "-O", "vhdx", "@fs.qcow2", "@"],
        3,
        0.8,
    ),
    row(
        "qcow2 to vdi",
        &["fs.qcow2"],
        &["convert", "-O", "vdi", "@fs.qcow2", "@"],
        3,
        0.8,
    ),
    row(
        "qcow2 to streamOptimized vmdk",
        &["fs.qcow2"],
        &[
            "convert",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
            "@fs.qcow2",
            "@",
        ],
        3,
        0.25,
    ),
    row(
        "vmdk to raw",
        &["fs.vmdk"],
        &["convert", "-O", "raw", "@fs.vmdk", "@"],
        3,
        0.8,
    ),
    row(
        "vpc to raw",
        &["fs.vpc"],
        &["convert", "-O", "raw", "@fs.vpc", "@"],
        3,
        0.8,
    ),
    row(
        "vhdx to raw",
        &["fs.vhdx"],
        &["convert", "-O", "raw", "@fs.vhdx", "@"],
        3,
        0.8,
    ),
    row(
        "vdi to raw",
        &["fs.vdi"],
        &["convert", "-O", "raw", "@fs.vdi", "@"],
        3,
        0.8,
    ),
    row(
        "streamOptimized vmdk to raw",
        &["fs-stream.vmdk"],
        &["convert", "-O", "raw", "@fs-stream.vmdk", "@"],
        3,
        0.8,
    ),
];

/// Looking at images.
const LOOKS: &[Row] = &[
    look(
        "map, 1 TiB, preallocation=metadata",
        &["tera-metadata.qcow2"],
        &["map", "--output=json", "@tera-metadata.qcow2"],
        5,
        0.3,
    ),
    look(
        "map, a million extents",
        &["million.qcow2"],
        &["map", "--output=json", "@million.qcow2"],
        5,
        0.3,
    ),
    look(
        "map, a chain of 200",
        &["chain-199.qcow2"],
        &["map", "--output=json", "@chain-199.qcow2"],
        5,
        0.3,
    ),
    look(
        "compare, 4 GiB, the same",
        &["fs.qcow2", "fs-again.qcow2"],
        &["compare", "@fs.qcow2", "@fs-again.qcow2"],
        5,
        0.6,
    ),
    look(
        "compare, qcow2 with compressed qcow2",
        &["fs.qcow2", "fs-zlib.qcow2"],
        &["compare", "@fs.qcow2", "@fs-zlib.qcow2"],
        3,
        0.6,
    ),
    look(
        "check, 4 TiB, preallocation=metadata",
        &["tera4-metadata.qcow2"],
        &["check", "@tera4-metadata.qcow2"],
        3,
        0.3,
    ),
    look(
        "check, a thousand snapshots",
        &["snapshots.qcow2"],
        &["check", "@snapshots.qcow2"],
        3,
        0.2,
    ),
    look(
        "check, a small qcow2",
        &["small.qcow2"],
        &["check", "@small.qcow2"],
        20,
        0.0,
    ),
];

/// A row that writes nothing.
const fn look(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    Row {
        conversion: false,
        ..row(name, needs, words, runs, goal)
    }
}
