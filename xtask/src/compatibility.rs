//! The compatibility table of the README, from a run beside the installed qemu-img: never typed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use instar_testkit::lay;

use crate::run::{cargo, output, step};
use crate::{Outcome, baselines, references, workspace};

const PAGE: &str = "README.md";
const START: &str = "<!-- compatibility: written by `cargo xtask compatibility` from a run beside the installed qemu-img -->\n";
const HEAD: &str =
    "| format | `info` | read | `dd` from | write | `dd` to |\n| --- | --- | --- | --- | --- | --- |\n";
const END: &str = "<!-- end of compatibility -->";

/// What is tried: a name to show, the format, and the options of the variant.
const VARIANTS: &[(&str, &str, &str)] = &[
    ("raw", "raw", ""),
    ("qcow2", "qcow2", ""),
    ("qcow2, version 2", "qcow2", "compat=0.10"),
    ("qcow2, clusters of 512 bytes", "qcow2", "cluster_size=512"),
    ("qcow2, clusters of 2 MiB", "qcow2", "cluster_size=2M"),
    ("qcow2, extended L2", "qcow2", "extended_l2=on"),
    ("qcow2, zlib (`-c`)", "qcow2 -c", ""),
    ("qcow2, zstd (`-c`)", "qcow2 -c", "compression_type=zstd"),
    ("vmdk, monolithicSparse", "vmdk", ""),
    ("vmdk, monolithicFlat", "vmdk", "subformat=monolithicFlat"),
    (
        "vmdk, twoGbMaxExtentSparse",
        "vmdk",
        "subformat=twoGbMaxExtentSparse",
    ),
    ("vmdk, twoGbMaxExtentFlat", "vmdk", "subformat=twoGbMaxExtentFlat"),
    ("vmdk, streamOptimized", "vmdk", "subformat=streamOptimized"),
    ("vpc, dynamic", "vpc", ""),
    ("vpc, fixed", "vpc", "subformat=fixed"),
    ("vhdx, dynamic", "vhdx", ""),
    ("vhdx, fixed", "vhdx", "subformat=fixed"),
    ("vdi, dynamic", "vdi", ""),
    ("vdi, static", "vdi", "static=on"),
    ("parallels", "parallels", ""),
    (
        "parallels, clusters of 96 sectors",
        "parallels",
        "cluster_size=49152",
    ),
    ("qcow, version 1", "qcow", ""),
    ("qed", "qed", ""),
    ("qed, clusters of 4 KiB", "qed", "cluster_size=4k,table_size=2"),
    ("luks, aes-256 in xts", "luks", "key-secret=s,iter-time=10"),
    (
        "luks, serpent in cbc",
        "luks",
        "key-secret=s,iter-time=10,cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=essiv",
    ),
];

/// What qemu-img reads and never makes: a name to show, the format, and what makes an image of a disk.
const READ_ONLY: &[(&str, &str, Lay)] = &[
    ("bochs, growing", "bochs", |disk| {
        lay::bochs::image(disk, lay::bochs::USUAL)
    }),
    ("cloop, version 2", "cloop", |disk| lay::cloop::image(disk, 65536)),
    ("dmg, zlib", "dmg", |disk| {
        let chunks = lay::dmg::chunks(disk, 256 << 10, lay::dmg::ZLIB, lay::cloop::zlib);
        lay::dmg::image(&[&chunks], lay::dmg::Home::List)
    }),
];

/// What only instar reads: a name to show, and what makes an image of a disk.
const UNKNOWN: &[(&str, Lay)] = &[
    ("asif (qemu-img: no)", |disk| {
        lay::asif::image(disk, lay::asif::USUAL)
    }),
    ("ova (qemu-img: no)", |disk| {
        let disk = lay::ova::Disk {
            name: "disk.img",
            bytes: disk,
            capacity: disk.len() as u64,
            format: lay::ova::RAW,
        };
        lay::ova::image(&[disk], None)
    }),
    ("zst, seekable (qemu-img: no)", |disk| {
        lay::zst::file(&lay::zst::frames(disk, 1 << 20, &[]), true)
    }),
];

type Lay = fn(&[u8]) -> Vec<u8>;

/// Tries every variant in both directions and writes the table.
pub(crate) fn render() -> Outcome {
    step(
        "build",
        cargo().args(["build", "--package", "instar", "--locked"]),
    )?;
    let version = output(Command::new("qemu-img").arg("--version"))?;
    let version = version.split_whitespace().nth(2).unwrap_or("of unknown version");
    let rows: String = rows()?.into_iter().map(|(row, _)| row).collect();
    let table = format!(
        "{HEAD}{rows}\nCompared with qemu-img {version}: `info` is its text and its JSON, the rest is every byte of the disk. `dd` has no options for the target.\n"
    );
    replace(&table)
}

/// The README says what a run of the binary that was just built shows, whatever release of qemu-img is here: what that release
/// cannot make is not judged.
pub(crate) fn check() -> Outcome {
    let text = workspace::read(PAGE)?;
    let rows = rows()?;
    let judged = rows
        .iter()
        .filter(|(_, makes)| *makes)
        .map(|(row, _)| row.trim_end());
    match judged
        .into_iter()
        .find(|row| !text.lines().any(|line| line == *row))
    {
        None => Ok(()),
        Some(row) => Err(format!(
            "{PAGE} lacks the row {row}; run: cargo xtask compatibility"
        )),
    }
}

/// Each row, and whether the qemu-img that is here can make such an image.
fn rows() -> Result<Vec<(String, bool)>, String> {
    let bench = Bench::new()?;
    let mut rows = Vec::new();
    for (name, format, options) in VARIANTS {
        let cells = bench.row(format, options).map(|works| match works {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        });
        let mut row = String::new();
        writeln!(row, "| {name} | {} |", cells.join(" | ")).map_err(|error| error.to_string())?;
        rows.push((row, bench.makes(format, options)));
    }
    for (name, format, lay) in READ_ONLY {
        let cells = bench
            .read_only_row(format, *lay)?
            .map(|works| if works { "yes" } else { "**no**" });
        rows.push((format!("| {name} | {} |  |  |\n", cells.join(" | ")), true));
    }
    for (name, lay) in UNKNOWN {
        let cells = bench
            .unknown_row(*lay)?
            .map(|works| if works { "yes" } else { "**no**" });
        rows.push((format!("| {name} |  | {} |  |  |\n", cells.join(" | ")), true));
    }
    Ok(rows)
}

fn replace(table: &str) -> Outcome {
    let text = workspace::read(PAGE)?;
    let (before, rest) = text
        .split_once(START)
        .ok_or("README.md lacks the start marker of the table")?;
    let (_, after) = rest
        .split_once(END)
        .ok_or("README.md lacks the end marker of the table")?;
    std::fs::write(
        workspace::root().join(PAGE),
        format!("{before}{START}{table}{END}{after}"),
    )
    .map_err(|error| format!("{PAGE}: {error}"))
}

/// A directory with a disk, and both programs.
struct Bench {
    directory: PathBuf,
    instar: PathBuf,
    /// The release of qemu-img that is here, as instar names it.
    profile: String,
}

impl Bench {
    fn new() -> Result<Self, String> {
        let directory = workspace::root().join("target/compatibility");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let directory = directory.canonicalize().map_err(|error| error.to_string())?;
        let instar = workspace::root().join("target/x86_64-unknown-linux-gnu/debug/instar");
        let instar = instar.canonicalize().map_err(|error| error.to_string())?;
        let mut disk = vec![0_u8; 6 << 20];
        for (place, byte) in disk
            .iter_mut()
            .enumerate()
            .filter(|(place, _)| (place >> 18) % 3 != 1)
        {
            *byte = (place >> 3).wrapping_mul(2_654_435_761).to_le_bytes()[3];
        }
        std::fs::write(directory.join("disk"), disk).map_err(|error| error.to_string())?;
        let version = output(Command::new("qemu-img").arg("--version"))?;
        let (version, _) = references::version(&version).ok_or("qemu-img does not print its version")?;
        let series = version.split('.').take(2).collect::<Vec<_>>().join(".");
        let known = baselines::PROFILES.contains(&series.as_str());
        Ok(Self {
            directory,
            instar,
            profile: if known { series } else { "auto".to_owned() },
        })
    }

    fn makes(&self, format: &str, options: &str) -> bool {
        let mut words = vec!["convert", "--object", SECRET, "-f", "raw", "-O"];
        words.extend(format.split(' '));
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        self.qemu(&[words.as_slice(), &["disk", "made"]].concat()).is_ok()
    }

    /// `info`, read, dd from, write, dd to; none where there is nothing to try.
    fn row(&self, format: &str, options: &str) -> [Option<bool>; 5] {
        let target: Vec<&str> = ["-O"]
            .into_iter()
            .chain(format.split(' '))
            .chain(["-o", options].into_iter().filter(|_| !options.is_empty()))
            .collect();
        let format = format.split(' ').next().unwrap_or_default();
        let plain = options.is_empty() && !target.contains(&"-c");
        let made = self
            .qemu(&[TO, target.as_slice(), &["disk", "image"]].concat())
            .is_ok();
        let [info, read, dd_from] = self.reads(format, "image").map(|works| made && works);
        let to = [TO, target.as_slice(), &["disk"]].concat();
        let write = self.qemu(&[to.as_slice(), &["theirs"]].concat()).is_ok()
            && self.ours(&[to.as_slice(), &["ours"]].concat()).is_ok()
            && self.same(format);
        // dd takes no options of the target's format.
        let onto = [
            "dd",
            "-f",
            "raw",
            "-O",
            format,
            "if=disk",
            "bs=1000",
            "skip=70",
            "count=4000",
        ];
        let dd_to = plain.then(|| {
            self.qemu(&[onto.as_slice(), &["of=theirs"]].concat()).is_ok()
                && self.ours(&[onto.as_slice(), &["of=ours"]].concat()).is_ok()
                && self.same(format)
        });
        [Some(info), Some(read), Some(dd_from), Some(write), dd_to]
    }

    /// `info`, read, dd from, of a format that is never written.
    fn read_only_row(&self, format: &str, lay: Lay) -> Result<[bool; 3], String> {
        let disk = std::fs::read(self.directory.join("disk")).map_err(|error| error.to_string())?;
        let name = if format == "dmg" { "image.dmg" } else { "image" };
        std::fs::write(self.directory.join(name), lay(&disk)).map_err(|error| error.to_string())?;
        Ok(self.reads(format, name))
    }

    /// Read, dd from, of a format that qemu-img does not know: what it reads of the disk itself is what we must read.
    fn unknown_row(&self, lay: Lay) -> Result<[bool; 2], String> {
        let disk = std::fs::read(self.directory.join("disk")).map_err(|error| error.to_string())?;
        std::fs::write(self.directory.join("image"), lay(&disk)).map_err(|error| error.to_string())?;
        let both = |before: &[&str], [theirs, ours]: [&str; 2], after: [&[&str]; 2]| {
            self.qemu(&[before, &["-f", "raw", theirs], after[0]].concat())
                .is_ok()
                && self.ours(&[before, &[ours], after[1]].concat()).is_ok()
                && self.same("raw")
        };
        let window = |target| ["bs=1000", "skip=70", "count=4000", target];
        Ok([
            both(
                &["convert", "-O", "raw"],
                ["disk", "image"],
                [&["theirs"], &["ours"]],
            ),
            both(
                &["dd"],
                ["if=disk", "if=image"],
                [&window("of=theirs"), &window("of=ours")],
            ),
        ])
    }

    /// `info`, read, dd from.
    fn reads(&self, format: &str, image: &str) -> [bool; 3] {
        let both = |words: &[&str], [theirs, ours]: [&str; 2]| {
            self.qemu(&[words, &[theirs]].concat()).is_ok()
                && self.ours(&[words, &[ours]].concat()).is_ok()
                && self.same("raw")
        };
        let [how @ .., named] = &named(format, image)[..] else {
            return [false; 3];
        };
        let how: Vec<&str> = how.iter().map(String::as_str).collect();
        let read = [&["convert", "-O", "raw"], how.as_slice(), &[named]].concat();
        let read = both(&read, ["theirs", "ours"]);
        let info = ["human", "json"].iter().all(|kind| {
            let words = ["info", "--output", kind, image];
            self.qemu(&words)
                .is_ok_and(|theirs| self.ours(&words).is_ok_and(|ours| theirs == ours))
        });
        let named = format!("if={named}");
        let window = [
            &["dd"],
            how.as_slice(),
            &[&named, "bs=1000", "skip=70", "count=4000"],
        ]
        .concat();
        [info, read, both(&window, ["of=theirs", "of=ours"])]
    }

    /// qemu-img sees the same disk in both results; removes them.
    fn same(&self, format: &str) -> bool {
        let [theirs, ours] = ["theirs", "ours"].map(|image| named(format, image));
        // Options are for both, but for the format of the second.
        let other = ours.iter().map(|word| if word == "-f" { "-F" } else { word });
        let said = if format == "luks" { ours.len() - 1 } else { 0 };
        let other: Vec<&str> = other.skip(said).collect();
        let words: Vec<&str> = theirs.iter().map(String::as_str).chain(other).collect();
        let same = self.qemu(&[&["compare"], words.as_slice()].concat()).is_ok();
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("theirs") || name.starts_with("ours") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        same
    }

    fn qemu(&self, words: &[&str]) -> Result<String, String> {
        self.run(Path::new("qemu-img"), words)
    }

    fn ours(&self, words: &[&str]) -> Result<String, String> {
        self.run(&self.instar, words)
    }

    fn run(&self, program: &Path, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).args(words);
        output(command.env("INSTAR_QEMU_VERSION", &self.profile))
    }
}

/// The words that name an image to be read.
fn named(format: &str, image: &str) -> Vec<String> {
    match format {
        "luks" => {
            let options = format!("driver=luks,key-secret=s,file.filename={image}");
            ["--object", SECRET, "--image-opts", &options]
                .map(str::to_owned)
                .to_vec()
        }
        _ => ["-f", format, image].map(str::to_owned).to_vec(),
    }
}

/// What a conversion to any format begins with; formats without a key have no use for the secret.
const TO: &[&str] = &["convert", "--object", SECRET, "-f", "raw"];
const SECRET: &str = "secret,id=s,data=correct horse";
