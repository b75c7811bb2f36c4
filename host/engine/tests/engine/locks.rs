//! Locks that qemu's tools see, and theirs that we see.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use instar_engine::{Files, OpenErrorKind, Options, TargetOptions};

use crate::guest::{files, source, target};

fn qemu_img(arguments: &[&OsStr]) -> Output {
    Command::new("qemu-img").args(arguments).output().unwrap()
}

/// qemu's reader. (Not `info`, which takes no lock on a raw image.)
fn read(path: &Path) -> Output {
    let copy = path.with_extension("copy");
    qemu_img(&["convert".as_ref(), path.as_os_str(), copy.as_os_str()])
}

fn grow(path: &Path) -> Output {
    let mut arguments: Vec<&OsStr> = ["resize", "-f", "raw"].map(OsStr::new).into();
    arguments.push(path.as_os_str());
    arguments.push("2M".as_ref());
    qemu_img(&arguments)
}

/// qemu-nbd holding an image open.
struct Server(Child);

impl Server {
    fn start(image: &Path, socket: &Path, writing: bool) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["-f", "raw", "-t", "-k"]).arg(socket);
        if !writing {
            command.arg("-r");
        }
        let child = command.arg(image).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while !socket.exists() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "qemu-nbd does not start"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_writer_of_qemus_keeps_us_out_in_its_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let server = Server::start(&path, &directory.path().join("socket"), true);
    let theirs = String::from_utf8(read(&path).stderr).unwrap();
    let error = files().source(&path, false).unwrap_err();
    let ours = format!(
        "qemu-img: Could not open '{}': {error}\n{}\n",
        path.display(),
        error.hint().unwrap()
    );
    assert_eq!(ours, theirs);
    // Unless the user insists.
    let unlocked = Options {
        lock: false,
        ..Options::default()
    };
    assert!(Files::new(&unlocked).unwrap().source(&path, false).is_ok());
    assert!(files().shared_source(&path).is_ok());
    let late = files();
    let slot = late.shared_source(&path).unwrap().slot;
    assert_eq!(late.lock(slot).unwrap_err().to_string(), error.to_string());
    drop(server);
    assert!(late.lock(slot).is_ok());
    assert!(files().source(&path, false).is_ok());
}

#[test]
fn a_reader_of_qemus_shares_reading_and_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let _server = Server::start(&path, &directory.path().join("socket"), false);
    assert!(files().source(&path, false).is_ok());
    let theirs = String::from_utf8(grow(&path).stderr).unwrap();
    for error in [
        files().in_place(&path, &TargetOptions::default()),
        files().target(&path, &TargetOptions::default()),
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error.kind, OpenErrorKind::Lock(conflict) if !conflict.shared));
        assert!(theirs.contains(&error.to_string()), "{error} / {theirs}");
        assert!(theirs.contains(&error.hint().unwrap()), "{theirs}");
    }
}

#[test]
fn our_sources_keep_qemus_writers_out_and_let_its_readers_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let files = files();
    source(&files, &path);
    assert!(read(&path).status.success());
    let refused = grow(&path);
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("lock"));
    drop(files);
    assert!(grow(&path).status.success());
}

#[test]
fn our_targets_keep_qemus_readers_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let files = files();
    target(&files, &path);
    let refused = read(&path);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("Failed to get shared \"write\" lock"),
        "{message}"
    );
    drop(files);
    assert!(read(&path).status.success());
}

#[test]
fn a_file_is_not_its_own_target() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, b"content").unwrap();
    let files = files();
    source(&files, &path);
    let error = files.target(&path, &TargetOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "Failed to get \"write\" lock");
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
}

#[test]
fn one_source_may_be_named_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, b"content").unwrap();
    let files = files();
    assert_ne!(source(&files, &path).slot, source(&files, &path).slot);
}
