//! Kernels and filters that lack something: another way is found, or the reason is named; nothing spins or hangs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a helper of tests: a failure is a test failure"
)]

mod common;

use std::time::{Duration, Instant};

use common::{modes, run};
use instar_abi::RawRequest;
use instar_abi::layout::DEFAULT_BYTES;
use instar_abi::request::Op;
use instar_sandbox::{Choice, Guest, Mode, Outcome, Sandbox};
use instar_testkit::elf::{Batch, elf, player};

/// A system call that fails with `errno`, if its second argument is `second`, where that is given.
#[derive(Clone, Copy)]
struct Missing {
    call: libc::c_long,
    second: Option<u32>,
    errno: i32,
}

const fn missing(call: libc::c_long, errno: i32) -> Missing {
    Missing {
        call,
        second: None,
        errno,
    }
}

/// Takes calls away from the calling thread, and from what it starts, for good.
fn take_away(calls: &[Missing]) {
    let plain = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let skip_unless = |k, jf| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf,
        k,
    };
    let load = |at| plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let give = |what| plain(libc::BPF_RET | libc::BPF_K, what);
    let mut program = Vec::new();
    for missing in calls {
        let refuse = give(libc::SECCOMP_RET_ERRNO | missing.errno.unsigned_abs());
        program.push(load(0));
        match missing.second {
            None => program.push(skip_unless(missing.call as u32, 1)),
            Some(value) => {
                program.push(skip_unless(missing.call as u32, 3));
                program.push(load(16 + 8));
                program.push(skip_unless(value, 1));
            }
        }
        program.push(refuse);
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: gives up a privilege of this thread's.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the kernel reads the structure and the instructions, which outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const filter,
        )
    };
    assert_eq!(result, 0);
}

/// Does `work` on a thread of its own, where these calls are missing.
fn without<T: Send>(calls: &[Missing], work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            take_away(calls);
            work()
        });
        thread.join().unwrap()
    })
}

fn exit() -> Vec<u8> {
    player(&[Batch::of(&[RawRequest {
        op: Op::EXIT.0,
        ..RawRequest::default()
    }])])
}

const KVM_RUN: Missing = Missing {
    call: libc::SYS_ioctl,
    second: Some(0xAE80),
    errno: libc::EAGAIN,
};

#[test]
fn a_process_is_confined_without_close_range_pidfds_or_signals_through_them() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (guest, endless) = (exit(), elf(&[0xeb, 0xfe], b""));
    for calls in [
        &[missing(libc::SYS_close_range, libc::ENOSYS)][..],
        &[missing(libc::SYS_close_range, libc::EPERM)],
        &[missing(libc::SYS_pidfd_send_signal, libc::EPERM)],
        &[
            missing(libc::SYS_close_range, libc::ENOSYS),
            missing(libc::SYS_pidfd_open, libc::ENOSYS),
            missing(libc::SYS_pidfd_send_signal, libc::ENOSYS),
        ],
    ] {
        without(calls, || {
            let before = descriptors();
            let start = Instant::now();
            for (elf, ends) in [(&guest, true), (&endless, false)] {
                let mut sandbox =
                    Sandbox::prepare_guest(Choice::Process, 1, DEFAULT_BYTES, Guest::from_elf(elf)).unwrap();
                sandbox.set_timeout(Duration::from_millis(if ends { 5000 } else { 50 }));
                let child = sandbox.child().unwrap();
                match run(&sandbox) {
                    Outcome::Exited => assert!(ends),
                    Outcome::TimedOut => assert!(!ends),
                    other => panic!("{other:?}"),
                }
                drop(sandbox);
                assert!(
                    !std::path::Path::new(&format!("/proc/{child}")).exists(),
                    "it lives on"
                );
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
            assert_eq!(descriptors(), before);
        });
    }
}

#[test]
fn no_descriptor_is_left_to_a_process_whose_kernel_closes_them_one_by_one() {
    let endless = elf(&[0xeb, 0xfe], b"");
    without(&[missing(libc::SYS_close_range, libc::ENOSYS)], || {
        let _high = std::fs::File::open("/dev/null").unwrap();
        let mut sandbox =
            Sandbox::prepare_guest(Choice::Process, 1, DEFAULT_BYTES, Guest::from_elf(&endless)).unwrap();
        sandbox.set_timeout(Duration::from_millis(100));
        let child = sandbox.child().unwrap();
        let outcome = std::thread::scope(|scope| {
            let seen = scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                // Readable by root alone: the child is not dumpable.
                std::fs::read_dir(format!("/proc/{child}/fd")).map(Iterator::count)
            });
            let outcome = run(&sandbox);
            if let Ok(open) = seen.join().unwrap() {
                assert_eq!(open, 0);
            }
            outcome
        });
        assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
    });
}

#[test]
fn a_step_of_the_set_up_that_fails_is_named() {
    let guest = exit();
    without(&[missing(libc::SYS_mremap, libc::ENOMEM)], || {
        let sandbox =
            Sandbox::prepare_guest(Choice::Process, 1, DEFAULT_BYTES, Guest::from_elf(&guest)).unwrap();
        let Outcome::Failed(error) = run(&sandbox) else {
            panic!("it ran");
        };
        assert_eq!(
            error.to_string(),
            "the confined process could not be set up; moving the guest's memory failed: Cannot allocate memory"
        );
    });
}

#[test]
fn a_kernel_that_never_enters_the_virtual_machine_is_noticed_at_the_start() {
    if !modes().contains(&Choice::Kvm) {
        return;
    }
    let guest = exit();
    without(&[KVM_RUN], || {
        let start = Instant::now();
        let prepare = |choice| Sandbox::prepare_guest(choice, 1, DEFAULT_BYTES, Guest::from_elf(&guest));
        let error = prepare(Choice::Kvm).unwrap_err();
        assert!(error.to_string().contains("pids.max"), "{error}");
        let sandbox = prepare(Choice::Auto).unwrap();
        assert_eq!(sandbox.mode(), Mode::Process);
        assert!(sandbox.fallback().unwrap().to_string().contains("does not enter"));
        assert!(matches!(run(&sandbox), Outcome::Exited));
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    });
}

#[test]
fn a_kernel_that_stops_to_enter_the_virtual_machine_ends_the_run() {
    if !modes().contains(&Choice::Kvm) {
        return;
    }
    let guest = exit();
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let sandbox =
                Sandbox::prepare_guest(Choice::Kvm, 1, DEFAULT_BYTES, Guest::from_elf(&guest)).unwrap();
            take_away(&[KVM_RUN]);
            let start = Instant::now();
            let outcome = run(&sandbox);
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
            outcome
        });
        thread.join().unwrap()
    });
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(error.to_string().contains("does not enter"), "{error}");
}

#[test]
fn threads_and_processes_that_cannot_be_started_are_named() {
    let guest = exit();
    // What a limit on processes makes of any fork; threads are made by another call.
    without(
        &[
            missing(libc::SYS_clone, libc::EAGAIN),
            missing(libc::SYS_clone3, libc::EAGAIN),
        ],
        || {
            let error = Sandbox::prepare_guest(Choice::Process, 1, DEFAULT_BYTES, Guest::from_elf(&guest));
            let words = error.unwrap_err().to_string();
            assert!(
                words.contains("cannot be started") && words.contains("pids.max"),
                "{words}"
            );
        },
    );
    for choice in modes() {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let sandbox =
                    Sandbox::prepare_guest(choice, 3, DEFAULT_BYTES, Guest::from_elf(&guest)).unwrap();
                take_away(&[
                    missing(libc::SYS_clone, libc::EAGAIN),
                    missing(libc::SYS_clone3, libc::EAGAIN),
                ]);
                let Outcome::Failed(error) = run(&sandbox) else {
                    panic!("it ran");
                };
                let words = error.to_string();
                assert!(
                    words.contains("cannot start a thread for another lane"),
                    "{words}"
                );
            });
            thread.join().unwrap();
        });
    }
}
