//! Power cuts in the middle of a verb.

use instar_abi::job::Verb;
use instar_abi::{Job, Report, Slot};
use instar_testkit::{Content, Native, State, Torn};

use crate::bench::{Bench, assert_done, run};

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 60;

/// Runs the job that `job` makes of images; after a power cut at any moment the disk that is seen through the first of `files` is
/// `disk`, and that image is sound but for leaks. Gives how many states were looked at.
pub(crate) fn survives(
    bench: &Bench,
    what: &str,
    files: &[&str],
    disk: &[u8],
    job: &dyn Fn(&Bench, &Native) -> Job,
) -> usize {
    let before: Vec<Content> = files.iter().map(|name| bench.bytes(name).into()).collect();
    let torn = Torn::default();
    let job = job(bench, &torn.native);
    // Slots are given in the order of names.
    let slots: Vec<Slot> = (0..files.len()).map(|number| Slot(number as u32)).collect();
    assert_done(&run(&torn, &torn.native, &job), what);
    let after: Vec<Vec<u8>> = files.iter().map(|name| bench.bytes(name)).collect();
    let state: State = slots.iter().copied().zip(before).collect();
    let mut number = 0;
    let states = torn.states(&state, &mut |state, moment| {
        number += 1;
        for (slot, name) in slots.iter().zip(files) {
            state[slot].put(&bench.path(name));
        }
        let seen = seen(bench, files[0]);
        match seen {
            Ok(seen) if seen == disk => {}
            Ok(seen) => {
                let wrong = seen.iter().zip(disk).position(|(a, b)| a != b);
                panic!(
                    "{what}, {moment}: another disk, from byte {wrong:?} on, of {} bytes",
                    seen.len()
                );
            }
            Err(report) => panic!("{what}, {moment}: {report:?}"),
        }
        if number % SAMPLE == 0 {
            judge(bench, &format!("{what}, {moment}"), files, disk);
        }
    });
    for (name, bytes) in files.iter().zip(&after) {
        assert!(
            &bench.bytes(name) == bytes,
            "{what}: the last state is what was written"
        );
    }
    states
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
