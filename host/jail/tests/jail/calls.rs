//! Each call that the table allows is made, and each call that it does not name.

use std::sync::atomic::{AtomicU32, Ordering};

use instar_jail::rules::{Check, FICLONERANGE, KVM_RUN, RULES, Rule};
use instar_jail::{Filter, Role};

use crate::child::{Status, call, child, end, succeeds};

/// The roles that threads really have.
const ROLES: [Role; 6] = [
    Role::CONTROL,
    Role::KVM_LANE,
    Role::PROCESS_LANE,
    Role::KVM_LANE.and(Role::GATE),
    Role::PROCESS_LANE.and(Role::GATE),
    Role::CONTROL.and(Role::KVM_LANE).and(Role::GATE),
];

/// Arguments that mean nothing to any call, but satisfy the conditions.
fn arguments(checks: &[Check]) -> [u64; 6] {
    let mut arguments = [u64::from(u32::MAX); 6];
    for check in checks {
        match *check {
            Check::Is(at, value) => arguments[usize::from(at)] = value.into(),
            Check::Bits {
                argument,
                mask,
                value,
            } => arguments[usize::from(argument)] &= u64::from(!mask | value),
            Check::OwnProcess(at) => arguments[usize::from(at)] = std::process::id().into(),
            // No user: all ones would mean every user.
            Check::Child(at) => arguments[usize::from(at)] = NOBODY,
        }
    }
    arguments
}

/// A number above all that processes have.
const NOBODY: u64 = 0x7fff_fff0;

fn satisfies(rule: &Rule, arguments: &[u64; 6]) -> bool {
    rule.when.iter().all(|check| {
        let at = |argument: u8| arguments[usize::from(argument)] as u32;
        match *check {
            Check::Is(argument, value) => at(argument) == value,
            Check::Bits {
                argument,
                mask,
                value,
            } => at(argument) & mask == value,
            Check::OwnProcess(argument) => at(argument) == std::process::id(),
            // There is none here.
            Check::Child(_) => false,
        }
    })
}

fn allows(role: Role, number: libc::c_long, arguments: &[u64; 6]) -> bool {
    RULES
        .iter()
        .any(|rule| rule.call == number && role.is_any_of(rule.roles) && satisfies(rule, arguments))
}

/// Set by the handler below, in the child that makes the calls.
static STOPPED: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(_signal: libc::c_int) {
    STOPPED.fetch_add(1, Ordering::SeqCst);
}

/// Instead of the jail's own handler: one that lets the child go on.
fn note_stops() {
    let handler: extern "C" fn(libc::c_int) = note;
    // SAFETY: a handler that touches an atomic alone.
    unsafe { libc::signal(libc::SIGSYS, handler as libc::sighandler_t) };
}

/// Whether the kernel stops the call. Only for calls that return.
fn is_stopped(number: libc::c_long, arguments: [u64; 6]) -> bool {
    let before = STOPPED.load(Ordering::SeqCst);
    call(number, arguments);
    STOPPED.load(Ordering::SeqCst) != before
}

/// Ends the child with a message, by calls that every role has: a panic makes others.
fn fail(message: &str) -> ! {
    // The harness would keep what eprintln prints.
    let _ = rustix::io::write(std::io::stderr(), message.as_bytes());
    end(1)
}

/// Calls that do not come back, or not with these arguments.
const FINAL: [libc::c_long; 3] = [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn];

/// uretprobe and uprobe: instructions of a tracer's in the guise of calls. The kernel looks at them before seccomp, and ends
/// a process that makes them without being traced.
const BEFORE_SECCOMP: [libc::c_long; 2] = [335, 336];

#[test]
fn each_rule_lets_its_call_through_in_its_roles_and_in_no_other() {
    for role in ROLES {
        succeeds(|| {
            note_stops();
            let filter = Filter::new(role).unwrap();
            instar_jail_no_new_privileges();
            filter.apply().unwrap();
            for rule in RULES.iter().filter(|rule| !FINAL.contains(&rule.call)) {
                let arguments = arguments(rule.when);
                let allowed = allows(role, rule.call, &arguments);
                if rule.call == libc::SYS_poll || rule.call == libc::SYS_ppoll {
                    // Would never return.
                    assert!(
                        !is_stopped(rule.call, [0, 0, 1, 8, 0, 0]),
                        "{}: {role}",
                        rule.name
                    );
                    continue;
                }
                assert_eq!(
                    !is_stopped(rule.call, arguments),
                    allowed,
                    "{}: {role}",
                    rule.name
                );
            }
        });
    }
}

fn instar_jail_no_new_privileges() {
    assert_eq!(
        call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0]),
        0
    );
}

#[test]
fn the_calls_that_do_not_return_are_let_through() {
    for role in ROLES {
        for number in [libc::SYS_exit, libc::SYS_exit_group] {
            let ended = child(|| {
                instar_jail_no_new_privileges();
                Filter::new(role).unwrap().apply().unwrap();
                call(number, [7, 0, 0, 0, 0, 0]);
                unreachable!()
            });
            assert_eq!(ended.status, Status::Exit(7), "{role}");
        }
    }
}

#[test]
fn every_call_that_the_table_does_not_name_is_stopped() {
    for role in ROLES {
        succeeds(|| {
            note_stops();
            let filter = Filter::new(role).unwrap();
            instar_jail_no_new_privileges();
            filter.apply().unwrap();
            // Up to the newest call of Linux 6.18, and some to come; then those of the x32 interface.
            let native = 0..600;
            let x32 = (0..600).map(|number| number | 0x4000_0000);
            for number in native.chain(x32) {
                if RULES.iter().any(|rule| rule.call == number) || BEFORE_SECCOMP.contains(&number) {
                    continue;
                }
                if !is_stopped(number, [u64::from(u32::MAX); 6]) {
                    fail(&format!("call {number} in {role}"));
                }
            }
        });
    }
}

/// The ones an attacker wants, by name, so that the table cannot grow by them unseen.
#[test]
fn no_role_opens_connects_executes_forks_or_looks_into_others() {
    let wanted = [
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_open_by_handle_at,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kexec_load,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_prctl,
        libc::SYS_seccomp,
        libc::SYS_keyctl,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_unlink,
        libc::SYS_link,
        libc::SYS_symlinkat,
        libc::SYS_mknodat,
        libc::SYS_chmod,
        libc::SYS_fchmod,
        libc::SYS_chown,
        libc::SYS_setuid,
        libc::SYS_memfd_create,
        libc::SYS_dup,
        libc::SYS_dup2,
        libc::SYS_dup3,
        libc::SYS_splice,
        libc::SYS_sendfile,
        libc::SYS_shmat,
        libc::SYS_modify_ldt,
    ];
    for number in wanted {
        assert!(
            RULES.iter().all(|rule| rule.call != number),
            "call {number} is in the table"
        );
    }
}

#[test]
fn arguments_outside_the_rules_are_stopped() {
    let own = u64::from(std::process::id());
    let all = u64::from(u32::MAX);
    // Number, arguments, and whether some role might make it so.
    let mut cases: Vec<(libc::c_long, [u64; 6])> = vec![
        // Opening for writing, making, cutting off.
        (libc::SYS_openat, [all, all, 1, all, all, all]),
        (libc::SYS_openat, [all, all, 2, all, all, all]),
        (libc::SYS_openat, [all, all, 0o100, all, all, all]),
        (libc::SYS_openat, [all, all, 0o1000, all, all, all]),
        (libc::SYS_openat, [all, all, 0o20_200_000 | 2, all, all, all]),
        // Executable memory, and memory of a file.
        (libc::SYS_mmap, [0, 4096, 7, 0x22, all, 0]),
        (libc::SYS_mmap, [0, 4096, 4, 0x22, all, 0]),
        (libc::SYS_mmap, [0, 4096, 1, 2, 0, 0]),
        (libc::SYS_mprotect, [0, 4096, 4, 0, 0, 0]),
        (libc::SYS_mprotect, [0, 4096, 7, 0, 0, 0]),
        // Others.
        (libc::SYS_kill, [1, 0, 0, 0, 0, 0]),
        (libc::SYS_kill, [all, 0, 0, 0, 0, 0]),
        (libc::SYS_kill, [0, 0, 0, 0, 0, 0]),
        (libc::SYS_tgkill, [1, 1, 0, 0, 0, 0]),
        (libc::SYS_tgkill, [all, own, 0, 0, 0, 0]),
        (libc::SYS_pidfd_send_signal, [all, 15, 0, 0, 0, 0]),
        (libc::SYS_pidfd_send_signal, [all, 0, 0, 0, 0, 0]),
    ];
    // Creating a machine, a processor, a device, memory; terminal injection; block devices; a file's version.
    for request in [
        0xAE01_u32,
        0xAE41,
        0xAE60,
        0xC00C_AEE0,
        0x4020_AE46,
        0x5412,
        0x1277,
        0x127F,
        0x4008_7602,
        KVM_RUN ^ 0x100,
        FICLONERANGE & !0x4000_0000,
    ] {
        cases.push((libc::SYS_ioctl, [all, request.into(), 0, 0, 0, 0]));
    }
    for command in [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_SETFD,
        libc::F_SETFL,
        libc::F_SETOWN,
        libc::F_OFD_SETLKW,
    ] {
        cases.push((libc::SYS_fcntl, [all, command as u64, 0, 0, 0, 0]));
    }
    for role in ROLES {
        succeeds(|| {
            note_stops();
            let filter = Filter::new(role).unwrap();
            instar_jail_no_new_privileges();
            filter.apply().unwrap();
            for (number, arguments) in &cases {
                if !is_stopped(*number, *arguments) {
                    fail(&format!("{number} {arguments:x?}: {role}"));
                }
            }
        });
    }
}

/// Only the low half of such an argument reaches the kernel: the high half neither opens nor closes anything.
#[test]
fn the_high_half_of_an_argument_does_not_matter() {
    succeeds(|| {
        note_stops();
        instar_jail_no_new_privileges();
        Filter::new(Role::KVM_LANE).unwrap().apply().unwrap();
        let all = u64::from(u32::MAX);
        let high = 1 << 40;
        assert!(!is_stopped(
            libc::SYS_ioctl,
            [all, high | u64::from(KVM_RUN), 0, 0, 0, 0]
        ));
        assert!(is_stopped(libc::SYS_ioctl, [all, high | 0xAE01, 0, 0, 0, 0]));
    });
}

/// A rule that another one implies would state the wrong caller.
#[test]
fn no_rule_is_implied_by_another() {
    for (n, rule) in RULES.iter().enumerate() {
        for (m, other) in RULES.iter().enumerate() {
            let twice = n != m
                && rule.call == other.call
                && rule.roles.is_any_of(other.roles)
                && (other.when.is_empty() || other.when == rule.when);
            assert!(!twice, "{} and {}", rule.name, other.name);
        }
        assert!(!rule.caller.is_empty());
    }
}

#[test]
fn filters_are_small() {
    for role in ROLES {
        let length = Filter::new(role).unwrap().length();
        assert!(length < 200, "{role}: {length}");
    }
    let count = |role: Role| RULES.iter().filter(|rule| role.is_any_of(rule.roles)).count();
    let counts = ROLES.map(count);
    assert!(counts.iter().all(|count| *count <= 66), "{counts:?}");
}
