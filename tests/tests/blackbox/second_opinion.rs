//! Our images, read by programs that share no code with qemu or with instar: 7-Zip, the libraries of libyal, dissect.
//!
//! A reader that reads an image of qemu-img must read ours too, every byte. The ledger gets each opinion, and each reader that
//! is missing.

use std::fs;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, Sandbox, ledger};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// No whole blocks, but what the readers want: 7-Zip whole sectors of 4096 bytes in a VHDX, dissect whole grains in a VMDK.
const SIZE: u64 = (9 << 20) + (64 << 10);

/// A program that reads images.
struct Reader {
    name: &'static str,
    /// Words to find out whether it is here.
    probe: fn() -> Command,
    /// Reads image into `opinion`; none if it knows no such format.
    read: fn(&Bench, format: &str, image: &str) -> Option<Outcome>,
    /// How to get it.
    remedy: &'static str,
}

const READERS: [Reader; 3] = [
    Reader {
        name: "7-Zip",
        probe: || command("7zz", &["i"]),
        read: |bench, format, image| {
            let kind = match format {
                "qcow2" => "-tqcow",
                "vpc" => "-tvhd",
                "vhdx" => "-tvhdx",
                "vmdk" => "-tvmdk",
                _ => "-tvdi",
            };
            let outcome =
                Outcome::of(command("7zz", &["e", "-so", kind, image]).current_dir(bench.directory()));
            fs::write(bench.path("opinion"), &outcome.stdout).unwrap();
            Some(Outcome {
                stdout: Vec::new(),
                ..outcome
            })
        },
        remedy: "the package 7zip",
    },
    Reader {
        name: "libyal",
        probe: || python("/usr/bin/python3", "libyal.py", &[]),
        read: |bench, format, image| {
            (format != "vdi").then(|| script(bench, "/usr/bin/python3", "libyal.py", format, image))
        },
        remedy: "the packages python3-libvhdi, python3-libvmdk and python3-libqcow",
    },
    Reader {
        name: "dissect",
        probe: || python(&environment(), "dissect.py", &[]),
        read: |bench, format, image| Some(script(bench, &environment(), "dissect.py", format, image)),
        remedy: "./test, which puts it into target/second-opinion",
    },
];

/// The Python environment that `./test` makes.
fn environment() -> String {
    format!("{ROOT}/target/second-opinion/bin/python")
}

fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn python(interpreter: &str, script: &str, words: &[&str]) -> Command {
    let path = format!("{ROOT}/tests/second_opinion/{script}");
    // Isolated: the script's own directory is no place to import from, where one is named like a package.
    let mut command = command(interpreter, &["-I", &path]);
    command.args(words);
    command
}

fn script(bench: &Bench, interpreter: &str, script: &str, format: &str, image: &str) -> Outcome {
    Outcome::of(python(interpreter, script, &[format, image, "opinion"]).current_dir(bench.directory()))
}

fn is_here(reader: &Reader) -> bool {
    (reader.probe)().output().is_ok_and(|output| output.status.success())
}

/// Whether `reader` reads `disk.raw` from `image`, with what it said if it does not.
fn reads(bench: &Bench, reader: &Reader, format: &str, image: &str) -> Option<Result<(), String>> {
    let _ = fs::remove_file(bench.path("opinion"));
    let outcome = (reader.read)(bench, format, image)?;
    if outcome.code() != Some(0) {
        return Some(Err(outcome.to_string()));
    }
    let [disk, opinion] = ["disk.raw", "opinion"].map(|name| fs::read(bench.path(name)).unwrap());
    // The disk, and the zeros with which a format rounds its size up.
    let same = opinion.len() >= disk.len()
        && opinion[..disk.len()] == disk[..]
        && opinion[disk.len()..].iter().all(|byte| *byte == 0);
    Some(if same {
        Ok(())
    } else {
        Err(format!("{outcome} and gives another disk"))
    })
}

/// Lets every reader judge what we write with each of these options. At least `judges` of all three must be able to.
fn judge(format: &str, variants: &[(&[&str], usize)]) {
    let readers: Vec<&Reader> = READERS
        .iter()
        .filter(|reader| {
            let here = is_here(reader);
            if !here {
                ledger::skip(&format!(
                    "no second opinion by {}; it comes with {}",
                    reader.name, reader.remedy
                ));
            }
            here
        })
        .collect();
    for (options, judges) in variants {
        let bench = &Bench::new(Sandbox::Process);
        let what = format!("{format} {}", options.join(" "));
        let pieces = [
            Piece::Data(0, 70_000, 1),
            Piece::Data((1 << 20) - 512, 300 << 10, 2),
            Piece::Text(3 << 20, 1 << 20),
            Piece::Zeros(5 << 20, 128 << 10),
            Piece::Data(6 << 20, 1 << 20, 3),
            Piece::Data(SIZE - 1000, 1000, 4),
        ];
        disk::make(&bench.path("disk.raw"), SIZE, &pieces);
        let words = |target| {
            ["convert", "-f", "raw", "-O", format]
                .into_iter()
                .chain(options.iter().copied())
                .chain(["disk.raw", target])
        };
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        let mut opinions = 0;
        for reader in &readers {
            let Some(theirs) = reads(bench, reader, format, "theirs") else {
                continue;
            };
            match (theirs, reads(bench, reader, format, "ours")) {
                (_, Some(Ok(()))) => {
                    ledger::opinion(reader.name, &what);
                    opinions += 1;
                }
                (Ok(()), Some(Err(why))) => {
                    panic!("{} reads {what} of qemu-img's but not ours: {why}", reader.name);
                }
                (Err(_), _) | (_, None) => ledger::skip(&format!(
                    "{} reads {what} of nobody's, neither qemu-img's nor ours",
                    reader.name
                )),
            }
        }
        assert!(
            opinions >= *judges || readers.len() < READERS.len(),
            "{what}: only {opinions} readers of all"
        );
        bench.instar(["convert", "-f", format, "-O", "raw", "ours", "back"]).succeeds();
        if format != "vpc" {
            same_bytes(bench, "disk.raw", "back", &what);
        }
    }
}

#[test]
fn others_read_the_qcow2_images_that_we_write() {
    judge(
        "qcow2",
        &[
            (&[], 3),
            (&["-o", "compat=0.10"], 3),
            (&["-o", "cluster_size=512"], 3),
            (&["-o", "cluster_size=2M"], 3),
            (&["-o", "refcount_bits=1"], 2),
            (&["-o", "preallocation=metadata"], 2),
            (&["-c"], 3),
            (&["-c", "-o", "compression_type=zstd"], 1),
            // No reader here knows subclusters.
            (&["-o", "extended_l2=on"], 0),
        ],
    );
}

#[test]
fn others_read_the_vmdks_that_we_write() {
    judge(
        "vmdk",
        &[
            (&[], 3),
            (&["-o", "subformat=monolithicFlat"], 3),
            (&["-o", "subformat=twoGbMaxExtentSparse"], 3),
            (&["-o", "subformat=twoGbMaxExtentFlat"], 3),
            (&["-o", "subformat=streamOptimized"], 3),
            (&["-o", "zeroed_grain=on"], 2),
            (&["-o", "compat6=on,adapter_type=lsilogic"], 3),
        ],
    );
}

#[test]
fn others_read_the_vhds_that_we_write() {
    judge(
        "vpc",
        &[
            (&[], 3),
            (&["-o", "force_size=on"], 3),
            (&["-o", "subformat=fixed"], 3),
            (&["-o", "subformat=fixed,force_size=on"], 3),
        ],
    );
}

#[test]
fn others_read_the_vhdxs_that_we_write() {
    judge(
        "vhdx",
        &[
            (&[], 3),
            (&["-o", "subformat=fixed"], 3),
            (&["-o", "block_size=1M"], 3),
            (&["-o", "block_state_zero=off"], 3),
            (&["-o", "log_size=2M"], 3),
        ],
    );
}

#[test]
fn others_read_the_vdis_that_we_write() {
    judge("vdi", &[(&[], 2), (&["-o", "static=on"], 2)]);
}
