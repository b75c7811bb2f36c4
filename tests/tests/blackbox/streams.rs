//! Sources that can only be read from their front: pipes, and what gzip, xz and zstd packed. Targets that leave by a pipe.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::{allocated, checks_clean_as, qemu_reads, same_bytes};
use instar_tests::disk::{self, USUAL_BYTES};
use instar_tests::ledger::deviates;
use instar_tests::{Bench, Outcome, both_sandboxes, wait};

both_sandboxes!(
    packed_files_are_read_as_what_they_hold,
    a_packed_file_is_read_as_it_is_where_the_user_says_raw,
    pipes_are_read_as_the_files_that_come_out_of_them,
    a_raw_disk_from_a_pipe_goes_through_without_another_file,
    standard_input_may_be_a_file,
    standard_input_is_one_image_and_stays_as_it_is,
    new_images_leave_by_standard_output,
    what_cannot_leave_by_a_pipe_is_refused,
    streams_that_are_damaged_leave_no_target,
    a_stream_of_hardly_its_mark_is_incomplete,
    a_stream_that_looks_back_too_far_is_refused_with_the_remedy,
    a_packed_bomb_ends_at_the_limit,
    a_pipe_that_says_nothing_is_given_up_at_a_signal,
    many_streams_in_one_file_are_one_disk,
    an_image_whose_first_chunk_is_packed_is_no_packed_file,
);

const PACKERS: [(&str, &str); 3] = [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")];

trait Works {
    /// It succeeds, and says nothing but that it used a temporary file.
    fn works(&self) -> &Self;
}

impl Works for Outcome {
    #[track_caller]
    fn works(&self) -> &Self {
        assert_eq!(self.code(), Some(0), "{self}");
        let note = "can only be read from its start, so it was put into a temporary file first";
        for line in self.errors().lines() {
            assert!(line.starts_with("instar: note: '") && line.ends_with(note), "{self}");
        }
        self
    }
}

/// Runs instar with what `script` prints as its standard input, or with its output going to what reads it.
fn shell(bench: &Bench, script: &str, words: &[&str]) -> Outcome {
    Outcome::of(&mut bench.command_under(&["bash", "-o", "pipefail", "-c", script, "bash"], words))
}

/// `cat NAME | instar WORDS`.
fn fed(bench: &Bench, name: &str, words: &[&str]) -> Outcome {
    shell(bench, &format!("cat {name} | \"$@\""), words)
}

fn run(bench: &Bench, script: &str) {
    let mut command = std::process::Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(bench.directory());
    Outcome::of(&mut command).works();
}

/// The usual disk, as `disk.raw` and as images of two formats.
fn make(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for format in ["qcow2", "vmdk"] {
        let image = format!("disk.{format}");
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk.raw", &image]).works();
    }
}

fn pack(bench: &Bench, name: &str) {
    for (program, ending) in PACKERS {
        run(bench, &format!("{program} -c {name} > {name}.{ending}"));
    }
}

fn packed_files_are_read_as_what_they_hold(bench: &Bench) {
    make(bench);
    for (format, inner) in [("raw", "disk.raw"), ("qcow2", "disk.qcow2"), ("vmdk", "disk.vmdk")] {
        pack(bench, inner);
        for (_, ending) in PACKERS {
            let name = format!("{inner}.{ending}");
            bench.instar(["convert", "-O", "raw", &name, "out.raw"]).works();
            same_bytes(bench, "disk.raw", "out.raw", &name);
            bench.instar(["convert", "-O", "qcow2", &name, "out.qcow2"]).works();
            qemu_reads(bench, "out.qcow2", "disk.raw", &name);
            checks_clean_as(bench, "qcow2", "out.qcow2", &name);
            let info = bench.instar(["info", "--output=json", &name]);
            let info: serde_json::Value = serde_json::from_slice(&info.works().stdout).unwrap();
            assert_eq!(info["format"], format, "{name}");
            assert_eq!(info["virtual-size"], USUAL_BYTES, "{name}");
            bench.instar(["compare", &name, "disk.raw"]).works();
            let sums = [&name, "disk.raw"].map(|name| bench.instar(["checksum", name]).works().text());
            assert_eq!(sums[0].split(' ').next(), sums[1].split(' ').next(), "{name}");
            // Nothing of what was done on the way is left.
            for out in ["out.raw", "out.qcow2"] {
                fs::remove_file(bench.path(out)).unwrap();
            }
        }
    }
    let theirs = bench.qemu(["info", "--output=json", "disk.qcow2.gz"]);
    let ours = bench.instar(["info", "--output=json", "disk.qcow2.gz"]);
    let format = |outcome: &Outcome| -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_slice(&outcome.works().stdout).unwrap();
        json["format"].clone()
    };
    deviates("packed", &format(&theirs), &format(&ours));
    assert!(bench.names().iter().all(|name| name.starts_with("disk.")), "{:?}", bench.names());
}

fn a_packed_file_is_read_as_it_is_where_the_user_says_raw(bench: &Bench) {
    make(bench);
    pack(bench, "disk.qcow2");
    for (_, ending) in PACKERS {
        let name = format!("disk.qcow2.{ending}");
        for words in [&["convert", "-f", "raw"][..], &["convert", "-f", "raw", "-O", "raw"]] {
            let words = [words, &[&name, "out"]].concat();
            bench.instar(&words).works();
            let theirs = [&["convert", "-f", "raw", "-O", "raw"][..], &[&name, "reference"]].concat();
            bench.qemu(theirs).works();
            same_bytes(bench, "reference", "out", &name);
        }
        // The format that the user names is that of the file.
        bench.instar(["info", "-f", "qcow2", &name]).fails_with("Image is not in qcow2 format");
    }
}

fn pipes_are_read_as_the_files_that_come_out_of_them(bench: &Bench) {
    make(bench);
    pack(bench, "disk.qcow2");
    for name in ["disk.raw", "disk.qcow2", "disk.vmdk", "disk.qcow2.xz", "disk.qcow2.gz", "disk.qcow2.zst"] {
        for format in ["raw", "qcow2", "vhdx"] {
            fed(bench, name, &["convert", "-O", format, "-", "out"]).works();
            bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "out"]).works();
            fs::remove_file(bench.path("out")).unwrap();
        }
        fed(bench, name, &["dd", "-O", "raw", "if=-", "of=out", "bs=1M", "skip=1", "count=3"]).works();
        bench
            .qemu([
                "dd",
                "-f",
                "raw",
                "-O",
                "raw",
                "if=disk.raw",
                "of=reference",
                "bs=1M",
                "skip=1",
                "count=3",
            ])
            .works();
        same_bytes(bench, "reference", "out", name);
        fed(bench, name, &["compare", "-", "disk.raw"]).works();
        fed(bench, name, &["compare", "disk.raw", "-"]).works();
    }
    // A format that the user names is inside what is packed.
    fed(bench, "disk.qcow2.xz", &["convert", "-f", "qcow2", "-O", "raw", "-", "out"]).works();
    same_bytes(bench, "disk.raw", "out", "-f qcow2");
    // What is said of a pipe is what is said of the file.
    let piped = fed(bench, "disk.qcow2", &["measure", "-O", "qcow2", "-"]);
    let named = bench.instar(["measure", "-O", "qcow2", "disk.qcow2"]);
    assert_eq!(piped.works().text(), named.works().text());
    // Zeros have become holes on the way; data is where it was.
    let map = |outcome: &Outcome| -> Vec<serde_json::Value> {
        serde_json::from_slice(&outcome.works().stdout).unwrap()
    };
    let piped = map(&fed(bench, "disk.qcow2", &["map", "--output=json", "-"]));
    let ends = piped.iter().map(|run| run["start"].as_u64().unwrap() + run["length"].as_u64().unwrap());
    assert_eq!(ends.max(), Some(USUAL_BYTES));
    let named = map(&bench.instar(["map", "--output=json", "disk.qcow2"]));
    assert_eq!((&piped[0]["start"], &piped[0]["offset"]), (&named[0]["start"], &named[0]["offset"]));
    let theirs = bench.qemu(["info", "-"]);
    let ours = fed(bench, "disk.qcow2", &["info", "-"]);
    deviates("standard-streams", &theirs.code(), &ours.code());
}

fn a_raw_disk_from_a_pipe_goes_through_without_another_file(bench: &Bench) {
    make(bench);
    // Where no temporary file can be written to, there is none.
    let script = "cat disk.raw | TMPDIR=/nonexistent \"$@\"";
    for words in [
        &["convert", "-f", "raw", "-", "out"][..],
        &["convert", "-", "out"],
        &["convert", "-S", "0", "-", "out"],
        &["dd", "-f", "raw", "-O", "raw", "if=-", "of=out"],
    ] {
        shell(bench, script, words).succeeds();
        same_bytes(bench, "disk.raw", "out", &words.join(" "));
        let sparse = allocated(&bench.path("out")) < USUAL_BYTES / 2;
        // dd leaves out only what is known to be zeros, and of a pipe nothing is.
        let looks = words[0] == "convert" && !words.contains(&"0");
        assert_eq!(sparse, looks, "{words:?}");
        fs::remove_file(bench.path("out")).unwrap();
    }
    // A disk that ends inside a sector is filled up, as from a file.
    let disk = fs::read(bench.path("disk.raw")).unwrap();
    fs::write(bench.path("odd.raw"), &disk[..1_000_001]).unwrap();
    fed(bench, "odd.raw", &["convert", "-f", "raw", "-", "out"]).works();
    bench.qemu(["convert", "-f", "raw", "-O", "raw", "odd.raw", "reference"]).works();
    same_bytes(bench, "reference", "out", "odd");
    // What was in the target is not.
    fs::write(bench.path("out"), vec![0xff; 3 << 20]).unwrap();
    fed(bench, "odd.raw", &["convert", "-f", "raw", "-", "out"]).works();
    same_bytes(bench, "reference", "out", "over another");
}

fn standard_input_may_be_a_file(bench: &Bench) {
    make(bench);
    shell(bench, "\"$@\" < disk.qcow2", &["convert", "-O", "raw", "-", "out"]).works();
    same_bytes(bench, "disk.raw", "out", "a file");
    let begun = shell(bench, "{ head -c 512 > /dev/null; \"$@\"; } < disk.raw", &["info", "-"]);
    begun.fails_with("of which").fails_with("name the file instead");
    shell(bench, "\"$@\" < /dev/null", &["info", "-f", "raw", "-"]).works();
    // A file of that name has another.
    fs::copy(bench.path("disk.raw"), bench.path("-")).unwrap();
    bench.instar(["convert", "-f", "raw", "./-", "out"]).works();
    same_bytes(bench, "disk.raw", "out", "./-");
}

fn standard_input_is_one_image_and_stays_as_it_is(bench: &Bench) {
    make(bench);
    for (words, code) in [(&["compare", "-", "-"][..], 2), (&["convert", "-", "-", "out"], 1)] {
        let outcome = fed(bench, "disk.raw", words);
        assert_eq!(outcome.code(), Some(code), "{outcome}");
        assert!(
            outcome.errors().contains("standard input is one image, and can be named only once"),
            "{outcome}"
        );
    }
    for words in
        [&["resize", "-f", "raw", "-", "1G"][..], &["check", "-r", "all", "-"], &["snapshot", "-c", "x", "-"]]
    {
        fed(bench, "disk.qcow2", words).fails_with("standard input can be read but not changed");
    }
}

fn new_images_leave_by_standard_output(bench: &Bench) {
    make(bench);
    for (format, options) in [
        ("raw", ""),
        ("qcow2", ""),
        ("qcow2", "compression_type=zstd"),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", ""),
        ("vhdx", ""),
        ("vpc", "subformat=fixed,force_size=on"),
    ] {
        let mut words = vec!["convert", "-f", "qcow2", "-O", format];
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        words.extend(["disk.qcow2", "-"]);
        for script in ["\"$@\" | cat > out", "\"$@\" > out", "echo before > out; \"$@\" >> out"] {
            shell(bench, script, &words).works();
            if script.starts_with("echo") {
                run(bench, "tail -c +8 out > rest; mv rest out");
            }
            bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "out"]).works();
        }
    }
    shell(bench, "\"$@\" > out", &["convert", "-c", "-O", "qcow2", "disk.raw", "-"]).works();
    checks_clean_as(bench, "qcow2", "out", "-c");
    // From a pipe into a pipe, with a word about the way between.
    let both = shell(bench, "cat disk.qcow2 | \"$@\" | cat > out", &["convert", "-O", "raw", "-", "-"]);
    assert_eq!(both.works().errors().lines().count(), 1, "{both}");
    same_bytes(bench, "disk.raw", "out", "both");
    shell(
        bench,
        "\"$@\" > out",
        &["dd", "-f", "qcow2", "-O", "raw", "if=disk.qcow2", "of=-", "bs=64k", "skip=3"],
    )
    .works();
    run(bench, "tail -c +196609 disk.raw > reference");
    same_bytes(bench, "reference", "out", "dd");
}

fn what_cannot_leave_by_a_pipe_is_refused(bench: &Bench) {
    make(bench);
    let to_pipe = |words: &[&str]| shell(bench, "\"$@\" | cat", words);
    to_pipe(&["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.raw", "-"])
        .fails_with("standard output takes an image in one file, and this one has several");
    to_pipe(&["convert", "-p", "disk.raw", "-"]).fails_with("use --progress=json");
    to_pipe(&["convert", "-n", "disk.raw", "-"]).fails_with("-n requires a TARGET that exists");
    to_pipe(&["convert", "--checksum", "disk.raw", "-"]).fails_with("run 'instar checksum' on the source");
    // Nobody reads any more.
    shell(bench, "\"$@\" | head -c 1", &["convert", "disk.raw", "-"]).fails_with("Broken pipe");
}

fn streams_that_are_damaged_leave_no_target(bench: &Bench) {
    make(bench);
    for inner in ["disk.raw", "disk.qcow2"] {
        pack(bench, inner);
        for (program, ending) in PACKERS {
            let name = format!("{inner}.{ending}");
            let bytes = fs::read(bench.path(&name)).unwrap();
            fs::write(bench.path("cut"), &bytes[..bytes.len() - 9]).unwrap();
            let mut changed = bytes.clone();
            let middle = bytes.len() / 2;
            changed[middle] ^= 0x55;
            fs::write(bench.path("changed"), changed).unwrap();
            fs::write(bench.path("followed"), [&bytes[..], b"something else"].concat()).unwrap();
            for (file, words) in [
                ("cut", "it is incomplete"),
                ("changed", "stream is damaged"),
                ("followed", "stream is damaged"),
            ] {
                for outcome in [
                    bench.instar(["convert", "-O", "raw", file, "out"]),
                    bench.instar(["convert", "-O", "qcow2", file, "out"]),
                    fed(bench, file, &["convert", "-O", "raw", "-", "out"]),
                ] {
                    outcome.fails_with(words).fails_with(program);
                    assert!(!bench.path("out").exists(), "{name} {file}");
                }
            }
        }
    }
}

fn a_stream_of_hardly_its_mark_is_incomplete(bench: &Bench) {
    for mark in [&[0x1f, 0x8b, 8][..], &[0x28, 0xb5, 0x2f, 0xfd], b"\xfd7zXZ\0"] {
        fs::write(bench.path("mark"), mark).unwrap();
        for words in
            [&["convert", "-O", "raw", "mark", "out"][..], &["convert", "-O", "qcow2", "mark", "out"]]
        {
            bench.instar(words).fails_with("it is incomplete");
            assert!(!bench.path("out").exists());
        }
    }
}

fn a_stream_that_looks_back_too_far_is_refused_with_the_remedy(bench: &Bench) {
    // A frame that says that it looks back two GiB, and holds five bytes.
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 5 << 3 | 1, 0, 0][..], b"hello"].concat();
    fs::write(bench.path("far.zst"), frame).unwrap();
    bench.instar(["info", "far.zst"]).fails_with(
        "the sandbox has no memory for how far the zstd stream looks back; raise the limit with --memory",
    );
    // What the programs' highest levels write is read.
    disk::usual(&bench.path("disk.raw"));
    run(bench, "xz -9e -c disk.raw > disk.xz; zstd --ultra -22 -c < disk.raw > disk.zst");
    bench.instar(["compare", "disk.xz", "disk.raw"]).works();
    bench.instar(["compare", "--memory", "512M", "disk.zst", "disk.raw"]).works();
}

fn a_packed_bomb_ends_at_the_limit(bench: &Bench) {
    let file = fs::File::create(bench.path("large")).unwrap();
    file.set_len(3 << 30).unwrap();
    file.write_all_at(&[1; 512], 2 << 30).unwrap();
    run(bench, "zstd -q -1 -c large > bomb.zst; rm large");
    for words in [&["convert", "-O", "raw"][..], &["convert", "-O", "qcow2"]] {
        let limited = bench.instar([words, &["--max-size", "1G", "bomb.zst", "out"]].concat());
        limited.fails_with("exceeds the limit of 1073741824 bytes");
        assert!(!bench.path("out").exists());
    }
    // Zeros take no space on the way.
    bench.instar(["convert", "-O", "raw", "bomb.zst", "out"]).works();
    assert!(allocated(&bench.path("out")) < 1 << 20);
}

fn a_pipe_that_says_nothing_is_given_up_at_a_signal(bench: &Bench) {
    let words = ["convert", "-f", "raw", "-", "out"];
    let script = "exec \"$@\" < <(head -c 100000 /dev/zero; echo > sent; exec sleep 30 2> /dev/null)";
    let running =
        instar_tests::Running::start(&mut bench.command_under(&["bash", "-c", script, "bash"], words));
    wait::until("the first bytes", || bench.path("sent").exists());
    wait::until_handled(running.id(), 15);
    running.signal("TERM");
    let outcome = running.finish();
    assert!(!outcome.status.success(), "{outcome}");
    assert!(!bench.path("out").exists());
}

fn many_streams_in_one_file_are_one_disk(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (program, _) in PACKERS {
        let script = format!(
            "split -b 1000000 disk.raw part.; for part in part.*; do {program} -c $part; done > many"
        );
        run(bench, &script);
        bench.instar(["convert", "-O", "raw", "many", "out"]).works();
        same_bytes(bench, "disk.raw", "out", program);
    }
}

/// A dmg begins with a chunk, and is known by its end.
fn an_image_whose_first_chunk_is_packed_is_no_packed_file(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    run(bench, "xz -c disk.raw > image; printf koly >> image; head -c 508 /dev/zero >> image");
    let [theirs, ours] = [bench.qemu(["info", "image"]), bench.instar(["info", "image"])];
    assert_eq!(theirs.works().text(), ours.works().text());
}
