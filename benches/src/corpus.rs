//! The images: made once, kept.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the images are, and how large.
#[derive(Debug)]
pub(crate) struct Corpus {
    directory: PathBuf,
    /// Bytes of the file system's disk.
    disk_bytes: u64,
}

impl Corpus {
    /// The directory; images are made when a row needs them.
    pub(crate) fn prepare(quick: bool) -> Self {
        let root = std::env::var_os("INSTAR_BENCH_CACHE").map_or_else(
            || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-cache")).to_owned(),
            PathBuf::from,
        );
        let directory = root.join(if quick { "quick" } else { "full" });
        fs::create_dir_all(&directory).unwrap();
        Self {
            directory: directory.canonicalize().unwrap(),
            disk_bytes: if quick { 1 << 30 } else { 4 << 30 },
        }
    }

    /// The path of an image.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where rows write.
    pub(crate) fn output(&self) -> PathBuf {
        self.path("output")
    }

    /// Bytes of what was last written; a directory entry that is not there has none.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.output().metadata().map_or(0, |facts| facts.len())
    }

    /// Removes what rows wrote, extent files included.
    pub(crate) fn clear_output(&self) {
        for entry in fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with("output") || name.starts_with(".output") {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Makes an image unless it is there.
    pub(crate) fn need(&self, name: &str) {
        if self.path(name).exists() {
            return;
        }
        eprintln!("  making {name}");
        let unfinished = self.path("unfinished");
        let _ = fs::remove_file(&unfinished);
        match name {
            "fs.raw" => self.file_system(&unfinished),
            "small.qcow2" => self.small(&unfinished),
            "tera.qcow2" => run(qemu()
                .args(["create", "-q", "-f", "qcow2"])
                .arg(&unfinished)
                .arg("1T")),
            "tera.raw" => File::create(&unfinished).unwrap().set_len(1 << 40).unwrap(),
            "64m.raw" => fs::write(&unfinished, noise(64 << 20)).unwrap(),
            "tera4-metadata.qcow2" => self.preallocated(&unfinished, "4T"),
            "snapshots.qcow2" => {
                self.preallocated(&unfinished, "4G");
                for number in 0..1000 {
                    run(qemu()
                        .args(["snapshot", "-c", &format!("s{number}")])
                        .arg(&unfinished));
                }
            }
            "tera-metadata.qcow2" => self.preallocated(&unfinished, "1T"),
            "million.qcow2" => self.shuffled(&unfinished),
            "fragments64k.qcow2" => self.fragmented(&unfinished, 64 << 10, self.disk_bytes / 8),
            "fragments4k.qcow2" => self.fragmented(&unfinished, 4 << 10, self.disk_bytes / 32),
            _ if name.starts_with("chain-") => self.layer(name, &unfinished),
            _ => self.converted(name, &unfinished),
        }
        fs::rename(&unfinished, self.path(name)).unwrap();
    }

    /// The disk in another form: `fs.FORMAT` or `fs-KIND.FORMAT`.
    fn converted(&self, name: &str, target: &Path) {
        self.need("fs.raw");
        let words: &[&str] = match name {
            "fs.qcow2" | "fs-again.qcow2" => &["-O", "qcow2"],
            "fs-zlib.qcow2" => &["-O", "qcow2", "-c"],
            "fs-zstd.qcow2" => &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
            "fs.vmdk" => &["-O", "vmdk"],
            "fs-stream.vmdk" => &["-O", "vmdk", "-o", "subformat=streamOptimized"],
            "fs.vpc" => &["-O", "vpc"],
            "fs.vhdx" => &["-O", "vhdx"],
            "fs.vdi" => &["-O", "vdi"],
            _ => panic!("no rule to make {name}"),
        };
        run(qemu()
            .args(["convert", "-f", "raw", "-W", "-m", "16"])
            .args(words)
            .arg(self.path("fs.raw"))
            .arg(target));
    }

    /// An ext4 file system about a third full: real files, and some noise that no codec shrinks.
    fn file_system(&self, target: &Path) {
        let tree = self.path("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir(&tree).unwrap();
        let wanted = self.disk_bytes / 3;
        fs::write(tree.join("noise"), noise(wanted / 8)).unwrap();
        let mut copied = wanted / 8;
        for source in ["/usr/share", "/usr/lib", "/usr/bin", "/usr/include", "/usr/local"] {
            copy_some(
                Path::new(source),
                &tree.join(source.trim_start_matches('/')),
                &mut copied,
                wanted,
            );
        }
        if copied < wanted {
            fs::write(tree.join("more-noise"), noise(wanted - copied)).unwrap();
        }
        File::create(target).unwrap().set_len(self.disk_bytes).unwrap();
        run(Command::new("mkfs.ext4")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-q", "-F", "-d"])
            .arg(&tree)
            .arg(target));
        fs::remove_dir_all(&tree).unwrap();
    }

    #[expect(clippy::unused_self, reason = "one of a kind")]
    fn preallocated(&self, target: &Path, size: &str) {
        run(qemu()
            .args(["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata"])
            .arg(target)
            .arg(size));
    }

    /// A million clusters, no two neighbours of which are neighbours in the file.
    fn shuffled(&self, target: &Path) {
        self.preallocated(target, "64G");
        let file = File::options().read(true).write(true).open(target).unwrap();
        let read = |offset, length| {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset).unwrap();
            bytes
        };
        let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
        let l1 = word(&read(40, 8));
        for entry in read(l1, 128 * 8).chunks(8) {
            let table = word(entry) & 0x00ff_ffff_ffff_fe00;
            let entries = read(table, 65536);
            let turned: Vec<u8> = entries.rchunks(8).flatten().copied().collect();
            file.write_all_at(&turned, table).unwrap();
        }
    }

    /// `chain-N.qcow2`: a layer with a cluster of its own, over the one before.
    fn layer(&self, name: &str, target: &Path) {
        let number = name.trim_start_matches("chain-").trim_end_matches(".qcow2");
        let number: u32 = number.parse().unwrap();
        let mut create = qemu();
        create.args(["create", "-q", "-f", "qcow2", "-u"]);
        if let Some(below) = number.checked_sub(1) {
            let below = format!("chain-{below}.qcow2");
            self.need(&below);
            create.args(["-F", "qcow2", "-b", &below]);
        }
        run(create.arg(target).arg("4G"));
        let write = format!("write -q {} 64k", u64::from(number) * (16 << 20));
        run(Command::new("qemu-io")
            .args(["-f", "qcow2", "-t", "unsafe", "-c", &write])
            .arg(target));
    }

    fn small(&self, target: &Path) {
        let piece = self.path("piece");
        fs::write(&piece, noise(1 << 20)).unwrap();
        run(qemu()
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .arg(&piece)
            .arg(target));
        fs::remove_file(piece).unwrap();
    }

    /// Clusters written in an order that has nothing to do with where they belong.
    fn fragmented(&self, target: &Path, cluster: u64, bytes: u64) {
        let list = format!("cluster_size={cluster}");
        run(qemu()
            .args(["create", "-q", "-f", "qcow2", "-o", &list])
            .arg(target)
            .arg(bytes.to_string()));
        let mut child = Command::new("qemu-io")
            .args(["-f", "qcow2", "-t", "unsafe"])
            .arg(target)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let clusters = bytes / cluster;
        let mut input = child.stdin.take().unwrap();
        for number in 0..clusters {
            // A step coprime to the count visits every cluster once; each in eight is left out.
            let place = number.wrapping_mul(0x9e37_79b1) % clusters;
            if place % 8 != 7 {
                writeln!(
                    input,
                    "write -q -P {} {} {cluster}",
                    place % 255 + 1,
                    place * cluster
                )
                .unwrap();
            }
        }
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}

/// Copies regular files, deepest last, until `copied` reaches `wanted`.
fn copy_some(source: &Path, target: &Path, copied: &mut u64, wanted: u64) {
    let Ok(entries) = fs::read_dir(source) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let _ = fs::create_dir_all(target);
    for path in paths {
        if *copied >= wanted {
            return;
        }
        let Ok(facts) = path.symlink_metadata() else {
            continue;
        };
        let place = target.join(path.file_name().unwrap_or_default());
        if facts.is_dir() {
            copy_some(&path, &place, copied, wanted);
        } else if facts.is_file() && facts.len() < 64 << 20 && fs::copy(&path, &place).is_ok() {
            *copied += facts.len();
        }
    }
}

/// Bytes that no codec shrinks.
fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

fn qemu() -> Command {
    Command::new("qemu-img")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
