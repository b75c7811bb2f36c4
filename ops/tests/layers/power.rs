//! Power cuts in the middle of a verb.

use instar_abi::job::Verb;
use instar_abi::{Job, NamedSecret, Report, Slot};
use instar_testkit::{Content, Native, State, Torn};

use crate::bench::{Bench, assert_done, run, run_with};

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 60;

/// A job whose power is cut at every moment.
pub(crate) struct Cut<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) what: &'a str,
    /// What the job changes, in the order of its slots.
    pub(crate) files: &'a [&'a str],
    pub(crate) secrets: Vec<NamedSecret>,
    /// States that qemu-img judges: one in so many.
    pub(crate) sample: usize,
}

impl Cut<'_> {
    /// Carries out what `job` makes, and has `look` look at what is on the disk after each cut: it is told the moment, and whether
    /// qemu-img is to judge. Gives how many states there were.
    pub(crate) fn everywhere(self, job: &dyn Fn(&Native) -> Job, look: &mut dyn FnMut(&str, bool)) -> usize {
        let Self {
            bench, what, files, ..
        } = self;
        let before: Vec<Content> = files.iter().map(|name| bench.bytes(name).into()).collect();
        let torn = Torn::default();
        let job = job(&torn.native);
        let slots: Vec<Slot> = (0..files.len()).map(|number| Slot(number as u32)).collect();
        assert_done(&run_with(&torn, &torn.native, &job, self.secrets), what);
        let after: Vec<Vec<u8>> = files.iter().map(|name| bench.bytes(name)).collect();
        let state: State = slots.iter().copied().zip(before).collect();
        let mut number = 0;
        let states = torn.states(&state, &mut |state, moment| {
            number += 1;
            for (slot, name) in slots.iter().zip(files) {
                state[slot].put(&bench.path(name));
            }
            look(&format!("{what}, {moment}"), number % self.sample == 0);
        });
        for (name, bytes) in files.iter().zip(&after) {
            assert!(
                &bench.bytes(name) == bytes,
                "{what}: the last state is what was written"
            );
        }
        states
    }
}

/// Runs the job that `job` makes of images; after a power cut at any moment the disk that is seen through the first of `files` is
/// `disk`, and that image is sound but for leaks. Gives how many states were looked at.
pub(crate) fn survives(
    bench: &Bench,
    what: &str,
    files: &[&str],
    disk: &[u8],
    job: &dyn Fn(&Bench, &Native) -> Job,
) -> usize {
    let cut = Cut {
        bench,
        what,
        files,
        secrets: Vec::new(),
        sample: SAMPLE,
    };
    cut.everywhere(&|native| job(bench, native), &mut |moment, is_judged| {
        match seen(bench, files[0]) {
            Ok(seen) if seen == disk => {}
            Ok(seen) => {
                let wrong = seen.iter().zip(disk).position(|(a, b)| a != b);
                panic!(
                    "{moment}: another disk, from byte {wrong:?} on, of {} bytes",
                    seen.len()
                );
            }
            Err(report) => panic!("{moment}: {report:?}"),
        }
        if is_judged {
            judge(bench, moment, files, disk);
        }
    })
}

/// qemu-img sees the same, finds nothing wrong but leaks, and repairs these.
fn judge(bench: &Bench, what: &str, files: &[&str], disk: &[u8]) {
    let top = files[0];
    for name in files {
        let Some(format) = checked(&bench.bytes(name)) else {
            continue;
        };
        let code = bench
            .try_qemu_img(&format!("check -f {format} {name}"))
            .status
            .code();
        assert!(
            matches!(code, Some(0 | 3)),
            "{what}: qemu-img check of {name} gives {code:?}"
        );
        // Of QED, qemu-img repairs no leaks.
        if code == Some(3) && format == "qcow2" {
            let output = bench.try_qemu_img(&format!("check -f qcow2 -r leaks {name}"));
            assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
        }
    }
    let bytes = bench.bytes(top);
    let unchecked = if bytes.starts_with(VERSION_1) {
        "qcow"
    } else {
        "raw"
    };
    let format = checked(&bytes).unwrap_or(unchecked);
    assert!(
        bench.disk(format, top) == disk,
        "{what}: qemu-img sees another disk"
    );
}

/// The format of an image in which clusters may leak.
fn checked(bytes: &[u8]) -> Option<&'static str> {
    let known = [(&b"QFI\xfb"[..], "qcow2"), (b"QED\0", "qed")];
    known
        .into_iter()
        .filter(|_| !bytes.starts_with(VERSION_1))
        .find_map(|(magic, format)| bytes.starts_with(magic).then_some(format))
}

/// The disk that we see in `image`.
fn seen(bench: &Bench, image: &str) -> Result<Vec<u8>, Report> {
    let native = Native::new(1);
    let facts = [
        native.source(bench.path(image)),
        native.target(bench.path("seen.raw")),
    ];
    let conversion = crate::bench::conversion(&facts);
    let job = crate::bench::job(Verb::Convert(conversion), facts.to_vec());
    let done = run(&native, &native, &job);
    let bytes = bench.bytes("seen.raw");
    std::fs::remove_file(bench.path("seen.raw")).unwrap();
    match done {
        Report::Done(_) => Ok(bytes),
        failed => Err(failed),
    }
}

/// The start of a qcow image of version 1, in which nothing can be checked.
const VERSION_1: &[u8] = b"QFI\xfb\0\0\0\x01";
