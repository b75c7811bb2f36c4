//! Encrypted qcow2 images that are changed in place, beside qemu-img: sizes, snapshots, options, key slots, layers, repair.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::same_bytes;
use instar_tests::sealed::{self, AES, LUKS, METHODS, words};
use instar_tests::{Bench, Outcome, Pair, both_sandboxes};

both_sandboxes!(
    sizes_snapshots_and_options_change_as_by_the_reference,
    changing_says_what_the_reference_says,
    key_slots_are_added_and_erased_as_by_the_reference,
    layers_with_secrets_of_their_own_are_committed_and_rebased,
    counts_of_the_header_are_repaired,
    a_header_in_the_place_of_something_else_is_not_written_to,
    a_secret_is_shown_to_nobody,
);

const VARIANTS: &[&str] = &[
    "cluster_size=64k",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=2M",
    "extended_l2=on,cluster_size=128k",
    "refcount_bits=8",
    "preallocation=metadata",
    "data_file=data",
];

/// The disk in `image`, which is sound, as qemu-img sees it.
#[track_caller]
fn seen(bench: &Bench, mark: &str, what: &str) -> Vec<u8> {
    let checked = bench.qemu(words(&format!("check $S --image-opts {mark}image")));
    assert!(checked.stderr.is_empty(), "{what}: {checked}");
    checked.succeeds();
    bench.qemu(words(&format!("convert $S --image-opts {mark}image -O raw seen"))).succeeds();
    fs::read(bench.path("seen")).unwrap()
}

/// The same beginning, and zeros behind it.
#[track_caller]
fn begins_as(found: &[u8], disk: &[u8], what: &str) {
    let both = found.len().min(disk.len());
    assert!(found[..both] == disk[..both], "{what}: another disk");
    assert!(found[both..].iter().all(|byte| *byte == 0), "{what}: what was added is not zero");
}

/// What is done, one after the other; `$I` stands for the image.
const CHANGES: &[&str] = &[
    "resize -q $I +100k",
    "resize -q --preallocation=metadata $I +300k",
    "resize -q --preallocation=full $I +1M",
    "resize -q --shrink $I 2500096",
    "resize -q $I 4M",
    "amend -o lazy_refcounts=on $I",
    "amend -o refcount_bits=64 $I",
    "amend -o compat=0.10,refcount_bits=16,lazy_refcounts=off $I",
    "amend -o compat=1.1 $I",
    "amend -o size=5M $I",
    "bitmap --add $I one",
    "bitmap --disable $I one",
    "bitmap --remove $I one",
    "check $I",
    "check -r all $I",
];

fn sizes_snapshots_and_options_change_as_by_the_reference(bench: &Bench) {
    for (method, mark) in METHODS {
        for variant in VARIANTS {
            let what = format!("{method},{variant}");
            sealed::qcow2(bench, &what);
            let disk = fs::read(bench.path("disk.raw")).unwrap();
            let line = |line: &str| words(&line.replace("$I", &format!("$S --image-opts {mark}image")));
            if !variant.contains("data_file") {
                bench.instar(line("snapshot -c one $I")).succeeds();
                sealed::io(bench, mark, &["write -P 7 100k 300k", "write -z 1M 64k"]);
                let changed = seen(bench, mark, &what);
                bench.instar(line("snapshot -c two $I")).succeeds();
                bench.instar(line("snapshot -a one $I")).succeeds();
                assert!(seen(bench, mark, &what) == disk, "{what}");
                bench.instar(line("snapshot -d one $I")).succeeds();
                bench.instar(line("snapshot -a two $I")).succeeds();
                assert!(seen(bench, mark, &what) == changed, "{what}");
                bench.instar(line("snapshot -d two $I")).succeeds();
                bench.qemu(line("snapshot -l $I")).succeeds();
            }
            let disk = seen(bench, mark, &what);
            let mut shown = disk.len();
            for change in CHANGES {
                let what = format!("{change}: {what}");
                // What there is not in these is said by both.
                let done = bench.instar(line(change));
                done.is_civil();
                let found = seen(bench, mark, &what);
                shown = shown.min(found.len());
                begins_as(&found, &disk[..shown], &what);
            }
        }
    }
}

/// Both say the same of these.
const SAID: &[&str] = &[
    "snapshot -c x image",
    "snapshot -c x $S --image-opts $Limage",
    "snapshot -a nobody $S --image-opts $Limage",
    "snapshot -d nobody $S --image-opts $Limage",
    "snapshot -d x $S --image-opts $Limage",
    "resize image 8M",
    "resize $S --image-opts $Limage 1M",
    "resize $S --image-opts $Aimage 8M",
    "resize $S --image-opts driver=qcow2,encrypt.key-secret=t,file.filename=image 8M",
    "resize $S --image-opts $Limage 8M",
    "bitmap --add image x",
    "bitmap --add $S --image-opts $Limage x",
    "bitmap --add $S --image-opts $Limage x",
    "amend -o size=9M image",
    "amend -o size=9M $S --image-opts $Limage",
    "rebase -u -b disk.raw -F raw image",
    "commit $S --image-opts $Limage",
    "rebase -u -b disk.raw -F raw $S --image-opts $Limage",
];

fn changing_says_what_the_reference_says(bench: &Bench) {
    let pair = Pair::new(bench, &|bench| sealed::qcow2(bench, LUKS));
    let done = SAID.iter().filter(|line| pair.agree(&words(line))).count();
    assert_eq!(done, 6);
}

/// Key slots, one after the other; `$I` is the image as the first secret opens it, `$T` as the second does.
const SLOTS: &[&str] = &[
    "-o encrypt.keyslot=1 $I",
    "-o encrypt.state=foo $I",
    "-o encrypt.state=active $I",
    "-o encrypt.state=active,encrypt.new-secret=t,encrypt.old-secret=s $I",
    "-o encrypt.state=active,encrypt.new-secret=t,encrypt.keyslot=8 $I",
    "-o encrypt.state=active,encrypt.new-secret=t,encrypt.keyslot=0 $I",
    "-o encrypt.state=active,encrypt.new-secret=nobody $I",
    "-o encrypt.state=active,encrypt.iter-time=x $I",
    "-o encrypt.cipher-alg=aes-128 $I",
    "-o encrypt.format=luks $I",
    "-o encrypt.state=active,encrypt.new-secret=t,compat=9 $I",
    "-o encrypt.state=active,encrypt.new-secret=t,refcount_bits=3 $I",
    "-o encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=10 $I",
    "-o encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=10,encrypt.keyslot=7,lazy_refcounts=on $I",
    "-o encrypt.state=inactive $I",
    "-o encrypt.state=inactive,encrypt.new-secret=t $I",
    "-o encrypt.state=inactive,encrypt.keyslot=5 $I",
    "-o encrypt.state=inactive,encrypt.keyslot=1,encrypt.old-secret=s $I",
    "-p -o encrypt.state=inactive,encrypt.keyslot=1 $I",
    "-o encrypt.state=inactive,encrypt.old-secret=s,size=5M $T",
    "-o encrypt.state=inactive,encrypt.keyslot=7 $T",
    "-o encrypt.state=inactive,encrypt.old-secret=t $T",
    "-o encrypt.state=active,encrypt.new-secret=s $I",
    "-o encrypt.state=active,encrypt.new-secret=s,encrypt.iter-time=10 $T",
    "-o encrypt.state=active,encrypt.new-secret=s $Aimage",
    "-o encrypt.state=active,encrypt.new-secret=s image",
    "-o encrypt.state=active,encrypt.new-secret=s plain",
    "-o encrypt.keyslot=1 plain",
    "-o encrypt.state=active,encrypt.new-secret=s $Aaes",
];

fn key_slots_are_added_and_erased_as_by_the_reference(bench: &Bench) {
    let pair = Pair::new(bench, &|bench| {
        sealed::qcow2(bench, AES);
        fs::rename(bench.path("image"), bench.path("aes")).unwrap();
        bench.qemu(["create", "-q", "-f", "qcow2", "plain", "1M"]).succeeds();
        sealed::qcow2(bench, LUKS);
    });
    for line in SLOTS {
        let options = if line.contains('$') { " --image-opts" } else { "" };
        let line = line.replace("$I", "$Limage");
        let line = line.replace("$T", "driver=qcow2,encrypt.key-secret=t,file.filename=image");
        pair.agree(&words(&format!("amend $S{options} {line}")));
        // What each of them left, in the eyes of the other.
        let slots = |outcome: Outcome| {
            let text = outcome.succeeds().text();
            text.lines().filter(|line| line.contains("active")).map(str::to_owned).collect::<Vec<_>>()
        };
        let theirs = slots(pair.theirs.instar(["info", "image"]));
        assert_eq!(theirs, slots(pair.ours.qemu(["info", "image"])), "{line}");
    }
    let found = seen(&pair.ours, "$L", "key slots");
    begins_as(&found, &fs::read(pair.ours.path("disk.raw")).unwrap(), "key slots");
}

fn layers_with_secrets_of_their_own_are_committed_and_rebased(bench: &Bench) {
    let below = "backing.driver=qcow2,backing.encrypt.key-secret=t,backing.file.filename=base";
    for (method, mark) in METHODS {
        let plain = format!("{mark}image");
        let chain = format!("{plain},{below}");
        let layers = || {
            sealed::qcow2(bench, method);
            let create = format!(
                "convert $S -f raw -O qcow2 -o encrypt.key-secret=t,{method},cluster_size=4k disk.raw base"
            );
            bench.qemu(words(&create)).succeeds();
            let create = format!(
                "create -q $S -f qcow2 -u -o encrypt.key-secret=s,{method} -b base -F qcow2 image 5M"
            );
            bench.qemu(words(&create)).succeeds();
            let writes = ["write -P 9 100k 300k", "write -z 1M 70k", "write -P 8 4900k 100k"];
            let writes = writes.iter().flat_map(|write| ["-c".to_owned(), (*write).to_owned()]);
            let image = words(&format!("$S --image-opts {chain}"));
            bench.qemu_io(image.into_iter().chain(writes)).succeeds();
            bench.qemu(words(&format!("convert $S --image-opts {chain} -O raw wanted"))).succeeds();
        };
        let is_wanted = |image: &str, what: &str| {
            bench.qemu(words(&format!("convert $S --image-opts {image} -O raw found"))).succeeds();
            same_bytes(bench, "wanted", "found", &format!("{what}, {method}"));
            bench.qemu(words(&format!("check $S --image-opts {image}"))).succeeds();
        };
        layers();
        bench.instar(words(&format!("commit $S --image-opts {plain}"))).fails_with("encrypt.key-secret");
        let printed = bench.instar(words(&format!("commit $S --image-opts {chain}")));
        assert_eq!(printed.succeeds().text(), "Image committed.\n");
        is_wanted(&chain, "committed");
        is_wanted("driver=qcow2,encrypt.key-secret=t,file.filename=base", "what it was committed to");
        layers();
        bench.instar(words(&format!("rebase -b  $S --image-opts {chain}"))).succeeds();
        is_wanted(&plain, "rebased to nothing");
        layers();
        bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "wanted", "other"]).succeeds();
        bench.instar(words(&format!("rebase -b other -F qcow2 $S --image-opts {chain}"))).succeeds();
        is_wanted(&plain, "rebased");
        bench.instar(words(&format!("rebase -u -b base -F qcow2 $S --image-opts {plain}"))).succeeds();
        is_wanted(&chain, "renamed");
        // Only to its own layer.
        let another = chain.replace("filename=base", "filename=other");
        bench
            .instar(words(&format!("commit $S --image-opts {another}")))
            .fails_with("only to its own backing file");
        bench.instar(words(&format!("rebase -b  $S --image-opts {another}"))).fails_with("own backing file");
    }
}

/// What leads to the clusters of the LUKS header is one entry of the header only.
fn counts_of_the_header_are_repaired(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    let sound = fs::read(bench.path("image")).unwrap();
    let extension =
        sound.windows(8).position(|bytes| bytes == [0x05, 0x37, 0xbe, 0x77, 0, 0, 0, 16]).unwrap();
    let number = |at: usize| u64::from_be_bytes(sound[at..at + 8].try_into().unwrap());
    let first = number(extension + 8) >> 16;
    let block = number(usize::try_from(number(48)).unwrap());
    // All counts of the header are gone; then, one is too high.
    for (clusters, count) in [(32, 0_u16), (1, 2)] {
        fs::write(bench.path("image"), &sound).unwrap();
        let file = fs::File::options().write(true).open(bench.path("image")).unwrap();
        for cluster in first..first + clusters {
            file.write_all_at(&count.to_be_bytes(), block + cluster * 2).unwrap();
        }
        fs::copy(bench.path("image"), bench.path("damaged")).unwrap();
        let line = |program: &str| words(&format!("check {program} $S --image-opts $Limage"));
        let [theirs, ours] = [bench.qemu(line("--output=json")), bench.instar(line("--output=json"))];
        assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
        assert_ne!(ours.code(), Some(0));
        let repaired = bench.instar(line("-r all"));
        assert_eq!(repaired.code(), Some(0), "{repaired}");
        assert!(seen(bench, "$L", "repaired") == fs::read(bench.path("disk.raw")).unwrap());
        // A writer does not take what is free by its count only.
        fs::copy(bench.path("damaged"), bench.path("image")).unwrap();
        bench.instar(words("snapshot -c one $S --image-opts $Limage")).is_civil();
        bench.qemu(words("convert $S --image-opts $Limage -O raw seen")).succeeds();
        same_bytes(bench, "disk.raw", "seen", "a snapshot of a damaged image");
    }
}

/// A LUKS header that is sound by itself, in clusters that are not its own.
fn a_header_in_the_place_of_something_else_is_not_written_to(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    let sound = fs::read(bench.path("image")).unwrap();
    let extension =
        sound.windows(8).position(|bytes| bytes == [0x05, 0x37, 0xbe, 0x77, 0, 0, 0, 16]).unwrap();
    let number = |at: usize| u64::from_be_bytes(sound[at..at + 8].try_into().unwrap());
    let place = usize::try_from(number(extension + 8)).unwrap();
    let header = sound[place..place + 2_068_480].to_vec();
    let block = usize::try_from(number(usize::try_from(number(48)).unwrap())).unwrap();
    let line =
        "amend -o encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=10 $S --image-opts $Limage";
    let moved = |to: usize| {
        let mut bytes = sound.clone();
        bytes.resize(bytes.len().max(to + header.len()), 0);
        bytes[to..to + header.len()].copy_from_slice(&header);
        bytes[extension + 8..extension + 16].copy_from_slice(&(to as u64).to_be_bytes());
        bytes
    };
    let counted = |count: u16| {
        let mut bytes = sound.clone();
        let at = block + (place >> 16) * 2;
        bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        bytes
    };
    let longer = |length: u64| {
        let mut bytes = sound.clone();
        bytes[extension + 16..extension + 24].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let end = sound.len().next_multiple_of(65536);
    for (what, bytes) in [
        ("behind the end", moved(end)),
        ("counted twice", counted(2)),
        ("not counted", counted(0)),
        ("longer than the file", longer(1 << 40)),
        ("longer than any file", longer(u64::MAX)),
        ("too short", longer(4096)),
    ] {
        fs::write(bench.path("image"), &bytes).unwrap();
        bench.instar(words(line)).fails();
        assert!(fs::read(bench.path("image")).unwrap() == bytes, "{what}: written to");
        for other in ["check", "resize -q --shrink", "snapshot -l"] {
            let size = if other.starts_with("resize") { " 2M" } else { "" };
            bench.instar(words(&format!("{other} $S --image-opts $Limage{size}"))).is_civil();
        }
    }
}

fn a_secret_is_shown_to_nobody(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    for line in [
        "amend -o encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=10 $S --image-opts $Limage",
        "amend -o encrypt.state=active,encrypt.new-secret=t,encrypt.keyslot=9 $S --image-opts $Limage",
        "resize $S --image-opts driver=qcow2,encrypt.key-secret=u,file.filename=image 8M",
        "create $S -f qcow2 -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 new 1M",
        "convert -n $S --target-image-opts -f raw disk.raw $Limage",
        "info --output=json image",
    ] {
        let outcome = bench.instar(words(line));
        for secret in ["correct horse", "battery staple"] {
            assert!(!outcome.text().contains(secret) && !outcome.message().contains(secret), "{outcome}");
        }
    }
    for name in ["image", "new"] {
        let bytes = fs::read(bench.path(name)).unwrap();
        for secret in ["correct horse", "battery staple"] {
            assert!(!bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{name}");
        }
    }
}
