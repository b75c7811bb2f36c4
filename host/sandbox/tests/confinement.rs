//! What a confined process has left, which ioctls a virtual machine takes, and the limits that callers set.
//!
//! Some cases need a process of their own: they run this very test program again, asking for one of the helpers at the end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a helper of tests: a failure is a test failure; the calls take numbers and structures of the test's own"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{Engine, modes, run, sandbox};
use instar_abi::layout::{BASE, DEFAULT_BYTES};
use instar_sandbox::{Choice, Outcome, Sandbox};
use instar_testkit::elf::elf;

const LOOP: [u8; 2] = [0xeb, 0xfe];

/// The children of a process. Every process is asked for its parent: the kernel's own list of children may miss one for as
/// long as one cares to read it.
fn lanes_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The second field after the name, which may hold anything but ends with the last parenthesis.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// The one child of a helper.
fn child_of(parent: u32) -> u32 {
    let mut children = Vec::new();
    eventually("the helper has no child", || {
        children = lanes_of(parent);
        !children.is_empty()
    });
    assert_eq!(children.len(), 1);
    children[0]
}

/// Waits until `check` holds, some seconds at most.
fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// This program again, with one of the helpers below.
fn helper(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts a helper and waits until it says that its guest loops. (The harness itself says "running 1 test" earlier.)
fn start_looping() -> Child {
    let mut child = helper("helper_that_loops").spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    for line in output.lines() {
        if line.unwrap().contains("the guest loops") {
            return child;
        }
    }
    panic!("the helper ended: {:?}", child.wait());
}

#[test]
fn a_confined_process_has_guest_memory_and_nothing_else() {
    let mut parent = start_looping();
    let child = child_of(parent.id());
    // The first task has ended, and is kept in name only; the lanes are the others.
    let lanes = || -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{child}/task")).unwrap();
        let paths = tasks.map(|task| task.unwrap().path().to_str().unwrap().to_owned());
        paths
            .filter(|path| !path.ends_with(&format!("/{child}")))
            .collect()
    };
    eventually("the child never entered the guest", || {
        let status = |lane: &String| fs::read_to_string(format!("{lane}/status")).unwrap_or_default();
        let armed = lanes()
            .iter()
            .filter(|lane| status(lane).contains("Seccomp:\t2"))
            .count();
        armed == 2
    });
    for lane in lanes() {
        let status = fs::read_to_string(format!("{lane}/status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let lane = &lanes()[0];
    let maps = fs::read_to_string(format!("{lane}/maps")).unwrap();
    let mut seen = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let access = fields.next().unwrap();
        // A page of the kernel's at a fixed address, on kernels that still have it; it cannot be unmapped.
        if line.ends_with("[vsyscall]") {
            continue;
        }
        assert!(from >= BASE && to <= BASE + DEFAULT_BYTES, "{line}");
        assert!(!(access.contains('w') && access.contains('x')), "{line}");
        seen += to - from;
    }
    assert_eq!(seen, DEFAULT_BYTES, "{maps}");
    // Only root may look at the descriptors of a process that is not dumpable.
    match fs::read_dir(format!("{lane}/fd")) {
        Ok(descriptors) => assert_eq!(descriptors.count(), 0),
        Err(error) => println!("skipped: the descriptors, since {error}"),
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
}

#[test]
fn a_confined_process_dies_with_its_parent() {
    let mut parent = start_looping();
    let child = child_of(parent.id());
    assert!(fs::exists(format!("/proc/{child}")).unwrap());
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the child outlived its parent", || {
        let status = fs::read_to_string(format!("/proc/{child}/status"));
        status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ"))
    });
}

#[test]
fn a_killed_child_is_noticed_at_once_and_leaves_no_zombie() {
    let mut sandbox = sandbox(Choice::Process, 2, &elf(&LOOP, b""));
    sandbox.set_timeout(Duration::from_secs(10));
    let own: Vec<u32> = lanes_of(std::process::id());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        for pid in own {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        Instant::now()
    });
    let outcome = run(&sandbox);
    let took = killer.join().unwrap().elapsed();
    assert!(matches!(outcome, Outcome::Fault(_)), "{outcome:?}");
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[test]
fn one_lane_needs_no_thread() {
    for choice in modes() {
        let output = helper("helper_that_counts_threads")
            .env("INSTAR_TEST_CHOICE", format!("{choice:?}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn two_lanes_fit_an_address_space_of_256_mib() {
    for choice in modes() {
        let mut command = helper("helper_that_runs");
        command.env("INSTAR_TEST_CHOICE", format!("{choice:?}"));
        unsafe {
            command.pre_exec(|| {
                let limit = libc::rlimit {
                    rlim_cur: 256 << 20,
                    rlim_max: 256 << 20,
                };
                libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
                Ok(())
            });
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{choice:?}: {output:?}");
    }
}

/// Everything that setting up and running a virtual machine asks of KVM, by request number.
const IOCTLS: [(&str, u32); 12] = [
    ("KVM_GET_API_VERSION", 0xae00),
    ("KVM_CREATE_VM", 0xae01),
    ("KVM_CHECK_EXTENSION", 0xae03),
    ("KVM_GET_VCPU_MMAP_SIZE", 0xae04),
    ("KVM_CREATE_VCPU", 0xae41),
    ("KVM_SET_USER_MEMORY_REGION", 0x4020_ae46),
    ("KVM_RUN", 0xae80),
    ("KVM_SET_REGS", 0x4090_ae82),
    ("KVM_GET_SREGS", 0x8138_ae83),
    ("KVM_SET_SREGS", 0x4138_ae84),
    ("KVM_SET_CPUID2", 0x4008_ae90),
    ("KVM_SET_XCRS", 0x4188_aea7),
];

#[test]
fn setting_up_a_virtual_machine_takes_the_ioctls_of_the_golden_list_and_needs_each() {
    if !modes().contains(&Choice::Kvm) {
        return;
    }
    let run_with = |ioctls: &[u32]| -> ExitStatus {
        let list = ioctls.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        helper("helper_that_runs")
            .env("INSTAR_TEST_CHOICE", "Kvm")
            .env("INSTAR_TEST_IOCTLS", list)
            .output()
            .unwrap()
            .status
    };
    let all = IOCTLS.map(|(_, number)| number);
    let status = run_with(&all);
    assert!(status.success(), "an ioctl outside the list: {status:?}");
    for (name, number) in IOCTLS {
        let rest: Vec<u32> = all.into_iter().filter(|other| *other != number).collect();
        let status = run_with(&rest);
        assert_eq!(
            status.signal(),
            Some(libc::SIGSYS),
            "{name} is in the list but not used"
        );
    }
}

/// Kills this process at an ioctl that is not in the list.
fn allow_only(ioctls: &[u32]) {
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = vec![
        statement(0x20, 0),
        libc::sock_filter {
            code: 0x15,
            jt: 1,
            jf: 0,
            k: libc::SYS_ioctl as u32,
        },
        statement(0x06, libc::SECCOMP_RET_ALLOW),
        statement(0x20, 24),
    ];
    for ioctl in ioctls {
        program.push(libc::sock_filter {
            code: 0x15,
            jt: 0,
            jf: 1,
            k: *ioctl,
        });
        program.push(statement(0x06, libc::SECCOMP_RET_ALLOW));
    }
    program.push(statement(0x06, libc::SECCOMP_RET_KILL_PROCESS));
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program), 0);
    }
}

fn choice() -> Choice {
    match std::env::var("INSTAR_TEST_CHOICE").as_deref() {
        Ok("Kvm") => Choice::Kvm,
        _ => Choice::Process,
    }
}

#[test]
#[ignore = "a helper of other tests"]
fn helper_that_loops() {
    let sandbox = sandbox(Choice::Process, 2, &elf(&LOOP, b""));
    let started = std::sync::atomic::AtomicUsize::new(0);
    let outcome = sandbox.run(&|_| unreachable!(), &|| {
        if started.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            println!("the guest loops");
        }
        Ok(())
    });
    panic!("{outcome:?}");
}

#[test]
#[ignore = "a helper of other tests"]
fn helper_that_runs() {
    if let Ok(list) = std::env::var("INSTAR_TEST_IOCTLS") {
        allow_only(
            &list
                .split(',')
                .map(|number| number.parse().unwrap())
                .collect::<Vec<_>>(),
        );
    }
    for _ in 0..3 {
        let sandbox = Sandbox::prepare(choice(), 2, DEFAULT_BYTES).unwrap();
        let engine = Engine::new(b"");
        // An empty job: the guest reports that it cannot decode it, and exits.
        let outcome = engine.run(&sandbox);
        assert!(matches!(outcome, Outcome::Exited), "{outcome:?}");
    }
}

#[test]
#[ignore = "a helper of other tests"]
fn helper_that_counts_threads() {
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        // KVM's own, in the kernel.
        names.filter(|name| !name.starts_with("kvm-")).count()
    };
    let before = threads();
    let sandbox = Sandbox::prepare(choice(), 1, DEFAULT_BYTES).unwrap();
    let engine = Engine::new(b"");
    let outcome = sandbox.run(
        &|lane| {
            assert_eq!(threads(), before);
            engine.serve(sandbox.memory(), lane)
        },
        &|| Ok(()),
    );
    assert!(matches!(outcome, Outcome::Exited), "{outcome:?}");
}
