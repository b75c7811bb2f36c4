//! What the standard library and the C library need is let through: whole lives of threads in each role.

use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use instar_jail::{Confinement, Role, lock_process, thread_start};

use crate::child::{Status, child, succeeds};

/// Allocations of all sizes, locks, channels, time, words, hash tables.
fn everyday_work() {
    let mut kept = Vec::new();
    for n in 0..200_usize {
        kept.push(vec![n as u8; n * n * 64]);
        if n.is_multiple_of(3) {
            kept.swap_remove(n / 5);
        }
    }
    let mut grown = Vec::new();
    for n in 0..3_000_000_u32 {
        grown.push(n);
    }
    let map: std::collections::HashMap<_, _> = (0..100).map(|n| (n, n.to_string())).collect();
    assert_eq!(map[&7], "7");
    std::thread::sleep(Duration::from_millis(1));
    std::thread::yield_now();
    assert!(Instant::now().elapsed() < Duration::from_secs(1));
    eprint!("");
    // The standard one looks for the working directory where a backtrace is wanted.
    std::panic::set_hook(Box::new(|_| {}));
    let failure = std::panic::catch_unwind(|| panic!("caught"));
    assert!(failure.is_err());
}

/// In a process of its own that limits malloc from the start, as ours does: the threads of this one have their arenas
/// already, and glibc reads a file of /proc before it shrinks one of those.
#[test]
fn threads_of_every_role_live_work_and_end() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "threads::lives_of_threads", "--ignored"])
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "run by the test above"]
fn lives_of_threads() {
    for lane in [
        Role::KVM_LANE,
        Role::PROCESS_LANE,
        Role::PROCESS_LANE.and(Role::GATE),
    ] {
        succeeds(|| {
            lock_process(&Confinement::default()).unwrap();
            let pair = Arc::new((Mutex::new(0), Condvar::new()));
            let (sender, receiver) = mpsc::channel();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (pair, sender) = (Arc::clone(&pair), sender.clone());
                    std::thread::spawn(move || {
                        thread_start(lane).unwrap();
                        everyday_work();
                        *pair.0.lock().unwrap() += 1;
                        pair.1.notify_all();
                        sender.send(1).unwrap();
                    })
                })
                .collect();
            thread_start(Role::CONTROL).unwrap();
            let mut done = pair.0.lock().unwrap();
            while *done < 4 {
                done = pair.1.wait_timeout(done, Duration::from_millis(100)).unwrap().0;
            }
            drop(done);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(receiver.try_iter().count(), 4);
            everyday_work();
        });
    }
}

#[test]
fn lanes_read_and_write_what_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    succeeds(|| {
        let file = std::fs::File::create_new(&path).unwrap();
        lock_process(&Confinement::default()).unwrap();
        let lane = std::thread::spawn(move || {
            thread_start(Role::KVM_LANE).unwrap();
            file.write_all_at(b"data", 1).unwrap();
            file.set_len(3).unwrap();
            file.sync_data().unwrap();
            drop(file);
        });
        thread_start(Role::CONTROL).unwrap();
        lane.join().unwrap();
    });
    assert_eq!(std::fs::read(&path).unwrap(), b"\0da");
}

#[test]
fn only_a_lane_of_the_gate_opens_and_only_for_reading() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("image"), b"x").unwrap();
    let openat2 = |root: i32, flags: u64| {
        let how: [u64; 3] = [flags, 0, 8];
        let name = c"image".as_ptr().expose_provenance() as u64;
        let how = how.as_ptr().expose_provenance() as u64;
        crate::child::call(libc::SYS_openat2, [root as u64, name, how, 24, 0, 0])
    };
    let attempt = |role: Role, flags: i32| {
        child(|| {
            let root = std::fs::File::open(directory.path()).unwrap();
            lock_process(&Confinement {
                read: vec![root.as_fd()],
                ..Confinement::default()
            })
            .unwrap();
            thread_start(role).unwrap();
            let result = openat2(std::os::fd::AsRawFd::as_raw_fd(&root), flags as u64);
            if result >= 0 { 100 } else { -result as i32 }
        })
        .status
    };
    let gate = Role::PROCESS_LANE.and(Role::GATE);
    assert_eq!(attempt(gate, libc::O_RDONLY), Status::Exit(100));
    if instar_jail::landlock_abi().is_some() {
        assert_eq!(attempt(gate, libc::O_RDWR), Status::Exit(libc::EACCES));
    }
    for role in [Role::CONTROL, Role::KVM_LANE, Role::PROCESS_LANE] {
        assert_eq!(attempt(role, libc::O_RDONLY), Status::Exit(1), "{role}");
    }
}

/// SIGINT ends us as it would end any program, after the cleaning up.
#[test]
fn the_control_thread_dies_by_the_signal_that_interrupted_it() {
    let ended = child(|| {
        lock_process(&Confinement::default()).unwrap();
        thread_start(Role::CONTROL).unwrap();
        // SAFETY: the default action has no handler.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        // SAFETY: ends this process, as is meant.
        unsafe { libc::raise(libc::SIGINT) };
        0
    });
    assert_eq!(ended.status, Status::Signal(libc::SIGINT));
}
