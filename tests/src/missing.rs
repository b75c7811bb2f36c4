//! Kernels, filesystems and containers that lack something, as seccomp filters: which calls fail, and how.
//!
//! The helper program `without` puts itself under such a filter and then becomes the program under test.

use crate::missing::When::{Always, Bits, Not};

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number on x86-64.
    pub call: u32,
    pub when: When,
    /// With this error.
    pub errno: u16,
}

/// A condition on the lower half of an argument.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Always,
    /// Of the argument at this place, the bits of the mask have this value.
    Bits(u8, u32, u32),
    /// The argument at this place is another.
    Not(u8, u32),
}

/// Something that can be missing.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// What the helper calls it.
    pub name: &'static str,
    /// What fails then.
    pub rules: &'static [Rule],
}

const EPERM: u16 = 1;
const EIO: u16 = 5;
const EAGAIN: u16 = 11;
const EINVAL: u16 = 22;
const ENOTTY: u16 = 25;
const ENOLCK: u16 = 37;
const ENOSYS: u16 = 38;
const EOPNOTSUPP: u16 = 95;

const LSEEK: u32 = 8;
const MMAP: u32 = 9;
const MPROTECT: u32 = 10;
const IOCTL: u32 = 16;
const CLONE: u32 = 56;
const FCNTL: u32 = 72;
const FSYNC: u32 = 74;
const RENAME: u32 = 82;
const LINK: u32 = 86;
const UNLINK: u32 = 87;
const PRCTL: u32 = 157;
const FLISTXATTR: u32 = 196;
const TIMER_CREATE: u32 = 222;
const FADVISE: u32 = 221;
const WAITID: u32 = 247;
const OPENAT: u32 = 257;
const UNLINKAT: u32 = 263;
const RENAMEAT: u32 = 264;
const LINKAT: u32 = 265;
const SYNC_FILE_RANGE: u32 = 277;
const FALLOCATE: u32 = 285;
const RENAMEAT2: u32 = 316;
const SECCOMP: u32 = 317;
const GETRANDOM: u32 = 318;
const COPY_FILE_RANGE: u32 = 326;
const MEMFD_CREATE: u32 = 319;
const USERFAULTFD: u32 = 323;
const PREADV2: u32 = 327;
const STATX: u32 = 332;
const PIDFD_SEND_SIGNAL: u32 = 424;
const IO_URING_SETUP: u32 = 425;
const PIDFD_OPEN: u32 = 434;
const CLONE3: u32 = 435;
const CLOSE_RANGE: u32 = 436;
const OPENAT2: u32 = 437;
const LANDLOCK: [u32; 3] = [444, 445, 446];
const MEMFD_SECRET: u32 = 447;

const fn always(call: u32, errno: u16) -> Rule {
    Rule {
        call,
        when: Always,
        errno,
    }
}

const fn bits(call: u32, argument: u8, mask: u32, value: u32, errno: u16) -> Rule {
    Rule {
        call,
        when: Bits(argument, mask, value),
        errno,
    }
}

const fn is(call: u32, argument: u8, value: u32, errno: u16) -> Rule {
    bits(call, argument, u32::MAX, value, errno)
}

const fn feature(name: &'static str, rules: &'static [Rule]) -> Feature {
    Feature { name, rules }
}

/// What can be missing, one by one.
pub const FEATURES: &[Feature] = &[
    feature("unnamed-files", &[bits(OPENAT, 2, 0x41_0000, 0x41_0000, EOPNOTSUPP)]),
    feature("links", &[always(LINKAT, EPERM), always(LINK, EPERM)]),
    feature(
        "exclusive-rename",
        &[Rule {
            call: RENAMEAT2,
            when: Not(4, 0),
            errno: EINVAL,
        }],
    ),
    feature("rename", &[always(RENAME, EPERM), always(RENAMEAT, EPERM), always(RENAMEAT2, EPERM)]),
    feature("unlink", &[always(UNLINK, EPERM), always(UNLINKAT, EPERM)]),
    feature(
        "locks",
        &[
            is(FCNTL, 1, 5, ENOLCK),
            is(FCNTL, 1, 6, ENOLCK),
            is(FCNTL, 1, 7, ENOLCK),
            is(FCNTL, 1, 36, ENOLCK),
            is(FCNTL, 1, 37, ENOLCK),
            is(FCNTL, 1, 38, ENOLCK),
        ],
    ),
    feature("leases", &[is(FCNTL, 1, 1024, EINVAL)]),
    feature("data-seek", &[is(LSEEK, 2, 3, EINVAL), is(LSEEK, 2, 4, EINVAL)]),
    feature("data-seek-without-errors", &[is(LSEEK, 2, 3, EIO), is(LSEEK, 2, 4, EIO)]),
    feature("fallocate", &[always(FALLOCATE, EOPNOTSUPP)]),
    feature("plain-fallocate", &[is(FALLOCATE, 1, 0, EOPNOTSUPP)]),
    feature("punching", &[bits(FALLOCATE, 1, 2, 2, EOPNOTSUPP)]),
    feature("zeroing", &[bits(FALLOCATE, 1, 16, 16, EOPNOTSUPP)]),
    feature("copy-in-kernel", &[always(COPY_FILE_RANGE, EOPNOTSUPP)]),
    feature("copy-in-kernel-call", &[always(COPY_FILE_RANGE, ENOSYS)]),
    feature("reflinks", &[is(IOCTL, 1, 0x4020_940D, EOPNOTSUPP)]),
    feature("direct-io", &[bits(OPENAT, 2, 0x4000, 0x4000, EINVAL)]),
    feature(
        "file-flags",
        &[
            is(IOCTL, 1, 0x8008_6601, ENOTTY),
            is(IOCTL, 1, 0x4008_6602, ENOTTY),
            is(IOCTL, 1, 0x801C_581F, ENOTTY),
            is(IOCTL, 1, 0x401C_5820, ENOTTY),
        ],
    ),
    feature("attributes", &[always(FLISTXATTR, EOPNOTSUPP)]),
    feature("directory-flush", &[always(FSYNC, EINVAL)]),
    feature("statx", &[always(STATX, ENOSYS)]),
    feature("cache-probe", &[always(PREADV2, EOPNOTSUPP)]),
    feature("write-behind", &[always(SYNC_FILE_RANGE, ENOSYS)]),
    feature("read-ahead", &[always(FADVISE, ENOSYS)]),
    feature("openat2", &[always(OPENAT2, ENOSYS)]),
    feature("openat2-allowed", &[always(OPENAT2, EPERM)]),
    feature("close-range", &[always(CLOSE_RANGE, ENOSYS)]),
    feature("close-range-allowed", &[always(CLOSE_RANGE, EPERM)]),
    feature("pidfd-signals", &[always(PIDFD_SEND_SIGNAL, EPERM), always(PIDFD_OPEN, EPERM)]),
    feature(
        "pidfds",
        &[is(WAITID, 0, 3, EINVAL), always(PIDFD_SEND_SIGNAL, ENOSYS), always(PIDFD_OPEN, ENOSYS)],
    ),
    feature("clone3", &[always(CLONE3, ENOSYS)]),
    feature("clone3-allowed", &[always(CLONE3, EPERM)]),
    feature("threads", &[always(CLONE3, ENOSYS), bits(CLONE, 0, 0x1_0000, 0x1_0000, EAGAIN)]),
    feature("processes", &[always(CLONE3, ENOSYS), bits(CLONE, 0, 0x1_0000, 0, EAGAIN)]),
    feature("timers", &[always(TIMER_CREATE, EAGAIN)]),
    feature("random", &[always(GETRANDOM, ENOSYS)]),
    feature(
        "landlock",
        &[always(LANDLOCK[0], ENOSYS), always(LANDLOCK[1], ENOSYS), always(LANDLOCK[2], ENOSYS)],
    ),
    // What a container's profile takes away, and instar never asks for.
    feature(
        "memfd-uring-userfault",
        &[
            always(MEMFD_CREATE, EPERM),
            always(IO_URING_SETUP, EPERM),
            always(USERFAULTFD, EPERM),
            always(MEMFD_SECRET, EPERM),
        ],
    ),
    feature("seccomp", &[always(SECCOMP, ENOSYS), is(PRCTL, 0, 22, EINVAL)]),
    feature("executable-memory", &[bits(MMAP, 2, 6, 6, EPERM), bits(MPROTECT, 2, 4, 4, EPERM)]),
    feature("kvm-ioctls", &[bits(IOCTL, 1, 0xFF00, 0xAE00, EPERM)]),
];

/// Real places: a name, and what is missing there.
pub const PLACES: &[(&str, &[&str])] = &[
    (
        "NFS without lockd",
        &[
            "unnamed-files",
            "exclusive-rename",
            "locks",
            "leases",
            "data-seek",
            "fallocate",
            "copy-in-kernel",
            "reflinks",
            "file-flags",
            "attributes",
        ],
    ),
    (
        "VirtualBox shared folder",
        &[
            "unnamed-files",
            "links",
            "exclusive-rename",
            "locks",
            "leases",
            "data-seek",
            "fallocate",
            "copy-in-kernel",
            "reflinks",
            "file-flags",
            "attributes",
            "direct-io",
            "directory-flush",
        ],
    ),
    (
        "9p",
        &[
            "unnamed-files",
            "exclusive-rename",
            "locks",
            "leases",
            "data-seek",
            "fallocate",
            "copy-in-kernel",
            "reflinks",
            "file-flags",
        ],
    ),
    (
        "gcsfuse",
        &[
            "unnamed-files",
            "links",
            "exclusive-rename",
            "locks",
            "leases",
            "data-seek-without-errors",
            "fallocate",
            "copy-in-kernel",
            "reflinks",
            "file-flags",
            "attributes",
        ],
    ),
    (
        "exfat-fuse",
        &[
            "unnamed-files",
            "links",
            "exclusive-rename",
            "leases",
            "data-seek",
            "fallocate",
            "copy-in-kernel",
            "reflinks",
            "file-flags",
            "attributes",
        ],
    ),
    ("RHEL 8", &["openat2", "close-range", "pidfds", "clone3", "landlock"]),
    ("Ubuntu 20.04", &["openat2", "close-range", "landlock"]),
    (
        "Docker 20.10",
        &[
            "openat2-allowed",
            "close-range-allowed",
            "clone3-allowed",
            "landlock",
            "pidfd-signals",
            "memfd-uring-userfault",
        ],
    ),
    ("systemd unit with every restriction", &["openat2", "clone3", "executable-memory", "kvm-ioctls"]),
];

/// The features of a list with commas, or the unknown name in it.
///
/// # Errors
/// The unknown name.
pub fn features(list: &str) -> Result<Vec<&'static Feature>, String> {
    list.split(',')
        .map(|name| {
            let known = FEATURES.iter().find(|feature| feature.name == name);
            known.ok_or_else(|| name.to_owned())
        })
        .collect()
}

/// What the filter answers to a call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the error.
    Error,
    /// By killing the process: who lives has not called.
    Kill,
}

/// One instruction of the kernel's packet filters: code, jumps if true and false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// The filter, as the kernel takes it.
#[must_use]
pub fn program(features: &[&Feature], answer: Answer) -> Vec<Instruction> {
    const LOAD: u16 = 0x20;
    const AND: u16 = 0x54;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let mut program = vec![(LOAD, 0, 0, 0)];
    for rule in features.iter().flat_map(|feature| feature.rules) {
        let fails = match answer {
            Answer::Error => (RETURN, 0, 0, 0x0005_0000 | u32::from(rule.errno)),
            Answer::Kill => (RETURN, 0, 0, 0x8000_0000),
        };
        let argument = |place: u8| (LOAD, 0, 0, 16 + 8 * u32::from(place));
        match rule.when {
            Always => program.extend([(IF_EQUAL, 0, 1, rule.call), fails]),
            Bits(place, mask, value) => program.extend([
                (IF_EQUAL, 0, 5, rule.call),
                argument(place),
                (AND, 0, 0, mask),
                (IF_EQUAL, 0, 1, value),
                fails,
                (LOAD, 0, 0, 0),
            ]),
            Not(place, value) => program.extend([
                (IF_EQUAL, 0, 4, rule.call),
                argument(place),
                (IF_EQUAL, 1, 0, value),
                fails,
                (LOAD, 0, 0, 0),
            ]),
        }
    }
    program.push((RETURN, 0, 0, 0x7FFF_0000));
    program
}
