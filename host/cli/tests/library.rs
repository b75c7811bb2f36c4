//! The Rust library, beside qemu-img: its answers, what it writes, what it refuses.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "tests: a failure here is a test failure"
)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use instar_abi::Slot;
use instar_abi::job::{Source, Verb};
use instar_abi::worker::{Frame, Order, PROTOCOL};
use instar_client::{
    Algorithm, Comparison, Conversion, Error, Extent, Format, Image, Instar, Kind, NewImage, Policy,
    Progress, Qcow2Options, Sandbox, Target,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{Room, reference_is_here};

const PROGRAM: &str = env!("CARGO_BIN_EXE_instar");
const DISK: u64 = 4 << 20;

/// In each sandbox that there is, in a room with a disk.
fn everywhere(test: fn(&Instar, &Room)) {
    if !reference_is_here() {
        return;
    }
    let kvm = Path::new("/dev/kvm").exists();
    for sandbox in [Some(Sandbox::Process), kvm.then_some(Sandbox::Kvm)]
        .into_iter()
        .flatten()
    {
        let room = Room::new();
        let mut disk = vec![0; DISK as usize];
        disk[..300_000].fill(7);
        disk[3 << 20..][..5000].fill(8);
        room.write("disk.raw", &disk);
        room.reference(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
        let mut policy = Policy::new();
        policy.sandbox = Some(sandbox);
        test(&Instar::at(PROGRAM).with(policy), &room);
    }
}

fn json(room: &Room, words: &[&str]) -> Value {
    let output = room.theirs(words);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn same_disk(room: &Room, format: &str, name: &str) {
    room.reference(&["compare", "-f", format, "-F", "raw", name, "disk.raw"]);
}

fn open(room: &Room, name: &str) -> Image {
    Image::open(room.path(name)).unwrap()
}

fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn extents(instar: &Instar, image: &Image) -> Result<Vec<Extent>, Error> {
    let mut found = Vec::new();
    instar.map(image, |extent| {
        found.push(extent);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[test]
fn answers_are_those_of_the_reference() {
    everywhere(|instar, room| {
        room.reference(&["snapshot", "-c", "then", "disk.qcow2"]);
        let image = open(room, "disk.qcow2");
        let (found, said) = (
            instar.info(&image).unwrap(),
            json(room, &["info", "--output=json", "disk.qcow2"]),
        );
        assert_eq!(found.format, Format::Qcow2);
        assert_eq!(said["virtual-size"], found.virtual_size);
        assert_eq!(said["actual-size"], found.actual_size.unwrap());
        assert_eq!(said["cluster-size"], found.cluster_size.unwrap());
        assert_eq!(
            said["snapshots"][0]["name"],
            str::from_utf8(&found.snapshots[0].name).unwrap()
        );
        assert_eq!(
            said["format-specific"]["data"]["refcount-bits"],
            found.qcow2.unwrap().refcount_bits
        );

        let found = extents(instar, &image).unwrap();
        let said = json(room, &["map", "--output=json", "disk.qcow2"]);
        assert_eq!(said.as_array().unwrap().len(), found.len());
        for (extent, said) in found.iter().zip(said.as_array().unwrap()) {
            assert_eq!(
                (&said["start"], &said["length"], &said["data"]),
                (&extent.start.into(), &extent.length.into(), &extent.data.into())
            );
            assert_eq!(said["offset"].as_u64(), extent.offset);
        }

        let found = instar.check(&image).unwrap();
        let said = json(room, &["check", "--output=json", "disk.qcow2"]);
        assert!(found.is_sound() && found.findings.is_empty());
        assert_eq!(said["allocated-clusters"], found.allocated_clusters);
        assert_eq!(said["image-end-offset"], found.image_end_offset);

        let new = NewImage::qcow2();
        for (found, words) in [
            (instar.measure(&image, &new), ["disk.qcow2"].as_slice()),
            (instar.measure_empty(1 << 30, &new), &["--size", "1G"]),
        ] {
            let found = found.unwrap();
            let said = json(
                room,
                &[&["measure", "--output=json", "-O", "qcow2"], words].concat(),
            );
            assert_eq!(said["required"], found.required);
            assert_eq!(said["fully-allocated"], found.fully_allocated);
        }
    });
}

#[test]
fn a_broken_image_is_an_answer_of_check_and_else_an_error() {
    everywhere(|instar, room| {
        let mut bytes = fs::read(room.path("disk.qcow2")).unwrap();
        let at = |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let block = at(&bytes, at(&bytes, 48));
        bytes[block..block + 2].fill(0);
        room.write("counted.qcow2", &bytes);
        let found = instar.check(&open(room, "counted.qcow2")).unwrap();
        let said = json(room, &["check", "--output=json", "counted.qcow2"]);
        assert_eq!(said["corruptions"], found.corruptions);
        assert!(!found.is_sound() && found.findings.iter().any(|line| line.contains("refcount=0")));

        bytes[23] = 63;
        room.write("broken.qcow2", &bytes);
        let broken = open(room, "broken.qcow2");
        let target = Target::create(room.path("out"), NewImage::raw()).unwrap();
        let errors = [
            instar.info(&broken).unwrap_err(),
            instar.check(&broken).unwrap_err(),
            extents(instar, &broken).unwrap_err(),
            instar.convert(&broken, target, on).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), Kind::Image, "{error}");
            assert!(error.to_string().contains("cluster size"), "{error}");
        }
        assert!(!room.path("out").exists());
    });
}

#[test]
fn disks_are_compared_and_hashed() {
    everywhere(|instar, room| {
        let (left, right) = (open(room, "disk.raw"), open(room, "disk.qcow2"));
        let mut steps = Vec::new();
        let found = instar.compare(&left, &right, false, |step| {
            steps.push(step);
            ControlFlow::Continue(())
        });
        assert_eq!(found.unwrap(), Comparison::Same);
        assert!(
            steps.last().is_some_and(|step| step.done == step.total),
            "{steps:?}"
        );
        drop(left);
        let mut file = OpenOptions::new()
            .append(true)
            .open(room.path("disk.raw"))
            .unwrap();
        file.write_all(&[0; 4096]).unwrap();
        let longer = open(room, "disk.raw").format(Format::Raw);
        assert_eq!(
            instar.compare(&longer, &right, false, on).unwrap(),
            Comparison::SameButLonger
        );
        assert_eq!(
            instar.compare(&longer, &right, true, on).unwrap(),
            Comparison::Sizes
        );
        file.write_all(&[1; 4096]).unwrap();
        let longer = open(room, "disk.raw").format(Format::Raw);
        let found = instar.compare(&longer, &right, false, on).unwrap();
        assert_eq!(found, Comparison::Content(DISK + 4096));

        // docs/verbs/checksum.md: leaves, one row of them, the root.
        let disk = fs::read(room.path("disk.raw")).unwrap();
        let hash = |prefix: u8, parts: &[&[u8]]| {
            let mut state = Sha256::new().chain_update([prefix]);
            parts.iter().for_each(|part| state.update(part));
            state.finalize()
        };
        let leaves: Vec<_> = disk.chunks(65536).map(|leaf| hash(0, &[leaf])).collect();
        let row = hash(1, &[&leaves.concat()]);
        let wanted = hash(2, &[&(disk.len() as u64).to_le_bytes(), &row]);
        let found = instar.checksum(&longer, Algorithm::Sha256, on).unwrap();
        assert_eq!(found.digest[..], wanted[..]);
        assert!(found.to_string().starts_with("sha256-tree:"));
    });
}

#[test]
fn the_reference_reads_every_image_that_is_written() {
    everywhere(|instar, room| {
        let source = open(room, "disk.qcow2");
        let mut fine = Qcow2Options::default();
        (fine.cluster_size, fine.extended_l2) = (1 << 14, true);
        let fine = NewImage::qcow2_with(&fine).unwrap();
        for (format, new, compress) in [
            ("raw", NewImage::raw(), false),
            ("qcow2", NewImage::qcow2(), false),
            ("qcow2", NewImage::qcow2(), true),
            ("qcow2", fine, false),
            ("vdi", NewImage::vdi(), false),
            ("vmdk", NewImage::vmdk(), false),
            ("vmdk", NewImage::vmdk_stream_optimized(), true),
            ("vhdx", NewImage::vhdx(false), false),
            ("vhdx", NewImage::vhdx(true), false),
            ("vpc", NewImage::vpc(false), false),
            ("vpc", NewImage::vpc(true), false),
            ("qed", NewImage::qed(), false),
            ("qcow", NewImage::qcow(), false),
            ("parallels", NewImage::parallels(), false),
        ] {
            let what = Conversion::new([&source]).checksum(Algorithm::Blake3);
            let what = if compress { what.compress() } else { what };
            let target = Target::create(room.path("new"), new.clone()).unwrap();
            let checksum = instar.convert(what, target, on).unwrap();
            // A VHD has as many whole cylinders as the disk needs, and they count.
            if format != "vpc" {
                let again = instar.checksum(&open(room, "disk.raw"), Algorithm::Blake3, on);
                assert_eq!(checksum.unwrap(), again.unwrap(), "{format}");
            }
            same_disk(room, format, "new");
            let empty = Target::create(room.path("empty"), new).unwrap();
            instar.create(empty, Some(DISK)).unwrap();
            let said = json(room, &["info", "--output=json", "-f", format, "empty"]);
            assert!(said["virtual-size"].as_u64().unwrap() >= DISK, "{format}: {said}");
        }
        let twice = Target::create(room.path("twice"), NewImage::raw()).unwrap();
        instar
            .convert(Conversion::new([&source, &source]), twice, on)
            .unwrap();
        let disk = fs::read(room.path("disk.raw")).unwrap();
        assert!(fs::read(room.path("twice")).unwrap() == disk.repeat(2));
    });
}

#[test]
fn a_layer_below_is_read_if_it_was_handed_over() {
    everywhere(|instar, room| {
        room.reference(&[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            "disk.qcow2",
            "-F",
            "qcow2",
            "top.qcow2",
        ]);
        let refused = extents(instar, &open(room, "top.qcow2")).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused, "{refused}");
        assert_eq!(
            instar
                .info(&open(room, "top.qcow2"))
                .unwrap()
                .backing
                .unwrap()
                .name,
            b"disk.qcow2"
        );
        let whole = open(room, "top.qcow2").above(open(room, "disk.qcow2"));
        let target = Target::create(room.path("new"), NewImage::raw()).unwrap();
        instar.convert(&whole, target, on).unwrap();
        same_disk(room, "raw", "new");
        let alone = extents(instar, &open(room, "top.qcow2").alone()).unwrap();
        assert!(
            alone.iter().all(|extent| extent.zero && !extent.data),
            "{alone:?}"
        );

        let mut options = Qcow2Options::default();
        options.backing = Some((b"disk.qcow2".to_vec(), "qcow2".to_owned()));
        let new = NewImage::qcow2_with(&options).unwrap();
        let below = || open(room, "disk.qcow2").format(Format::Qcow2);
        let layer = Target::create(room.path("layer"), new.clone()).unwrap();
        instar.create(layer.above(below()), None).unwrap();
        same_disk(room, "qcow2", "layer");
        let copy = Target::create(room.path("copy"), new).unwrap();
        let source = open(room, "disk.raw");
        instar.convert(&source, copy.above(below()), on).unwrap();
        same_disk(room, "qcow2", "copy");
        let theirs = "convert -f raw -O qcow2 -B disk.qcow2 -F qcow2 disk.raw theirs";
        room.reference(&theirs.split(' ').collect::<Vec<_>>());
        let held = |name| {
            let said = json(room, &["map", "--output=json", name]);
            let runs = said.as_array().unwrap().iter();
            let own = runs.filter(|run| run["depth"] == 0);
            own.map(|run| run["length"].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(held("copy"), held("theirs"));
    });
}

#[test]
fn files_need_no_name() {
    everywhere(|instar, room| {
        let source = File::open(room.path("disk.qcow2")).unwrap();
        let target = tempfile::tempfile_in(room.path(".")).unwrap();
        let kept = target.try_clone().unwrap();
        fs::remove_file(room.path("disk.qcow2")).unwrap();
        let source = Image::of(source, "what was disk.qcow2");
        let target = Target::of(target, "no name", NewImage::raw());
        instar.convert(&source, target, on).unwrap();
        let mut kept = kept;
        std::io::Seek::rewind(&mut kept).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut kept, &mut bytes).unwrap();
        assert!(bytes == fs::read(room.path("disk.raw")).unwrap());
    });
}

#[test]
fn files_that_were_opened_otherwise_are_refused() {
    everywhere(|instar, room| {
        let new = || room.path("new");
        let options = |change: fn(&mut OpenOptions) -> &mut OpenOptions| {
            change(OpenOptions::new().create(true)).open(new()).unwrap()
        };
        let source = open(room, "disk.qcow2");
        for file in [
            options(|options| options.read(true).append(true)),
            options(|options| options.write(true)),
            File::open(new()).unwrap(),
        ] {
            let target = Target::of(file, "new", NewImage::raw());
            let error = instar.convert(&source, target, on).unwrap_err();
            assert_eq!(error.kind(), Kind::System, "{error}");
            assert!(error.errno().is_some());
        }
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let socket = Image::of(File::from(OwnedFd::from(ours)), "socket");
        assert!(instar.info(&socket).is_err());
        let written = Image::of(options(|options| options.write(true)), "new");
        assert_eq!(instar.info(&written).unwrap_err().kind(), Kind::System);
        // The image that is read is not the one to write to, under whatever descriptor.
        let same = OpenOptions::new()
            .read(true)
            .write(true)
            .open(room.path("disk.qcow2"))
            .unwrap();
        let error = instar
            .convert(&source, Target::of(same, "same", NewImage::raw()), on)
            .unwrap_err();
        assert!([Kind::Arguments, Kind::Busy].contains(&error.kind()), "{error}");
    });
}

#[test]
fn a_call_that_is_broken_off_leaves_nothing() {
    everywhere(|instar, room| {
        let source = open(room, "disk.raw").format(Format::Raw);
        let before = fs::read_dir(room.path(".")).unwrap().count();
        let began = Instant::now();
        let slow = || Conversion::new([&source]).rate(1 << 19).sparse_size(0);
        let target = Target::create(room.path("new"), NewImage::raw()).unwrap();
        let error = instar
            .convert(slow(), target, |_| ControlFlow::Break(()))
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        let mut hurried = Policy::untrusted();
        hurried.timeout = Some(Duration::from_millis(300));
        let target = Target::create(room.path("new"), NewImage::raw()).unwrap();
        let hurried = instar.clone().with(hurried);
        let error = hurried.convert(slow(), target, on).unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut, "{error}");
        assert!(began.elapsed() < Duration::from_secs(120));
        assert_eq!(fs::read_dir(room.path(".")).unwrap().count(), before);
    });
}

#[test]
fn limits_and_options_are_kept() {
    everywhere(|instar, room| {
        let source = open(room, "disk.raw").format(Format::Raw);
        let mut small = Policy::new();
        small.max_output = Some(4096);
        let target = Target::create(room.path("new"), NewImage::raw()).unwrap();
        let limited = instar.clone().with(small);
        let error = limited.convert(&source, target, on).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        let target = Target::create(room.path("new"), NewImage::vdi()).unwrap();
        let error = instar
            .convert(Conversion::new([&source]).compress(), target, on)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Arguments, "{error}");
        let mut options = Qcow2Options::default();
        options.cluster_size = 3;
        assert_eq!(
            NewImage::qcow2_with(&options).unwrap_err().kind(),
            Kind::Arguments
        );
        let snapshot = open(room, "disk.qcow2").snapshot("none");
        assert_eq!(extents(instar, &snapshot).unwrap_err().kind(), Kind::Arguments);
        let mut wrong = Policy::new();
        wrong.max_chain = Some(0);
        let error = instar.clone().with(wrong).info(&source).unwrap_err();
        assert_eq!(error.kind(), Kind::Program, "{error}");
        assert!(error.to_string().contains("max-chain"), "{error}");
        let existing = Target::create(room.path("disk.qcow2"), NewImage::raw()).unwrap();
        instar.convert(&source, existing, on).unwrap();
        same_disk(room, "raw", "disk.qcow2");
    });
}

#[test]
fn another_program_is_no_worker() {
    let room = Room::new();
    room.write("disk.raw", &[7; 4096]);
    let image = open(&room, "disk.raw");
    for program in ["/bin/true", "/bin/false", "/nonexistent"] {
        let error = Instar::at(program).info(&image).unwrap_err();
        assert!(
            [Kind::Program, Kind::Interrupted].contains(&error.kind()),
            "{program}: {error}"
        );
    }
    let missing = Image::open(room.path("absent")).unwrap_err();
    assert_eq!((missing.kind(), missing.errno()), (Kind::System, Some(2)));
}

#[test]
fn a_worker_takes_no_order_that_it_does_not_understand() {
    for (bytes, said) in [
        (&[2, 0, 0, 0, 0, 0, 0, 0][..], "protocol 2"),
        (&[1, 0, 0, 0, 255, 255, 255, 255], "no order"),
        (&[1, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255], "no order"),
        (&[1, 0, 0, 0, 200, 0, 0, 0, 0], "no order"),
        (&[1, 0, 0], "no order"),
        (&[], "no order"),
    ] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let worker = Command::new(PROGRAM)
            .args(["worker", "--sandbox=process"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        ours.write_all(bytes).unwrap();
        drop(ours);
        let output = worker.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{bytes:?}: {errors}");
        assert!(errors.contains(said), "{bytes:?}: {errors}");
    }
    // Of slots in which nothing is, and of a verb that is not served.
    let source = Source::new(Slot(7), None);
    for (verb, said) in [
        (Verb::Safety(source.clone()), ""),
        (Verb::Snapshots(source), "a worker does not do that"),
    ] {
        let order = Order {
            verb,
            files: Vec::new(),
        };
        let bytes = instar_abi::encode(&order).unwrap();
        let head = [PROTOCOL.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut worker = Command::new(PROGRAM)
            .args(["worker", "--sandbox=process"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        ours.write_all(&[head, bytes].concat()).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut ours, &mut answer).unwrap();
        assert_eq!(worker.wait().unwrap().code(), Some(1));
        let Ok(Frame::Failed { message, .. }) = instar_abi::decode(&answer[4..]) else {
            panic!("{answer:?}");
        };
        assert!(String::from_utf8(message).unwrap().contains(said));
    }
    let closed = Command::new(PROGRAM)
        .arg("worker")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(closed.status.code(), Some(1));
}

#[test]
fn a_worker_ends_with_its_caller() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // A shell starts it, says who it is, and waits. The socket stays open here.
    let mut caller = Command::new("sh")
        .args([
            "-c",
            "\"$0\" worker --sandbox=process <&0 & echo $!; wait",
            PROGRAM,
        ])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = std::io::BufReader::new(caller.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut said).unwrap();
    let status = format!("/proc/{}/stat", said.trim());
    let state = || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        text.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    // It waits for its order, after it has asked to end with its caller.
    let children = format!("/proc/{0}/task/{0}/children", said.trim());
    let began = Instant::now();
    while fs::read_to_string(&children).is_ok_and(|children| children.is_empty()) {
        assert!(began.elapsed() < Duration::from_secs(120), "no sandbox");
        std::thread::sleep(Duration::from_millis(10));
    }
    caller.kill().unwrap();
    caller.wait().unwrap();
    while state().is_some_and(|state| state != 'Z') {
        assert!(began.elapsed() < Duration::from_secs(120), "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(ours);
}
