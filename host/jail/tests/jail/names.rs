//! What names mean after the lock: Landlock.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use instar_jail::{Confinement, Landlock, Role, landlock_abi, lock_process, thread_start};

use crate::child::{call, child, succeeds};

fn directory(path: &Path) -> File {
    File::open(path).unwrap()
}

fn has_landlock() -> bool {
    let has = landlock_abi().is_some();
    if !has {
        eprintln!("skipped: this kernel has no Landlock");
    }
    has
}

/// ```text
///  gate/{image, sub/image}   target/{old}   other/{secret}
/// ```
fn zoo() -> tempfile::TempDir {
    let zoo = tempfile::tempdir().unwrap();
    for name in ["gate", "gate/sub", "target", "other"] {
        std::fs::create_dir(zoo.path().join(name)).unwrap();
    }
    for name in ["gate/image", "gate/sub/image", "target/old", "other/secret"] {
        std::fs::write(zoo.path().join(name), name).unwrap();
    }
    zoo
}

fn denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn nothing_can_be_opened_where_nothing_is_granted() {
    if !has_landlock() {
        return;
    }
    let zoo = zoo();
    let image = zoo.path().join("gate/image");
    succeeds(|| {
        let open = File::open(&image).unwrap();
        let force = lock_process(&Confinement::default()).unwrap();
        assert!(matches!(force.landlock, Landlock::Full(_) | Landlock::Partial(_)));
        for path in [
            &image,
            Path::new("/etc/passwd"),
            Path::new("/dev/zero"),
            Path::new("/proc/self/status"),
        ] {
            assert!(denied(File::open(path)), "{}", path.display());
        }
        assert!(denied(File::create(zoo.path().join("new"))));
        assert!(denied(std::fs::remove_file(&image)));
        assert!(denied(std::fs::read_dir(zoo.path())));
        assert!(denied(std::process::Command::new("/bin/true").status()));
        // What is open stays so.
        assert_eq!(open.metadata().unwrap().len(), 10);
        let mut bytes = [0; 4];
        std::os::unix::fs::FileExt::read_at(&open, &mut bytes, 0).unwrap();
    });
}

#[test]
fn the_gates_directories_can_be_read_and_nothing_else() {
    if !has_landlock() {
        return;
    }
    let zoo = zoo();
    let at = |name: &str| zoo.path().join(name);
    succeeds(|| {
        let gate = directory(&at("gate"));
        lock_process(&Confinement {
            read: vec![gate.as_fd()],
            ..Confinement::default()
        })
        .unwrap();
        assert!(File::open(at("gate/image")).is_ok());
        assert!(File::open(at("gate/sub/image")).is_ok());
        assert!(denied(File::open(at("other/secret"))));
        assert!(denied(std::fs::read_dir(at("gate"))));
        assert!(denied(OpenOptions::new().write(true).open(at("gate/image"))));
        assert!(denied(File::create(at("gate/new"))));
        assert!(denied(std::fs::remove_file(at("gate/image"))));
        assert!(denied(std::fs::rename(at("gate/image"), at("gate/sub/new"))));
        assert!(denied(std::fs::hard_link(at("gate/image"), at("target/new"))));
        assert!(denied(std::os::unix::fs::symlink("x", at("gate/link"))));
    });
}

/// What commit and abort do: link an unnamed file, rename a hidden one, remove one.
#[test]
fn targets_get_and_lose_their_names_in_their_directory_alone() {
    if !has_landlock() {
        return;
    }
    let zoo = zoo();
    let at = |name: &str| zoo.path().join(name);
    succeeds(|| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut unnamed = OpenOptions::new();
        unnamed.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let unnamed = unnamed.open(at("target")).unwrap();
        let hidden = File::create(at("target/.hidden")).unwrap();
        let target = directory(&at("target"));
        lock_process(&Confinement {
            names: vec![target.as_fd()],
            ..Confinement::default()
        })
        .unwrap();
        std::os::unix::fs::FileExt::write_at(&unnamed, b"data", 0).unwrap();
        unnamed.set_len(100).unwrap();
        let into = target.as_raw_fd() as u64;
        let empty = c"".as_ptr().expose_provenance() as u64;
        let name = c"new".as_ptr().expose_provenance() as u64;
        let by_number = call(
            libc::SYS_linkat,
            [
                unnamed.as_raw_fd() as u64,
                empty,
                into,
                name,
                libc::AT_EMPTY_PATH as u64,
                0,
            ],
        );
        // That takes the credentials under which the file was opened, and locking has given us others; or a privilege.
        if by_number != 0 {
            assert_eq!(by_number, -i64::from(libc::ENOENT));
            // Then the way through /proc, which is open to everybody, does for both.
        }
        let path = std::ffi::CString::new(format!("/proc/self/fd/{}", unnamed.as_raw_fd())).unwrap();
        let path = path.as_ptr().expose_provenance() as u64;
        let second = c"second".as_ptr().expose_provenance() as u64;
        let by_proc = call(
            libc::SYS_linkat,
            [
                libc::AT_FDCWD as u64,
                path,
                into,
                second,
                libc::AT_SYMLINK_FOLLOW as u64,
                0,
            ],
        );
        assert_eq!(by_proc, 0);
        std::fs::rename(at("target/.hidden"), at("target/renamed")).unwrap();
        std::fs::remove_file(at("target/renamed")).unwrap();
        drop(hidden);
        assert!(denied(File::open(at("target/old"))));
        assert!(denied(OpenOptions::new().write(true).open(at("target/old"))));
        assert!(denied(std::fs::remove_file(at("other/secret"))));
        assert!(denied(std::fs::create_dir(at("target/directory"))));
        assert!(denied(std::fs::rename(at("target/old"), at("other/old"))));
        assert!(target.sync_all().is_ok());
    });
    let mut names: Vec<_> = std::fs::read_dir(at("target"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names.retain(|name| name != "new");
    assert_eq!(names, ["old", "second"]);
}

#[test]
fn the_network_and_other_processes_are_out_of_reach() {
    if landlock_abi().is_none_or(|abi| abi < 6) {
        eprintln!("skipped: takes Landlock ABI 6");
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    succeeds(|| {
        let parent = std::os::unix::process::parent_id();
        let signal = || call(libc::SYS_kill, [parent.into(), 0, 0, 0, 0, 0]);
        assert_eq!(signal(), 0);
        lock_process(&Confinement::default()).unwrap();
        assert!(denied(std::net::TcpStream::connect(address)));
        assert!(denied(std::net::TcpListener::bind("127.0.0.1:0")));
        assert_eq!(signal(), -i64::from(libc::EPERM));
    });
}

#[test]
fn a_child_from_before_can_still_be_killed_if_that_was_said() {
    let ended = child(|| {
        // SAFETY: the grandchild waits to be killed.
        let grandchild = unsafe { libc::fork() };
        if grandchild == 0 {
            loop {
                std::thread::park();
            }
        }
        lock_process(&Confinement {
            child: Some(grandchild),
            ..Confinement::default()
        })
        .unwrap();
        thread_start(Role::PROCESS_LANE).unwrap();
        let kill = libc::SIGKILL as u64;
        assert_eq!(call(libc::SYS_kill, [grandchild as u64, kill, 0, 0, 0, 0]), 0);
        3
    });
    assert_eq!(ended.status, crate::child::Status::Exit(3), "{}", ended.words);
}
