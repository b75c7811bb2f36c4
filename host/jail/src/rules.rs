//! The policy: every system call that a locked thread may make, the kinds of thread, the arguments, and the caller.
//!
//! Any other call ends the process: there is no open except the gate's, no socket, no execve, no clone, no ptrace, and no signal to
//! other processes.

use libc::{c_int, c_long};

use crate::Role;

/// One call that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The number of the call.
    pub call: c_long,
    /// The name of the call.
    pub name: &'static str,
    /// The threads that make it.
    pub roles: Role,
    /// Conditions on its arguments, which must all hold. Several rules for one call are alternatives.
    pub when: &'static [Check],
    /// The code that makes it.
    pub caller: &'static str,
}

/// A condition on an argument, of which the kernel reads 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The argument at this place has this value.
    Is(u8, u32),
    /// Of the argument at this place, these bits have these values.
    Bits {
        /// The place of the argument.
        argument: u8,
        /// The bits that are checked.
        mask: u32,
        /// The values that these bits must have.
        value: u32,
    },
    /// The argument at this place is our own process.
    OwnProcess(u8),
    /// The argument at this place is the child that was started before; without a child, the rule does not apply.
    Child(u8),
}

/// `_IO(0xAE, 0x80)`: the one ioctl of a virtual machine that runs.
pub const KVM_RUN: u32 = 0xAE80;
/// `_IOW(0x94, 13, struct file_clone_range)`.
pub const FICLONERANGE: u32 = 0x4020_940D;

/// `_IOR('f', 1, long)` and `_IOW('f', 2, long)`.
pub const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
/// See [`FS_IOC_GETFLAGS`].
pub const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
/// `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)`.
pub const FS_IOC_FSGETXATTR: u32 = 0x801C_581F;
/// See [`FS_IOC_FSGETXATTR`].
pub const FS_IOC_FSSETXATTR: u32 = 0x401C_5820;

/// The policy, one rule for each permitted call.
pub const RULES: &[Rule] = &[
    // Reading and writing open files.
    rule(libc::SYS_pread64, "pread64", LANES, "engine: Read, Copy"),
    rule(libc::SYS_pwrite64, "pwrite64", LANES, "engine: Write, Copy, Zero"),
    rule(libc::SYS_read, "read", LANES, "engine: Receive"),
    rule(
        libc::SYS_preadv2,
        "preadv2",
        LANES,
        "engine: whether a byte is in the page cache",
    ),
    rule(
        libc::SYS_sync_file_range,
        "sync_file_range",
        ALL,
        "engine: write-behind; Flush; commit",
    ),
    rule(
        libc::SYS_copy_file_range,
        "copy_file_range",
        LANES,
        "engine: Copy without zero detection",
    ),
    when(
        libc::SYS_ioctl,
        "ioctl(FICLONERANGE)",
        LANES,
        &[Check::Is(1, FICLONERANGE)],
        "engine: Copy by sharing extents",
    ),
    when(
        libc::SYS_ioctl,
        "ioctl(FS_IOC_GETFLAGS)",
        LANES,
        &[Check::Is(1, FS_IOC_GETFLAGS)],
        "engine: Resize to nothing, the flags that nocow adds to",
    ),
    when(
        libc::SYS_ioctl,
        "ioctl(FS_IOC_SETFLAGS)",
        LANES,
        &[Check::Is(1, FS_IOC_SETFLAGS)],
        "engine: Resize to nothing, nocow",
    ),
    when(
        libc::SYS_ioctl,
        "ioctl(FS_IOC_FSGETXATTR)",
        LANES,
        &[Check::Is(1, FS_IOC_FSGETXATTR)],
        "engine: Resize to nothing, what extent_size_hint changes",
    ),
    when(
        libc::SYS_ioctl,
        "ioctl(FS_IOC_FSSETXATTR)",
        LANES,
        &[Check::Is(1, FS_IOC_FSSETXATTR)],
        "engine: Resize to nothing, extent_size_hint",
    ),
    rule(
        libc::SYS_fallocate,
        "fallocate",
        LANES,
        "engine: Zero, Discard, Resize",
    ),
    rule(libc::SYS_ftruncate, "ftruncate", LANES, "engine: Resize"),
    rule(
        libc::SYS_fstatfs,
        "fstatfs",
        LANES.and(Role::GATE),
        "engine: Resize, whether there is room for a reservation; gate: windows into the kernel",
    ),
    rule(
        libc::SYS_lseek,
        "lseek",
        LANES,
        "engine: Extents, by SEEK_DATA and SEEK_HOLE",
    ),
    rule(
        libc::SYS_fadvise64,
        "fadvise64",
        LANES,
        "engine: Advise, read-ahead, write-behind",
    ),
    rule(libc::SYS_fdatasync, "fdatasync", ALL, "engine: Flush; commit"),
    rule(
        libc::SYS_fstat,
        "fstat",
        ALL,
        "engine: a file's length; disk size for info",
    ),
    rule(
        libc::SYS_close,
        "close",
        ALL,
        "the gate's refusals; the end of the run",
    ),
    when(
        libc::SYS_fcntl,
        "fcntl(F_GETFD)",
        ALL,
        &[Check::Is(1, number(libc::F_GETFD))],
        "the standard library's debug builds, before close",
    ),
    // The gate. Landlock stands behind it: beneath these directories, reading alone.
    rule(
        libc::SYS_openat2,
        "openat2",
        Role::GATE,
        "gate: where a name leads, one component after the other",
    ),
    when(
        libc::SYS_openat,
        "openat(O_RDONLY)",
        Role::GATE,
        &[READ_ONLY],
        "gate: what a rule lets in; where a name leads, without openat2",
    ),
    rule(
        libc::SYS_readlinkat,
        "readlinkat",
        Role::GATE,
        "gate: the words of a symbolic link",
    ),
    rule(
        libc::SYS_statx,
        "statx",
        Role::GATE,
        "gate: mounts, times of birth",
    ),
    rule(
        libc::SYS_fgetxattr,
        "fgetxattr",
        Role::GATE,
        "gate: what this machine recorded of an image",
    ),
    when(
        libc::SYS_fcntl,
        "fcntl(F_OFD_SETLK)",
        LOCKING,
        &[Check::Is(1, number(libc::F_OFD_SETLK))],
        "gate, info: locks on what is read",
    ),
    when(
        libc::SYS_fcntl,
        "fcntl(F_OFD_GETLK)",
        LOCKING,
        &[Check::Is(1, number(libc::F_OFD_GETLK))],
        "gate, info: whose lock is in the way",
    ),
    // Completing targets. Landlock stands behind it: in the targets' directories alone.
    rule(
        libc::SYS_fsync,
        "fsync",
        CONTROL,
        "commit: the directory of a new name",
    ),
    rule(
        libc::SYS_linkat,
        "linkat",
        CONTROL,
        "commit: a new target gets its name",
    ),
    rule(
        libc::SYS_renameat2,
        "renameat2",
        CONTROL,
        "commit, where no unnamed file can be made or a file is replaced",
    ),
    rule(
        libc::SYS_unlinkat,
        "unlinkat",
        CONTROL,
        "abort: a hidden target goes",
    ),
    rule(
        libc::SYS_newfstatat,
        "newfstatat",
        LOCKING,
        "abort: whether the name is still ours; gate: whether a directory is / or /dev",
    ),
    rule(
        libc::SYS_fsetxattr,
        "fsetxattr",
        CONTROL,
        "commit, abort: records of images that this machine makes",
    ),
    // Running the guest.
    when(
        libc::SYS_ioctl,
        "ioctl(KVM_RUN)",
        Role::KVM_LANE,
        &[Check::Is(1, KVM_RUN)],
        "sandbox: entering the virtual machine",
    ),
    when(
        libc::SYS_tgkill,
        "tgkill",
        ALL,
        &[Check::OwnProcess(0)],
        "sandbox: interrupting a lane; abort of the standard library",
    ),
    when(
        libc::SYS_pidfd_send_signal,
        "pidfd_send_signal",
        ALL,
        &[Check::Is(1, number(libc::SIGKILL))],
        "sandbox: ending the confined process",
    ),
    when(
        libc::SYS_kill,
        "kill",
        ALL,
        &[Check::Child(0), Check::Is(1, number(libc::SIGKILL))],
        "sandbox: ending the confined process, where that is not allowed",
    ),
    rule(
        libc::SYS_waitid,
        "waitid",
        ALL,
        "sandbox: how the confined process ended",
    ),
    rule(
        libc::SYS_wait4,
        "wait4",
        ALL,
        "sandbox: how the confined process ended",
    ),
    rule(
        libc::SYS_timer_delete,
        "timer_delete",
        CONTROL,
        "sandbox: the clock of --timeout, when the guest has ended",
    ),
    // Waiting.
    rule(
        libc::SYS_futex,
        "futex",
        ALL,
        "locks; the doorbell; Wait and Wake",
    ),
    rule(libc::SYS_sched_yield, "sched_yield", ALL, "spinning before sleep"),
    rule(
        libc::SYS_clock_gettime,
        "clock_gettime",
        ALL,
        "deadlines, where the vDSO has no clock",
    ),
    rule(
        libc::SYS_clock_nanosleep,
        "clock_nanosleep",
        ALL,
        "rate limits, timeouts",
    ),
    rule(
        libc::SYS_restart_syscall,
        "restart_syscall",
        ALL,
        "the kernel, after a stop signal",
    ),
    rule(
        libc::SYS_poll,
        "poll",
        ALL,
        "sandbox: the confined process's end; engine: Receive, Send",
    ),
    rule(
        libc::SYS_ppoll,
        "ppoll",
        ALL,
        "sandbox: the confined process's end; engine: Receive, Send",
    ),
    // Signals.
    rule(
        libc::SYS_rt_sigreturn,
        "rt_sigreturn",
        ALL,
        "the kernel, after a handler",
    ),
    rule(
        libc::SYS_rt_sigprocmask,
        "rt_sigprocmask",
        ALL,
        "the C library, at the end of threads and in raise",
    ),
    rule(
        libc::SYS_sigaltstack,
        "sigaltstack",
        ALL,
        "the standard library, at the end of threads",
    ),
    rule(
        libc::SYS_rt_sigaction,
        "rt_sigaction",
        CONTROL,
        "dying by the signal that interrupted us",
    ),
    rule(
        libc::SYS_rt_sigtimedwait,
        "rt_sigtimedwait",
        CONTROL,
        "waiting for a signal",
    ),
    when(
        libc::SYS_kill,
        "kill",
        CONTROL,
        &[Check::OwnProcess(0)],
        "dying by the signal that interrupted us",
    ),
    rule(libc::SYS_getpid, "getpid", ALL, "raise; interrupting a lane"),
    rule(
        libc::SYS_gettid,
        "gettid",
        ALL,
        "raise; a lane's thread says who it is",
    ),
    // Words.
    rule(libc::SYS_write, "write", ALL, "stdout, stderr; engine: Send"),
    rule(libc::SYS_writev, "writev", ALL, "stdout, stderr"),
    // Memory. Never executable, never of a file.
    rule(libc::SYS_brk, "brk", ALL, "malloc"),
    when(
        libc::SYS_mmap,
        "mmap",
        ALL,
        &[NOT_EXECUTABLE, ANONYMOUS],
        "malloc",
    ),
    when(libc::SYS_mprotect, "mprotect", ALL, &[NOT_EXECUTABLE], "malloc"),
    rule(
        libc::SYS_munmap,
        "munmap",
        ALL,
        "malloc; the end of threads and of guest memory",
    ),
    rule(libc::SYS_mremap, "mremap", ALL, "realloc"),
    rule(
        libc::SYS_madvise,
        "madvise",
        ALL,
        "malloc; the C library, at the end of threads",
    ),
    rule(libc::SYS_getrandom, "getrandom", ALL, "keys of hash tables"),
    // The end.
    rule(libc::SYS_exit, "exit", ALL, "the end of a thread"),
    rule(libc::SYS_exit_group, "exit_group", ALL, "the end"),
];

const ALL: Role = Role::ALL;
const LANES: Role = Role::LANES;
const CONTROL: Role = Role::CONTROL;
const LOCKING: Role = Role::GATE.and(Role::CONTROL);

/// Nothing is made, changed or opened for writing.
const READ_ONLY: Check = Check::Bits {
    argument: 2,
    mask: number(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND),
    value: number(libc::O_RDONLY),
};

const NOT_EXECUTABLE: Check = Check::Bits {
    argument: 2,
    mask: number(libc::PROT_EXEC),
    value: 0,
};

const ANONYMOUS: Check = Check::Bits {
    argument: 3,
    mask: number(libc::MAP_ANONYMOUS),
    value: number(libc::MAP_ANONYMOUS),
};

const fn rule(call: c_long, name: &'static str, roles: Role, caller: &'static str) -> Rule {
    when(call, name, roles, &[], caller)
}

const fn when(
    call: c_long,
    name: &'static str,
    roles: Role,
    when: &'static [Check],
    caller: &'static str,
) -> Rule {
    Rule {
        call,
        name,
        roles,
        when,
        caller,
    }
}

/// A constant of C's as the kernel compares it.
const fn number(value: c_int) -> u32 {
    value.cast_unsigned()
}
