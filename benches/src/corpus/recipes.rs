//! How each image is made, by qemu-img and qemu-io.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Corpus;
use super::bytes::{copy_some, noise};

impl Corpus {
    /// Images that another is made of.
    pub(super) fn ingredients(&self, name: &str) -> Vec<String> {
        if let Some((family, number)) = layer(name) {
            let below = number.checked_sub(1);
            return below
                .map(|below| format!("{family}-{below}.qcow2"))
                .into_iter()
                .collect();
        }
        match name {
            "fs.raw" => Vec::new(),
            "fragments64k.raw" => vec!["fragments64k.qcow2".to_owned()],
            "fragments4k.raw" => vec!["fragments4k.qcow2".to_owned()],
            "overlay.qcow2" => vec!["fs.qcow2".to_owned()],
            "tera-snapshot.qcow2" | "tera-lost.qcow2" => vec!["tera-metadata.qcow2".to_owned()],
            _ if name.starts_with("fs") => vec!["fs.raw".to_owned()],
            _ => Vec::new(),
        }
    }

    pub(super) fn make(&self, name: &str, target: &Path) {
        let fragmented = |cluster, share| fragmented(target, cluster, self.disk_bytes / share);
        match name {
            "fs.raw" => self.file_system(target),
            "small.qcow2" => self.small(target),
            "tera.qcow2" => create(target, &[], "1T"),
            "tera.raw" => File::create(target).unwrap().set_len(1 << 40).unwrap(),
            "tera10.qcow2" => create(target, &[], "10T"),
            "tera10.raw" => File::create(target).unwrap().set_len(10 << 40).unwrap(),
            "64m.raw" => noise(target, 64 << 20),
            "tera4-metadata.qcow2" => create(target, PREALLOCATED, "4T"),
            "tera-metadata.qcow2" => create(target, PREALLOCATED, "1T"),
            "tera-snapshot.qcow2" => {
                self.copied("tera-metadata.qcow2", target);
                run(qemu().args(["snapshot", "-c", "first"]).arg(target));
            }
            "tera-lost.qcow2" => {
                self.copied("tera-metadata.qcow2", target);
                lose_refcount_table(target);
            }
            "overlay.qcow2" => self.overlay(target),
            "snapshots.qcow2" => {
                create(target, PREALLOCATED, "4G");
                for number in 0..1000 {
                    run(qemu().args(["snapshot", "-c", &format!("s{number}")]).arg(target));
                }
            }
            "million.qcow2" => shuffled(target),
            "fragments64k.qcow2" => fragmented(64 << 10, 8),
            "fragments4k.qcow2" => fragmented(4 << 10, 32),
            "fragments64k.raw" | "fragments4k.raw" => self.plain(name, target),
            // Without a hole, and larger than the memory of the rows that use it.
            "full.qcow2" => full(target, self.disk_bytes.max(2 << 30)),
            "full20.qcow2" => full(target, 20 << 30),
            _ => match layer(name) {
                Some((family, number)) => put_layer(target, family, number),
                None => self.converted(name, target),
            },
        }
    }

    /// The disk in another form: `fs.FORMAT` or `fs-KIND.FORMAT`.
    fn converted(&self, name: &str, target: &Path) {
        let words: &[&str] = match name {
            "fs.qcow2" | "fs-again.qcow2" => &["-O", "qcow2"],
            "fs-2m.qcow2" => &["-O", "qcow2", "-o", "cluster_size=2M"],
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

    fn copied(&self, name: &str, target: &Path) {
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(self.path(name))
            .arg(target));
    }

    /// A layer over the disk, which changes a quarter of it in pieces of a MiB.
    fn overlay(&self, target: &Path) {
        run(qemu()
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
            .arg(self.path("fs.qcow2"))
            .arg(target));
        let pieces = self.disk_bytes >> 22;
        let list = (0..pieces).map(|piece| format!("write -q -P {} {}M 1M", piece % 255 + 1, piece * 4));
        write_all(target, list);
    }

    /// `NAME.raw`: the bytes of `NAME.qcow2`.
    fn plain(&self, name: &str, target: &Path) {
        let source = self.path(name).with_extension("qcow2");
        run(qemu()
            .args(["convert", "-f", "qcow2", "-O", "raw"])
            .arg(source)
            .arg(target));
    }

    /// An ext4 file system about a third full: real files, and some noise that no codec shrinks.
    fn file_system(&self, target: &Path) {
        let tree = self.temporary("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir(&tree).unwrap();
        let wanted = self.disk_bytes / 3;
        noise(&tree.join("noise"), wanted / 8);
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
            noise(&tree.join("more-noise"), wanted - copied);
        }
        File::create(target).unwrap().set_len(self.disk_bytes).unwrap();
        run(Command::new("mkfs.ext4")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(["-q", "-F", "-d"])
            .arg(&tree)
            .arg(target));
        fs::remove_dir_all(&tree).unwrap();
    }

    fn small(&self, target: &Path) {
        let piece = self.temporary("piece");
        noise(&piece, 1 << 20);
        run(qemu()
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .arg(&piece)
            .arg(target));
        fs::remove_file(piece).unwrap();
    }
}

/// Zeros in place of the first cluster of the refcount table.
fn lose_refcount_table(target: &Path) {
    let file = File::options().read(true).write(true).open(target).unwrap();
    let mut place = [0; 8];
    file.read_exact_at(&mut place, 48).unwrap();
    file.write_all_at(&[0; 1 << 16], u64::from_be_bytes(place))
        .unwrap();
}

const PREALLOCATED: &[&str] = &["-o", "preallocation=metadata"];

fn create(target: &Path, options: &[&str], size: &str) {
    run(qemu()
        .args(["create", "-q", "-f", "qcow2"])
        .args(options)
        .arg(target)
        .arg(size));
}

/// A million clusters, no two neighbours of which are neighbours in the file.
fn shuffled(target: &Path) {
    create(target, PREALLOCATED, "64G");
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

/// The family and number in `FAMILY-NUMBER.qcow2`.
fn layer(name: &str) -> Option<(&str, u64)> {
    let (family, number) = name.strip_suffix(".qcow2")?.split_once('-')?;
    let known = ["chain", "deep"].contains(&family);
    number
        .parse()
        .ok()
        .filter(|_| known)
        .map(|number| (family, number))
}

/// A layer over the one before: `chain-N` with a cluster of its own, `deep-N` with four that are far from each other.
fn put_layer(target: &Path, family: &str, number: u64) {
    let mut command = qemu();
    command.args(["create", "-q", "-f", "qcow2", "-u"]);
    if let Some(below) = number.checked_sub(1) {
        command.args(["-F", "qcow2", "-b", &format!("{family}-{below}.qcow2")]);
    }
    run(command.arg(target).arg("4G"));
    let places: Vec<u64> = match family {
        "chain" => vec![number * (16 << 20)],
        _ => (0..4)
            .map(|piece| (piece << 30) + (number * 37 % 256) * (4 << 20))
            .collect(),
    };
    let list = places.iter().map(|place| format!("write -q {place} 64k"));
    write_all(target, list);
}

/// Clusters written in an order that has nothing to do with where they belong.
fn fragmented(target: &Path, cluster: u64, bytes: u64) {
    create(
        target,
        &["-o", &format!("cluster_size={cluster}")],
        &bytes.to_string(),
    );
    let clusters = bytes / cluster;
    // A step coprime to the count visits every cluster once; each in eight is left out.
    let places = (0..clusters).map(|number: u64| number.wrapping_mul(0x9e37_79b1) % clusters);
    let list = places.filter(|place| place % 8 != 7).map(|place| {
        let pattern = place % 255 + 1;
        format!("write -q -P {pattern} {} {cluster}", place * cluster)
    });
    write_all(target, list);
}

/// Every cluster written, in order.
fn full(target: &Path, bytes: u64) {
    create(target, &[], &bytes.to_string());
    let list = (0..bytes >> 21).map(|piece| {
        let pattern = piece % 255 + 1;
        format!("write -q -P {pattern} {} 2M", piece << 21)
    });
    write_all(target, list);
}

/// Has qemu-io carry out a list of commands.
fn write_all(target: &Path, list: impl Iterator<Item = String>) {
    let mut child = Command::new("qemu-io")
        .args(["-f", "qcow2", "-t", "unsafe"])
        .arg(target)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for command in list {
        writeln!(input, "{command}").unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

fn qemu() -> Command {
    Command::new("qemu-img")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
