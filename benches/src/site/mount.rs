//! A file system of its own: a file, a loop device, a mount in a namespace that ends with this program.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;
use crate::cleanup::{self, Guard};
use crate::corpus::Corpus;
use crate::peers::installed;
use crate::place::FileSystem;

/// Tells a program that it was started in the namespace, or why not.
const INSIDE: &str = "INSTAR_BENCH_NAMESPACE";

/// Starts this program again where its mounts are its own, so that they end with it.
///
/// Returns if that cannot be; then [`Mount::make`] says so.
pub(crate) fn enter_namespace() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    // Found out first: after `exec` there is nobody to go on without.
    let probe = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "true"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return;
    }
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "yes")
        .exec();
    eprintln!("unshare: {error}");
}

impl FileSystem {
    fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Xfs => ("mkfs.xfs", &["-q", "-m", "reflink=1"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q"]),
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F", "-N", "1000"]),
        }
    }
}

/// A mounted file system that is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    directory: PathBuf,
    device: String,
    _unmounted: Guard,
}

impl Mount {
    /// Makes a file system large enough for the disk twice, and mounts it.
    pub(super) fn make(kind: FileSystem, corpus: &Corpus) -> Result<Self, String> {
        let (maker, options) = kind.maker();
        for program in [maker, "losetup", "mount", "umount"] {
            if !installed(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        if std::env::var_os(INSIDE).is_none() {
            return Err("mounting in a namespace of its own needs root and unshare".to_owned());
        }
        let file = corpus.temporary("disk");
        let bytes = 2 * corpus.disk_bytes() + (2 << 30);
        File::create(&file)
            .and_then(|file| file.set_len(bytes))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let made = run(Command::new(maker).args(options).arg(&file)).and_then(|_| attach(&file));
        // From here on the loop device alone keeps the file.
        let removed = fs::remove_file(&file);
        let device = made?;
        let detached = cleanup::later({
            let device = device.clone();
            move || detach(&device)
        });
        removed.map_err(|error| error.to_string())?;
        let directory = corpus.temporary("mount");
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let unmounted = cleanup::later({
            let directory = directory.clone();
            move || unmount(&directory)
        });
        run(Command::new("mount").arg(&device).arg(&directory))?;
        // A device in use is detached when its last user has gone: with the mount.
        drop(detached);
        Ok(Self {
            directory,
            device,
            _unmounted: unmounted,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The device's path.
    pub(super) fn device(&self) -> &str {
        &self.device
    }
}

fn attach(file: &Path) -> Result<String, String> {
    let words = ["--find", "--show", "--direct-io=on"];
    run(Command::new("losetup").args(words).arg(file))
}

fn detach(device: &str) {
    if let Err(message) = run(Command::new("losetup").args(["--detach", device])) {
        eprintln!("{message}");
    }
}

fn unmount(directory: &Path) {
    // A process that was just ended may still hold it.
    for _ in 0..20 {
        if run(Command::new("umount").arg(directory)).is_ok() || !mounted(directory) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    if let Err(error) = fs::remove_dir(directory) {
        eprintln!("{}: {error}", directory.display());
    }
}

fn mounted(directory: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == directory.to_str())
}

/// Copies an image, holes as holes, down to the device.
pub(super) fn copy(source: &Path, target: &Path) -> Result<(), String> {
    let words = ["--sparse=always", "--reflink=never"];
    run(Command::new("cp").args(words).args([source, target]))?;
    File::open(target)
        .and_then(|file| file.sync_all())
        .map_err(|error| format!("{}: {error}", target.display()))
}
