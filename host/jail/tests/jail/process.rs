//! What the lock does to the process as a whole.

use instar_jail::{Confinement, Role, limit_allocator, lock_process, seccomp_supported, thread_start};

use crate::child::{Status, call, child, succeeds};

#[test]
fn privileges_core_files_and_onlookers_are_shut_out() {
    succeeds(|| {
        let force = lock_process(&Confinement::default()).unwrap();
        assert!(force.no_new_privileges && force.no_core_files && force.not_dumpable);
        let get = |option: i32| call(libc::SYS_prctl, [option as u64, 0, 0, 0, 0, 0]);
        assert_eq!(get(libc::PR_GET_NO_NEW_PRIVS), 1);
        assert_eq!(get(libc::PR_GET_DUMPABLE), 0);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    });
}

#[test]
fn a_stopped_call_is_named_and_ends_the_process() {
    for role in [Role::CONTROL, Role::KVM_LANE, Role::PROCESS_LANE.and(Role::GATE)] {
        let ended = child(|| {
            lock_process(&Confinement::default()).unwrap();
            thread_start(role).unwrap();
            call(libc::SYS_socket, [1, 1, 0, 0, 0, 0]);
            0
        });
        assert_eq!(ended.status, Status::Exit(1), "{role}");
        assert_eq!(
            ended.words,
            "instar: stopped by its own jail at system call   41\n"
        );
    }
}

/// Without the handler, or with the signal blocked, the kernel ends the process itself.
#[test]
fn there_is_no_way_round_the_handler() {
    let ended = child(|| {
        lock_process(&Confinement::default()).unwrap();
        thread_start(Role::KVM_LANE).unwrap();
        let all = u64::MAX;
        let set = (&raw const all).expose_provenance() as u64;
        call(libc::SYS_rt_sigprocmask, [0, set, 0, 8, 0, 0]);
        call(libc::SYS_execve, [0, 0, 0, 0, 0, 0]);
        0
    });
    assert_eq!(ended.status, Status::Signal(libc::SIGSYS));
}

#[test]
fn a_filter_cannot_be_put_on_without_giving_up_privileges() {
    assert!(seccomp_supported());
    let ended = child(|| i32::from(thread_start(Role::CONTROL).is_err()));
    // Not even root: the privilege to do so has gone by then.
    assert_eq!(ended.status, Status::Exit(1));
}

#[test]
fn threads_share_one_arena_so_that_little_address_space_is_enough() {
    succeeds(|| {
        limit_allocator();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let builder = std::thread::Builder::new().stack_size(128 << 10);
                builder
                    .spawn(|| {
                        let bytes: Vec<Vec<u8>> = (0..100).map(|n| vec![1; n * 100]).collect();
                        std::hint::black_box(&bytes);
                        let status = std::fs::read_to_string("/proc/self/status").unwrap();
                        let line = status.lines().find(|line| line.starts_with("VmSize")).unwrap();
                        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
                    })
                    .unwrap()
            })
            .collect();
        for thread in threads {
            let kibibytes = thread.join().unwrap();
            assert!(kibibytes < 200 << 10, "{kibibytes} KiB");
        }
    });
}

/// The 32-bit interface numbers its calls differently: all of it is stopped.
#[test]
fn the_32_bit_interface_is_stopped() {
    let ended = child(|| {
        lock_process(&Confinement::default()).unwrap();
        thread_start(Role::CONTROL).unwrap();
        // getpid there, writev here.
        let mut result: u32 = 20;
        // SAFETY: a call without arguments; the kernel clobbers what it does for any interrupt.
        unsafe {
            std::arch::asm!(
                "int 0x80",
                inout("eax") result,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        i32::from(result != 0) + 100
    });
    // A kernel without that interface sends SIGSEGV instead.
    let stopped = [Status::Exit(1), Status::Signal(libc::SIGSEGV)];
    assert!(stopped.contains(&ended.status), "{ended:?}");
}

/// The kernel's sets of capabilities of the calling thread: effective, permitted, inheritable.
fn capabilities() -> [u64; 3] {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    ["CapEff:", "CapPrm:", "CapInh:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    })
}

const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const FOWNER: u64 = 1 << 3;

#[test]
fn capabilities_go_but_for_those_that_open_layers_and_complete_targets() {
    use std::os::fd::AsFd;
    let before = capabilities()[1];
    let directory = std::fs::File::open("/").unwrap();
    let naming = DAC_OVERRIDE | DAC_READ_SEARCH | FOWNER;
    for (read, names, kept) in [
        (false, false, 0),
        (true, false, DAC_READ_SEARCH),
        (false, true, naming),
        (true, true, naming),
    ] {
        let directory = || vec![directory.as_fd()];
        succeeds(|| {
            let confinement = Confinement {
                read: if read { directory() } else { Vec::new() },
                names: if names { directory() } else { Vec::new() },
                child: None,
            };
            let force = lock_process(&confinement).unwrap();
            assert_eq!(force.capabilities, kept & before);
            assert_eq!(instar_jail::capabilities().unwrap(), kept & before);
        });
    }
}

#[test]
fn a_lane_keeps_what_the_gate_needs_and_no_more() {
    let before = capabilities()[1];
    for (role, kept) in [
        (Role::KVM_LANE, 0),
        (Role::PROCESS_LANE.and(Role::GATE), DAC_READ_SEARCH),
        (
            Role::CONTROL.and(Role::KVM_LANE),
            DAC_OVERRIDE | DAC_READ_SEARCH | FOWNER,
        ),
    ] {
        let ended = child(|| {
            instar_jail::keep_for(role).unwrap();
            i32::from(instar_jail::capabilities().unwrap() == kept & before)
        });
        assert_eq!(ended.status, Status::Exit(1), "{role}");
    }
}
