//! What our own process could do if it were taken over, tried in a process that is confined as for a run.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use instar_jail::{Confinement, Role, lock_process, thread_start};
use instar_sandbox::Held;
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior, test_kill_process};

/// Something that a confined process cannot do.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// What programs call it.
    pub name: &'static str,
    /// What it is, for people.
    pub words: &'static str,
    /// Only Landlock stands in its way.
    pub needs_landlock: bool,
    act: fn(&Sight<'_>) -> io::Result<()>,
}

/// What is in its sight: a file that it has open, and one that it has not.
struct Sight<'a> {
    open: File,
    elsewhere: &'a Path,
}

/// Every act. The first is the one that is allowed.
pub const OWN: &[Own] = &[
    own("allowed", "read a file that is open, which is allowed", |sight| {
        sight.open.read_exact_at(&mut [0; 1], 0)
    }),
    Own {
        needs_landlock: true,
        ..own("open", "open another file", |sight| {
            File::open(sight.elsewhere).map(drop)
        })
    },
    own("open-to-write", "open a file to write to it", |sight| {
        File::options().write(true).open(sight.elsewhere).map(drop)
    }),
    own("create", "make a file", |sight| {
        File::create_new(sight.elsewhere.with_extension("new")).map(drop)
    }),
    Own {
        needs_landlock: true,
        ..own("remove", "remove another file", |sight| {
            unlinkat(CWD, sight.elsewhere, AtFlags::empty()).map_err(io::Error::from)
        })
    },
    own("make-directory", "make a directory", |sight| {
        fs::create_dir(sight.elsewhere.with_extension("new"))
    }),
    own("change-mode", "change who may read a file", |sight| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(sight.elsewhere, fs::Permissions::from_mode(0o777))
    }),
    own("socket", "open a socket", |_| {
        std::net::UdpSocket::bind(("127.0.0.1", 0)).map(drop)
    }),
    own("run", "run another program", |_| {
        std::process::Command::new("/bin/true").spawn().map(drop)
    }),
    own("thread", "start a thread", |_| {
        std::thread::Builder::new().spawn(|| ()).map(drop)
    }),
    own("signal", "send a signal to another process", |_| {
        test_kill_process(Pid::INIT).map_err(io::Error::from)
    }),
    own("be-dumpable", "let other processes look into it", |_| {
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(io::Error::from)
    }),
];

const fn own(name: &'static str, words: &'static str, act: fn(&Sight<'_>) -> io::Result<()>) -> Own {
    Own {
        name,
        words,
        needs_landlock: false,
        act,
    }
}

/// Confines this process as for a run of both sandboxes that also completes a target, and tries it: a process that comes back from the
/// attempt says how. One that does not has been ended by the kernel.
///
/// # Errors
/// The system's: the process could not be confined, and nothing was tried.
pub fn confined(own: &Own, directory: &Path) -> io::Result<Held> {
    let elsewhere = directory.join("elsewhere");
    fs::write(&elsewhere, b"nobody may read this")?;
    let sight = Sight {
        open: File::open(&elsewhere)?,
        elsewhere: &elsewhere,
    };
    let targets = directory.join("targets");
    fs::create_dir_all(&targets)?;
    let targets = File::open(targets)?;
    let confinement = Confinement {
        names: vec![targets.as_fd()],
        ..Confinement::default()
    };
    lock_process(&confinement)?;
    thread_start(Role::CONTROL.and(Role::KVM_LANE).and(Role::GATE))?;
    Ok(match (own.act)(&sight) {
        Ok(()) => Held::Done,
        Err(error) => Held::Refused(instar_engine::said(&error)),
    })
}
