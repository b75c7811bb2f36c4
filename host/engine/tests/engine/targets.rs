//! How targets come to stand under their names.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use instar_abi::FileKind;
use instar_abi::request::Op;
use instar_engine::{OpenErrorKind, TargetOptions};

use crate::gate::handles;
use crate::guest::{Guest, files, make_fifo, request, source, target};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_target_appears_at_commit_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    for sync in [false, true] {
        let files = files();
        let facts = target(&files, &path);
        assert_eq!((facts.kind, facts.size), (FileKind::Fresh, 0));
        let guest = Guest::new(files);
        guest.write(facts.slot, 0, b"complete").unwrap();
        assert!(names(directory.path()).is_empty(), "nothing to see yet");
        guest.engine.files().commit(sync).unwrap();
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"complete");
        drop(guest);
        assert_eq!(names(directory.path()), ["out"], "dropping what was committed");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn permissions_are_those_that_qemu_img_gives() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("ours");
    let theirs = directory.path().join("theirs");
    let files = files();
    target(&files, &ours);
    files.commit(false).unwrap();
    let done = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "raw"])
        .arg(&theirs)
        .arg("1M")
        .status();
    assert!(done.unwrap().success());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&theirs));
}

#[test]
fn an_aborted_or_dropped_target_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for abort in [true, false] {
        let files = files();
        let slot = target(&files, &directory.path().join("out")).slot;
        let guest = Guest::new(files);
        guest.write(slot, 0, b"half").unwrap();
        if abort {
            guest.engine.files().abort();
        }
        drop(guest);
        assert!(names(directory.path()).is_empty());
    }
}

#[test]
fn a_file_that_appears_under_the_name_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let files = files();
    target(&files, &first);
    target(&files, &second);
    std::fs::write(&first, b"somebody else's").unwrap();
    let error = files.commit(false).unwrap_err();
    assert_eq!(error.name, first);
    assert!(
        error.to_string().contains("another process has created"),
        "{error}"
    );
    assert_eq!(std::fs::read(&first).unwrap(), b"somebody else's");
    assert_eq!(names(directory.path()), ["first"], "the second is taken back");
}

#[test]
fn an_existing_target_keeps_its_inode_and_is_untouched_until_the_first_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, b"old content").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    let files = files();
    let facts = target(&files, &path);
    assert_eq!((facts.kind, facts.size), (FileKind::Regular, 11));
    let guest = Guest::new(files);
    assert_eq!(std::fs::read(&path).unwrap(), b"old content");
    assert!(!guest.engine.files().is_touched(facts.slot));
    guest.ask(request(Op::RESIZE, facts.slot, 0, 0)).unwrap();
    assert!(guest.engine.files().is_touched(facts.slot));
    guest.write(facts.slot, 0, b"new").unwrap();
    guest.engine.files().commit(true).unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((after.ino(), after.permissions().mode() & 0o777), (inode, 0o600));
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_link_into_nothing_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    let link = directory.path().join("link");
    symlink("sub/file", &link).unwrap();
    let files = files();
    let slot = target(&files, &link).slot;
    let guest = Guest::new(files);
    guest.write(slot, 0, b"there").unwrap();
    guest.engine.files().commit(false).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        std::fs::read(directory.path().join("sub/file")).unwrap(),
        b"there"
    );
    let looped = directory.path().join("loop");
    symlink("loop", &looped).unwrap();
    let error = self::files()
        .target(&looped, &TargetOptions::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("Too many levels of symbolic links"),
        "{error}"
    );
}

#[test]
fn errors_are_in_qemu_imgs_words() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("plain"), b"").unwrap();
    let none = directory.path().join("none/x");
    let under = directory.path().join("plain/x");
    let slash = directory.path().join("new/");
    for (name, message) in [
        (directory.path(), "Is a directory"),
        (&none, "No such file or directory"),
        (&under, "Not a directory"),
        (&slash, "Is a directory"),
    ] {
        let error = files().target(name, &TargetOptions::default()).unwrap_err();
        let expected = format!("Could not create '{}': {message}", name.display());
        assert_eq!(error.to_string(), expected);
    }
    let error = files().source(&none, false).unwrap_err();
    let expected = format!("Could not open '{}': No such file or directory", none.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn special_files_are_refused_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    make_fifo(&fifo);
    assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
    for path in [fifo.as_path(), Path::new("/dev/null"), Path::new("/dev/zero")] {
        // Nothing can be read from /dev/null, and reading it does nothing: a disk of no size, as for qemu-img.
        match files().source(path, false) {
            Ok(facts) => {
                assert_eq!(path, Path::new("/dev/null"));
                assert_eq!(
                    (facts.kind, facts.size, facts.writable),
                    (FileKind::Block, 0, false)
                );
            }
            Err(source) => {
                assert_ne!(path, Path::new("/dev/null"));
                assert!(matches!(source.kind, OpenErrorKind::Kind), "{source}");
            }
        }
        let target = files().target(path, &TargetOptions::default()).unwrap_err();
        assert!(matches!(target.kind, OpenErrorKind::Kind), "{target}");
    }
    let error = files().source(directory.path(), false).unwrap_err();
    let expected = format!(
        "'file' driver requires '{}' to be a regular file",
        directory.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_path_is_a_path_whatever_it_looks_like() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a:b");
    std::fs::write(&path, b"12").unwrap();
    assert_eq!(source(&files(), &path).size, 2);
    for name in ["nbd://host/x", "json:{}", "file:x"] {
        let error = files().source(name.as_ref(), false).unwrap_err();
        let expected = format!("Could not open '{name}': No such file or directory");
        assert_eq!(error.to_string(), expected);
    }
}

/// A process killed at any moment leaves nothing under the name, nor beside it.
#[test]
fn a_killed_process_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    // SAFETY: the child only makes system calls through code that takes no lock held by another thread, then is killed.
    match unsafe { libc::fork() } {
        0 => {
            let files = files();
            target(&files, &path);
            // SAFETY: ends this process, as is meant.
            unsafe { libc::raise(libc::SIGKILL) };
            unreachable!()
        }
        child => {
            let mut status = 0;
            // SAFETY: our own child.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert!(libc::WIFSIGNALED(status));
        }
    }
    assert!(names(directory.path()).is_empty());
}

/// A run that may fail leaves the old file alone until the new one is complete.
#[test]
fn a_replaced_file_stays_until_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let link = directory.path().join("link");
    std::fs::write(&path, b"old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("out", &link).unwrap();
    for (name, commit) in [(&path, false), (&path, true), (&link, false), (&link, true)] {
        std::fs::write(&path, b"old").unwrap();
        let files = files();
        let facts = files.replacement(name, &TargetOptions::default()).unwrap();
        assert_eq!((facts.kind, facts.size), (FileKind::Fresh, 0));
        let guest = Guest::new(files);
        guest.write(facts.slot, 0, b"new content").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["link", "out"]);
        if commit {
            guest.engine.files().commit(true).unwrap();
        }
        drop(guest);
        let expected: &[u8] = if commit { b"new content" } else { b"old" };
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(names(directory.path()), ["link", "out"]);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o640
        );
    }
}

/// Somebody would notice: then the file is written in place.
#[test]
fn a_file_with_two_names_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, b"old").unwrap();
    std::fs::hard_link(&path, directory.path().join("other")).unwrap();
    let files = files();
    let facts = files.replacement(&path, &TargetOptions::default()).unwrap();
    assert_eq!((facts.kind, facts.size), (FileKind::Regular, 3));
    let before = std::fs::metadata(&path).unwrap().ino();
    files.commit(true).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_file_that_took_the_name_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, b"old").unwrap();
    let files = files();
    files.replacement(&path, &TargetOptions::default()).unwrap();
    std::fs::write(directory.path().join("another"), b"another").unwrap();
    std::fs::rename(directory.path().join("another"), &path).unwrap();
    assert!(files.commit(false).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"another");
    assert_eq!(names(directory.path()), ["out"]);
}

#[test]
fn a_file_that_another_process_uses_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, b"old").unwrap();
    let first = files();
    first.replacement(&path, &TargetOptions::default()).unwrap();
    let second = files();
    let refused = second.replacement(&path, &TargetOptions::default());
    assert!(matches!(refused.unwrap_err().kind, OpenErrorKind::Lock(_)));
}

#[test]
fn the_targets_of_a_directory_share_its_handles() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let files = files();
    for number in 0..20 {
        for directory in [&one, &other] {
            target(&files, &directory.path().join(number.to_string()));
        }
    }
    for directory in [&one, &other] {
        // One to look names up in, one to make them in.
        assert_eq!(handles(directory.path()), 2);
    }
    assert_eq!(files.target_directories().len(), 2);
    assert_eq!(files.gate_directories().len(), 2);
    files.commit(true).unwrap();
    for directory in [one, other] {
        assert_eq!(names(directory.path()).len(), 20);
    }
}

#[test]
fn a_directory_that_took_the_name_of_another_is_another() {
    let place = tempfile::tempdir().unwrap();
    let [old, new, moved] = ["d", "d", "old"].map(|name| place.path().join(name));
    let files = files();
    std::fs::create_dir(&old).unwrap();
    target(&files, &old.join("first"));
    std::fs::rename(&old, &moved).unwrap();
    std::fs::create_dir(&new).unwrap();
    target(&files, &new.join("second"));
    files.commit(false).unwrap();
    assert_eq!(
        (names(&moved), names(&new)),
        (vec!["first".to_owned()], vec!["second".to_owned()])
    );
}
