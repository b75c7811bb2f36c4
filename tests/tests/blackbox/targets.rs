//! Targets where data is easily lost: the source itself, devices, files that others have open, filesystems with hints.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use instar_tests::device::Loop;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, formats, ledger};

const WITHOUT: &str = env!("CARGO_BIN_EXE_without");

/// instar on a system that lacks `features`.
fn without<const N: usize>(bench: &Bench, features: &str, words: [&str; N]) -> Outcome {
    Outcome::of(&mut bench.command_under(&[WITHOUT, "error", features], words))
}

/// A disk of 4 MiB without a zero in it, as `a.raw`, and as an image of qcow2.
fn material(bench: &Bench) {
    disk::make(&bench.path("a.raw"), 4 << 20, &[Piece::Data(0, 4 << 20, 1)]);
    bench.qemu(["convert", "-O", "qcow2", "a.raw", "a.qcow2"]).succeeds();
}

fn is_intact(bench: &Bench, name: &str, what: &str) {
    let same = fs::read(bench.path(name)).unwrap() == fs::read(bench.path("a.raw")).unwrap();
    assert!(same, "{what}: the source is not what it was");
}

/// A filesystem on a file in the bench's directory, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(bench: &Bench, make: &str, options: &[&str], size: u64) -> Option<Self> {
        let (image, place) = (bench.path("filesystem"), bench.path("mounted"));
        fs::create_dir_all(&place).unwrap();
        fs::File::create(&image).unwrap().set_len(size).unwrap();
        let run = |command: &mut Command| {
            let outcome = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            outcome.is_ok_and(|status| status.success())
        };
        if !run(Command::new(make).arg("-q").args(options).arg(&image)) {
            ledger::skip(&format!("{make} is not installed: its filesystem is not tried"));
            return None;
        }
        if !run(Command::new("mount").args(["-o", "loop"]).args([&image, &place])) {
            ledger::skip(&format!("what {make} makes cannot be mounted by a loop device here"));
            return None;
        }
        Some(Self(place))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn printed(program: &str, words: &[&str], bench: &Bench) -> String {
    let output = Command::new(program).args(words).current_dir(bench.directory()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

both_sandboxes!(
    a_source_is_never_a_target_whatever_its_name_and_without_locks_too,
    a_file_that_an_image_names_is_never_the_target,
    a_loop_device_and_its_file_are_one_thing,
    a_device_forgets_the_image_that_it_held,
    options_that_a_device_cannot_carry_out_are_refused,
    a_file_that_is_open_elsewhere_is_rewritten_in_place,
    the_next_run_removes_what_a_killed_run_left,
    a_new_file_can_be_written_past_the_cache_without_proc,
    a_preallocated_image_is_made_again_where_there_is_room_for_one,
    extent_size_hints_reach_xfs,
    nocow_reaches_btrfs,
    an_unknown_extent_is_taken_for_data,
);

fn a_source_is_never_a_target_whatever_its_name_and_without_locks_too(bench: &Bench) {
    material(bench);
    fs::copy(bench.path("a.raw"), bench.path("x")).unwrap();
    fs::hard_link(bench.path("x"), bench.path("hard")).unwrap();
    symlink("x", bench.path("soft")).unwrap();
    for target in ["x", "hard", "soft"] {
        for words in [
            &["convert", "-O", "raw", "x", target][..],
            &["convert", "-O", "qcow2", "-c", "x", target],
            &["convert", "-n", "-O", "raw", "x", target],
            &["convert", "-O", "qcow2", "-B", target, "-F", "raw", "a.raw", "x"],
            &["convert", "-O", "qcow2", "-o", "data_file=x", "x", "new"],
            &["dd", "if=x", &format!("of={target}")],
        ] {
            for extra in [None, Some("-U")] {
                let mut words = words.to_vec();
                words.splice(1..1, extra);
                let outcome = Outcome::of(&mut bench.command_under(&[WITHOUT, "error", "locks"], &words));
                outcome.fails_with("would overwrite");
                is_intact(bench, "x", &format!("{words:?}"));
            }
        }
        bench.instar(["convert", "-U", "-O", "raw", "x", target]).fails_with("would overwrite");
        is_intact(bench, "x", target);
    }
    for words in [
        &["create", "-f", "qcow2", "-b", "hard", "-F", "raw", "x"][..],
        &["create", "-f", "qcow2", "-u", "-b", "./x", "-F", "raw", "x", "1M"],
    ] {
        bench.instar(words).fails_with("would overwrite");
        is_intact(bench, "x", &format!("{words:?}"));
    }
    fs::copy(bench.path("x"), bench.path("y")).unwrap();
    let theirs = bench.qemu(["convert", "-U", "-O", "raw", "y", "y"]).code();
    let ours = bench.instar(["convert", "-U", "-O", "raw", "x", "x"]).code();
    ledger::deviates("source-as-target", &theirs, &ours);
    fs::remove_file(bench.path("y")).unwrap();
    // With locks, in the reference tool's words.
    let theirs = bench.qemu(["convert", "-O", "raw", "x", "x"]);
    let ours = bench.instar(["convert", "-O", "raw", "x", "x"]);
    assert_eq!((ours.message(), ours.code()), (theirs.message(), theirs.code()));
    assert_eq!(bench.names(), ["a.qcow2", "a.raw", "hard", "soft", "x"]);
}

fn a_file_that_an_image_names_is_never_the_target(bench: &Bench) {
    material(bench);
    fs::copy(bench.path("a.raw"), bench.path("base")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "middle"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "top"]).succeeds();
    for words in [
        &["convert", "-n", "-O", "raw", "top", "base"][..],
        &["convert", "-O", "raw", "top", "base"],
        &["convert", "-U", "-O", "qcow2", "top", "base"],
        &["create", "-q", "-f", "qcow2", "-b", "top", "-F", "qcow2", "base"],
        &["dd", "if=top", "of=base"],
    ] {
        bench.instar(words).fails_with("which this run writes to");
        is_intact(bench, "base", &format!("{words:?}"));
    }
    // A piece of a split image.
    bench.qemu(["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "a.raw", "d.vmdk"]).succeeds();
    without(bench, "locks", ["convert", "-O", "raw", "d.vmdk", "d-flat.vmdk"])
        .fails_with("which this run writes to");
    without(
        bench,
        "locks",
        ["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "d-flat.vmdk", "d.vmdk"],
    )
    .fails_with("would overwrite");
    is_intact(bench, "d-flat.vmdk", "a flat extent");
    // A data file.
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "outer", "4M"])
        .succeeds();
    fs::copy(bench.path("a.raw"), bench.path("data")).unwrap();
    without(bench, "locks", ["convert", "-O", "raw", "outer", "data"]).fails_with("which this run writes to");
    is_intact(bench, "data", "a data file");
}

fn a_loop_device_and_its_file_are_one_thing(bench: &Bench) {
    material(bench);
    fs::copy(bench.path("a.raw"), bench.path("f")).unwrap();
    let Some(device) = Loop::over(&bench.path("f")) else {
        return;
    };
    let device = device.name();
    for (source, target) in [("f", device), (device, "f"), (device, device)] {
        for flags in [&["-O", "raw"][..], &["-n", "-O", "raw"], &["-U", "-O", "qcow2"]] {
            let words: Vec<&str> =
                ["convert", "-f", "raw"].iter().chain(flags).chain(&[source, target]).copied().collect();
            let outcome = Outcome::of(&mut bench.command_under(&[WITHOUT, "error", "locks"], &words));
            outcome.fails_with("would overwrite");
            is_intact(bench, "f", &format!("{words:?}"));
        }
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "f", "-F", "raw", "over"]).succeeds();
    bench.instar(["convert", "-O", "raw", "over", device]).fails_with("which this run writes to");
    is_intact(bench, "f", "a layer under a device");
    // Another device is another disk.
    fs::write(bench.path("g"), vec![0; 4 << 20]).unwrap();
    let Some(other) = Loop::over(&bench.path("g")) else {
        return;
    };
    bench.instar(["convert", "-O", "raw", device, other.name()]).succeeds();
    // Neither program waits for the medium unless told to, and who else has the device open
    // (a scan for free ones will do) puts off the write-back of the last close.
    fs::File::open(other.name()).unwrap().sync_all().unwrap();
    is_intact(bench, "g", "a copy from device to device");
}

fn a_device_forgets_the_image_that_it_held(bench: &Bench) {
    material(bench);
    fs::write(bench.path("f"), vec![0; 8 << 20]).unwrap();
    fs::write(bench.path("empty"), "").unwrap();
    let Some(device) = Loop::over(&bench.path("f")) else {
        return;
    };
    let device = device.name();
    let of = format!("of={device}");
    for words in [
        &["create", "-q", "-f", "raw", device, "8M"][..],
        &["create", "-q", "-f", "raw", device, "0"],
        &["create", "-q", "-f", "vpc", "-o", "subformat=fixed", device, "1M"],
        &["convert", "-f", "raw", "-O", "raw", "empty", device],
        &["dd", "if=a.raw", &of, "count=0"],
    ] {
        let mut shown = Vec::new();
        for ours in [false, true] {
            bench.qemu(["convert", "-O", "qcow2", "a.raw", device]).succeeds();
            if ours {
                bench.instar(words).succeeds();
            } else {
                bench.qemu(words).succeeds();
            }
            shown.push(bench.qemu(["info", device]).text());
        }
        assert_eq!(shown[1], shown[0], "{words:?}");
        assert!(shown[1].contains("file format: raw") || shown[1].contains("vpc"), "{words:?}: {}", shown[1]);
    }
    // With -n it is taken as it is.
    bench.qemu(["convert", "-O", "qcow2", "a.raw", device]).succeeds();
    bench.instar(["convert", "-n", "-f", "raw", "-O", "raw", "empty", device]).succeeds();
    assert!(bench.qemu(["info", device]).text().contains("file format: qcow2"));
}

fn options_that_a_device_cannot_carry_out_are_refused(bench: &Bench) {
    material(bench);
    fs::write(bench.path("f"), vec![0; 16 << 20]).unwrap();
    let Some(device) = Loop::over(&bench.path("f")) else {
        return;
    };
    let device = device.name();
    for option in ["preallocation=full", "preallocation=falloc", "nocow=on", "extent_size_hint=1M"] {
        for format in formats::beside("vmdk") {
            for words in [
                &["convert", "-O", format, "-o", option, "a.raw", device][..],
                &["create", "-q", "-f", format, "-o", option, device, "1M"],
            ] {
                let (theirs, ours) = (bench.qemu(words), bench.instar(words));
                assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{words:?}");
            }
        }
    }
}

fn a_file_that_is_open_elsewhere_is_rewritten_in_place(bench: &Bench) {
    let path = bench.path("f");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    let inode = || fs::metadata(&path).unwrap().ino();
    let before = inode();
    {
        let Some(device) = Loop::over(&path) else { return };
        bench.instar(["create", "-q", "-f", "raw", "f", "1M"]).succeeds();
        let mut shown = fs::OpenOptions::new().write(true).open(device.name()).unwrap();
        shown.write_all(b"HELLO").unwrap();
        shown.sync_all().unwrap();
    }
    assert_eq!(fs::read(&path).unwrap()[..6], *b"HELLO\0");
    assert_eq!(inode(), before);
    // The same where the filesystem has no leases to ask with: the system lists its loop devices.
    {
        let Some(_device) = Loop::over(&path) else { return };
        without(bench, "leases", ["create", "-q", "-f", "raw", "f", "1M"]).succeeds();
    }
    assert_eq!(inode(), before);
    let reader = fs::File::open(&path).unwrap();
    bench.instar(["create", "-q", "-f", "raw", "f", "2M"]).succeeds();
    assert_eq!((inode(), reader.metadata().unwrap().len()), (before, 2 << 20));
    drop(reader);
    bench.instar(["create", "-q", "-f", "raw", "f", "1M"]).succeeds();
    assert_ne!(inode(), before, "open nowhere, it is replaced");
    assert_eq!(bench.names(), ["f"]);
}

fn the_next_run_removes_what_a_killed_run_left(bench: &Bench) {
    material(bench);
    let words = ["convert", "-r", "1M", "-O", "raw", "a.qcow2", "out"];
    let hidden = || -> Vec<String> {
        bench.names().into_iter().filter(|name| name.starts_with(".out.instar-")).collect()
    };
    let begin = || {
        let before = hidden();
        let mut run = instar_tests::Running::start(
            &mut bench.command_under(&[WITHOUT, "error", "unnamed-files"], words),
        );
        while hidden().iter().all(|name| before.contains(name)) && run.runs() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        run
    };
    let killed = begin();
    killed.signal("KILL");
    killed.finish();
    assert_eq!(hidden().len(), 1);
    let living = begin();
    assert_eq!(hidden().len(), 1, "the dead one is gone, the living one is there");
    let one = hidden();
    // A third does not touch what the second is making.
    without(bench, "unnamed-files", ["convert", "-O", "raw", "a.qcow2", "out"]).succeeds();
    assert_eq!(hidden(), one);
    is_intact(bench, "out", "made beside another that is being made");
    living.signal("INT");
    living.finish();
    assert_eq!(bench.names(), ["a.qcow2", "a.raw", "out"]);
}

fn a_new_file_can_be_written_past_the_cache_without_proc(bench: &Bench) {
    material(bench);
    let wrapper = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    let tried = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return ledger::skip("/proc cannot be hidden here");
    }
    for (mode, features) in [
        ("none", "leases"),
        ("directsync", "leases"),
        ("none", "unnamed-files"),
        ("none", "unnamed-files,links,rename"),
    ] {
        let words = ["convert", "-t", mode, "-O", "raw", "a.qcow2", "out"];
        let wrapper: Vec<&str> = wrapper.iter().chain(&[WITHOUT, "error", features]).copied().collect();
        let outcome = Outcome::of(&mut bench.command_under(&wrapper, words));
        if outcome.errors().contains("does not support O_DIRECT") {
            return ledger::skip("the filesystem of temporary files has no direct I/O");
        }
        outcome.succeeds();
        is_intact(bench, "out", mode);
        fs::remove_file(bench.path("out")).unwrap();
        assert_eq!(bench.names(), ["a.qcow2", "a.raw"], "{mode}, {features}");
    }
}

fn a_preallocated_image_is_made_again_where_there_is_room_for_one(bench: &Bench) {
    let Some(_mount) = Mount::new(bench, "mkfs.ext4", &["-O", "^has_journal"], 16 << 20) else {
        return;
    };
    for words in [
        ["create", "-q", "-f", "raw", "-o", "preallocation=falloc", "mounted/x", "10M"],
        ["create", "-q", "-f", "qcow2", "-o", "preallocation=full", "mounted/x", "9M"],
        ["create", "-q", "-f", "raw", "-o", "preallocation=full", "mounted/x", "8M"],
    ] {
        bench.instar(words).succeeds();
        let stored = fs::metadata(bench.path("mounted/x")).unwrap().blocks() * 512;
        assert!(stored >= 8 << 20, "{words:?}: {stored}");
    }
    // What does not fit at all costs nothing.
    let before = fs::metadata(bench.path("mounted/x")).unwrap();
    bench
        .instar(["create", "-q", "-f", "raw", "-o", "preallocation=falloc", "mounted/x", "30M"])
        .fails_with("No space left");
    let after = fs::metadata(bench.path("mounted/x")).unwrap();
    assert_eq!((after.ino(), after.len(), after.blocks()), (before.ino(), before.len(), before.blocks()));
}

fn extent_size_hints_reach_xfs(bench: &Bench) {
    let Some(_mount) = Mount::new(bench, "mkfs.xfs", &[], 300 << 20) else {
        return;
    };
    material(bench);
    let hint = |name: &str| printed("xfs_io", &["-c", "extsize", &format!("mounted/{name}")], bench);
    for (options, bytes) in
        [(&["-o", "extent_size_hint=8M"][..], 8 << 20), (&["-o", "extent_size_hint=0"], 0), (&[], 1 << 20)]
    {
        for format in ["raw", "qcow2"] {
            // New, and over what is there: convert in place, create by a new file.
            for words in [
                &["convert", "-O", format, "a.raw", "mounted/x"][..],
                &["create", "-q", "-f", format, "mounted/y", "10M"],
            ] {
                let mut words = words.to_vec();
                words.splice(1..1, options.iter().copied());
                bench.instar(&words).succeeds();
                let name = if words[0] == "convert" { "x" } else { "y" };
                assert_eq!(hint(name), format!("[{bytes}] mounted/{name}"), "{words:?}");
                bench.qemu(&words).succeeds();
                assert_eq!(hint(name), format!("[{bytes}] mounted/{name}"), "the reference tool: {words:?}");
            }
        }
    }
    let words = ["create", "-q", "-f", "raw", "-o", "extent_size_hint=3", "mounted/z", "1M"];
    let ours = bench.instar(words);
    fs::remove_file(bench.path("mounted/z")).unwrap();
    let theirs = bench.qemu(words);
    assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()));
}

fn nocow_reaches_btrfs(bench: &Bench) {
    let Some(_mount) = Mount::new(bench, "mkfs.btrfs", &[], 300 << 20) else {
        return;
    };
    material(bench);
    let is_set = |name: &str| {
        let shown = printed("lsattr", &[&format!("mounted/{name}")], bench);
        shown.split(' ').next().unwrap_or_default().contains('C')
    };
    for (value, set) in [("on", true), ("off", false)] {
        let option = format!("nocow={value}");
        for (n, words) in [
            &["convert", "-O", "raw", "a.raw"][..],
            &["convert", "-O", "qcow2", "a.raw"],
            &["create", "-q", "-f", "raw"],
            &["create", "-q", "-f", "vdi"],
        ]
        .iter()
        .enumerate()
        {
            let name = format!("{value}{n}");
            let place = format!("mounted/{name}");
            let mut words = words.to_vec();
            words.splice(1..1, ["-o", &option]);
            words.push(&place);
            if words[0] == "create" {
                words.push("1M");
            }
            bench.instar(&words).succeeds();
            assert_eq!(is_set(&name), set, "{words:?}");
        }
    }
    // In place: what is there is emptied first.
    bench.instar(["convert", "-O", "raw", "-o", "nocow=on", "a.raw", "mounted/off0"]).succeeds();
    assert!(is_set("off0"));
    is_intact(bench, "mounted/off0", "nocow over an existing file");
}

fn an_unknown_extent_is_taken_for_data(bench: &Bench) {
    material(bench);
    disk::make(&bench.path("sparse"), 4 << 20, &[Piece::Data(1 << 20, 1 << 20, 5)]);
    for features in ["data-seek", "data-seek-without-errors"] {
        for source in ["a.raw", "sparse"] {
            without(bench, features, ["convert", "-O", "qcow2", source, "out"]).succeeds();
            bench.qemu(["compare", "-f", "raw", "-F", "qcow2", source, "out"]).succeeds();
            let ours = without(bench, features, ["map", "-f", "raw", "--output=json", source]);
            let mut theirs = Command::new(WITHOUT);
            theirs.current_dir(bench.directory()).args(["error", features]);
            theirs.arg(Reference::installed().program("qemu-img").get_program());
            let theirs = Outcome::of(theirs.args(["map", "-f", "raw", "--output=json", source]));
            assert_eq!((ours.text(), ours.code()), (theirs.text(), theirs.code()), "{features}");
        }
    }
}
