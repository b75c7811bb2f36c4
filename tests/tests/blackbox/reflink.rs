//! Conversions on a filesystem that can share extents: they cost no space. Needs root, a loop device and mkfs.xfs.

use std::path::{Path, PathBuf};
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, both_sandboxes, ledger};

/// A mounted filesystem; unmounted when it goes.
struct Mount(PathBuf);

impl Mount {
    /// An XFS on a file in the bench's directory, or the reason why there is none.
    fn new(bench: &Bench) -> Result<Self, &'static str> {
        let (image, place) = (bench.path("xfs.img"), bench.path("xfs"));
        std::fs::create_dir(&place).unwrap();
        std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let run = |program: &str, words: &[&Path]| {
            let outcome = Command::new(program).args(words).output();
            outcome.is_ok_and(|outcome| outcome.status.success())
        };
        if !run("mkfs.xfs", &[Path::new("-q"), &image]) {
            return Err("mkfs.xfs is not installed (package xfsprogs): extents are not shared");
        }
        if !run("mount", &[Path::new("-oloop"), &image, &place]) {
            return Err("an XFS cannot be mounted by a loop device here: extents are not shared");
        }
        Ok(Self(place))
    }

    /// Bytes free.
    fn free(&self) -> u64 {
        let outcome = Command::new("df").args(["-B1", "--output=avail"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(outcome.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

const DATA: u64 = 64 << 20;

both_sandboxes!(conversions_to_raw_share_extents,);

fn conversions_to_raw_share_extents(bench: &Bench) {
    let mount = match Mount::new(bench) {
        Ok(mount) => mount,
        Err(reason) => return ledger::skip(reason),
    };
    disk::make(&bench.path("disk.raw"), DATA + (8 << 20), &[Piece::Data(1 << 20, DATA, 7)]);
    for (format, options) in
        [("raw", "-S4k"), ("qcow2", "-S4k"), ("qcow2", "-C"), ("raw", "--checksum"), ("qcow2", "--checksum")]
    {
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk.raw", "xfs/image"]).succeeds();
        assert!(Command::new("sync").arg("-f").arg(&mount.0).status().unwrap().success());
        let before = mount.free();
        // -S cannot stand beside -C, and 4k is its default.
        bench.instar(["convert", options, "-f", format, "-O", "raw", "xfs/image", "xfs/out"]).succeeds();
        assert!(Command::new("sync").arg("-f").arg(&mount.0).status().unwrap().success());
        let cost = before.saturating_sub(mount.free());
        assert!(cost < DATA / 8, "{format} {options}: {cost} bytes of new space");
        same_bytes(bench, "disk.raw", "xfs/out", format);
        std::fs::remove_file(bench.path("xfs/out")).unwrap();
        // Space of its own is what `-S 0` asks for.
        let before = mount.free();
        bench.instar(["convert", "-S0", "-f", format, "-O", "raw", "xfs/image", "xfs/out"]).succeeds();
        assert!(Command::new("sync").arg("-f").arg(&mount.0).status().unwrap().success());
        assert!(before.saturating_sub(mount.free()) >= DATA, "{format}: -S 0 shares extents");
        same_bytes(bench, "disk.raw", "xfs/out", format);
        std::fs::remove_file(bench.path("xfs/out")).unwrap();
    }
}
