//! The rows, the files that they refer to, and the comparison of results.

use std::fs;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::reference::{PROFILES, VARIABLE};
use instar_tests::{Bench, Outcome, Reference, ledger};

/// A command line of the matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// A sentence that says what it does.
    pub(crate) name: &'static str,
    /// The words after `dd`; the source is one of [`sources`], the target is `out`.
    pub(crate) words: &'static str,
}

/// The dimensions of the matrix, in the order in which documents show them.
pub(crate) const DIMENSIONS: &[(&str, &[Row])] = &[
    ("operands", super::operands::ROWS),
    ("outputs", super::outputs::ROWS),
    ("inputs", super::inputs::ROWS),
    ("raw_windows", super::raw_windows::ROWS),
    ("structured_windows", super::structured_windows::ROWS),
    ("chains", super::chains::ROWS),
];

/// How each source is made of `raw`, by qemu-img. A step that begins with `io` is one of qemu-io.
const SOURCES: &[(&str, &[&str])] = &[
    ("raw", &[]),
    ("odd", &[]),
    ("nothing", &[]),
    ("name=with=equals", &[]),
    ("qcow2", &["convert -f raw -O qcow2 raw qcow2"]),
    ("version2", &["convert -f raw -O qcow2 -o compat=0.10 raw version2"]),
    ("small", &["convert -f raw -O qcow2 -o cluster_size=512 raw small"]),
    ("extended", &["convert -f raw -O qcow2 -o extended_l2=on raw extended"]),
    ("zlib", &["convert -f raw -O qcow2 -c raw zlib"]),
    ("zstd", &["convert -f raw -O qcow2 -c -o compression_type=zstd raw zstd"]),
    ("sparse", &["convert -f raw -O vmdk raw sparse"]),
    ("split", &["convert -f raw -O vmdk -o subformat=twoGbMaxExtentFlat raw split"]),
    ("stream", &["convert -f raw -O vmdk -o subformat=streamOptimized raw stream"]),
    ("vpc", &["convert -f raw -O vpc -o force_size=on raw vpc"]),
    ("fixed", &["convert -f raw -O vpc -o subformat=fixed,force_size=on raw fixed"]),
    ("vhdx", &["convert -f raw -O vhdx raw vhdx"]),
    ("vdi", &["convert -f raw -O vdi raw vdi"]),
    (
        "over_raw",
        &[
            "create -q -f qcow2 -b raw -F raw over_raw",
            "io over_raw write -P 7 64k 128k",
            "io over_raw write -z 1M 64k",
        ],
    ),
    (
        "over_qcow2",
        &[
            "convert -f raw -O qcow2 -c raw qcow2",
            "create -q -f qcow2 -b qcow2 -F qcow2 over_qcow2 3M",
            "io over_qcow2 write -P 8 100k 30k",
        ],
    ),
    (
        "over_three",
        &[
            "create -q -f qcow2 -b raw -F raw one",
            "io one write -P 1 0 64k",
            "create -q -f qcow2 -o cluster_size=4k -b one -F qcow2 two",
            "io two write -P 2 32k 64k",
            "create -q -f qcow2 -o extended_l2=on -b two -F qcow2 over_three",
            "io over_three write -P 3 80k 6k",
        ],
    ),
    (
        "over_sparse",
        &["convert -f raw -O vmdk raw sparse", "create -q -f vmdk -b sparse -F vmdk over_sparse"],
    ),
    (
        "data_file",
        &["create -q -f qcow2 -o data_file=data_file.raw data_file 2M", "io data_file write -P 9 64k 1M"],
    ),
    (
        "snapshots",
        &[
            "convert -f raw -O qcow2 raw snapshots",
            "snapshot -c s1 snapshots",
            "io snapshots write -P 4 0 1M",
        ],
    ),
    ("empty", &["create -q -f qcow2 empty 2M"]),
    ("size0", &["create -q -f qcow2 size0 0"]),
];

/// Bytes of the source `raw`: two megabytes and two sectors, of which a part is a hole.
pub(crate) const RAW_BYTES: u64 = (2 << 20) + 1024;

/// Names of the sources.
pub(crate) fn sources() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _)| *name)
}

/// Makes a source and what it needs.
pub(crate) fn material(bench: &Bench, name: &str) {
    let Some((_, steps)) = SOURCES.iter().find(|(known, _)| *known == name) else {
        return;
    };
    disk::make(
        &bench.path("raw"),
        RAW_BYTES,
        &[
            Piece::Data(0, 200 << 10, 1),
            Piece::Text(512 << 10, 300 << 10),
            Piece::Zeros(900 << 10, 64 << 10),
            Piece::Data(RAW_BYTES - (90 << 10), 90 << 10, 2),
        ],
    );
    match name {
        "odd" => disk::make(&bench.path("odd"), 1000, &[Piece::Data(0, 1000, 3)]),
        "nothing" => fs::write(bench.path("nothing"), b"").unwrap(),
        "name=with=equals" => fs::write(bench.path(name), disk::pattern(0, 4096, 5)).unwrap(),
        _ => {}
    }
    for step in *steps {
        let words: Vec<&str> = step.split(' ').collect();
        if let ["io", image, command @ ..] = words.as_slice() {
            instar_tests::variant::io(bench, image, &[&command.join(" ")]);
        } else {
            bench.qemu(words).succeeds();
        }
    }
}

/// The sources that a row reads, made.
fn material_of(bench: &Bench, words: &str) {
    let mut made = false;
    for word in words.split(' ') {
        let Some(value) = word.strip_prefix("if=") else {
            continue;
        };
        let value = value.rsplit_once("filename=").map_or(value, |(_, name)| name);
        for name in sources().filter(|name| value == *name || value.ends_with(&format!("/{name}"))) {
            material(bench, name);
            made = true;
        }
    }
    if !made {
        material(bench, "raw");
    }
}

/// Runs a row beside every release that can be started.
pub(super) fn judge(bench: &Bench, words: &str) {
    material_of(bench, words);
    let before = bench.names();
    for reference in Reference::live() {
        let theirs = Outcome::of(
            reference.program("qemu-img").current_dir(bench.directory()).env("LC_ALL", "C").args(line(words)),
        );
        let made = bench.path("out").exists();
        if made {
            fs::rename(bench.path("out"), bench.path("theirs")).unwrap();
        }
        let ours = Outcome::of(bench.command(line(words)).env(VARIABLE, reference.profile()));
        let what = format!("{}: dd {words}", reference.version);
        assert_eq!(theirs.code(), ours.code(), "{what}\n{theirs}{ours}");
        assert_eq!(theirs.text(), ours.text(), "{what}");
        assert_eq!(complaint(&theirs), complaint(&ours), "{what}");
        if ours.code() == Some(0) {
            assert!(made, "{what}: the reference wrote nothing");
            same_image(bench, reference, &what);
        } else {
            assert!(!bench.path("out").exists(), "{what}: failed, and left something behind");
        }
        for name in bench.names().iter().filter(|name| !before.contains(name)) {
            fs::remove_file(bench.path(name)).unwrap();
        }
        ledger::compared("dd", &reference.series);
    }
    for profile in PROFILES.iter().filter(|profile| Reference::of(profile).is_none()) {
        ledger::skip(&format!(
            "qemu-img {profile} cannot be started, so that profile of dd was not compared with it"
        ));
    }
}

/// The words of a row; an operand in quotes holds blanks.
pub(crate) fn line(words: &str) -> Vec<String> {
    let mut line = vec!["dd".to_owned()];
    for (index, part) in words.split('\'').enumerate() {
        if index % 2 == 1 {
            line.push(part.to_owned());
        } else {
            line.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    line
}

/// Standard error, whatever the programs are called.
pub(crate) fn complaint(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    for line in outcome.errors().lines() {
        let mut words = line.splitn(2, ' ');
        let (first, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let program = first.trim_end_matches(':');
        let named =
            |name: &str| ["qemu-img", "instar"].iter().any(|known| name.rsplit('/').next() == Some(known));
        if named(program) {
            lines.push(format!("qemu-img{} {rest}", if first.ends_with(':') { ":" } else { "" }));
        } else if let Some(called) = rest.strip_prefix('\'').filter(|_| first == "Try") {
            let (called, rest) = called.split_once(' ').unwrap_or((called, ""));
            assert!(named(called), "{line}");
            lines.push(format!("Try 'qemu-img {rest}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

/// `theirs` and `out` are of the same format and hold the same disk.
fn same_image(bench: &Bench, reference: &Reference, what: &str) {
    let [theirs, ours] = ["theirs", "out"].map(|name| facts(bench, name));
    assert_eq!(theirs, ours, "{what}");
    let format = theirs.0;
    if format == "raw" {
        return same_bytes(bench, "theirs", "out", what);
    }
    let read = |name: &str, raw: &str| {
        let outcome = Outcome::of(
            reference
                .program("qemu-img")
                .current_dir(bench.directory())
                .args(["convert", "-f", &format, "-O", "raw", name, raw]),
        );
        outcome.succeeds();
    };
    read("theirs", "theirs.raw");
    read("out", "out.raw");
    same_bytes(bench, "theirs.raw", "out.raw", what);
    if format == "qcow2" {
        instar_tests::compare::checks_clean(bench, "out", what);
    }
}

/// The format of an image and its virtual size.
fn facts(bench: &Bench, name: &str) -> (String, u64) {
    let info = instar_tests::compare::qemu_info(bench, name);
    (info["format"].as_str().unwrap().to_owned(), info["virtual-size"].as_u64().unwrap())
}
