//! LUKS beside qemu-img and cryptsetup: ciphers both ways, secrets, messages, changes in place.

use std::fs;
use std::process::Command;
use std::time::Duration;

use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::ledger::{self, deviates};
use instar_tests::sealed::{OPTIONS, SECRET};
use instar_tests::{Bench, Outcome, Reference, Running, both_sandboxes, disk};

/// The words of a line; `$S` is the secret, `$L` begins the options of the image that it opens.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        match word {
            "$S" => words.extend(["--object".to_owned(), SECRET.to_owned()]),
            "''" => words.push(String::new()),
            _ => words.push(word.replace("$L", "driver=luks,key-secret=s,file.filename=")),
        }
    }
    words
}

/// `disk.raw`, and `image`, which qemu-img made of it.
fn image(bench: &Bench, options: &str) {
    disk::usual(&bench.path("disk.raw"));
    let options = format!("{OPTIONS}{options}");
    bench
        .qemu(["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", &options, "disk.raw", "image"])
        .succeeds();
}

/// The same command lines in two directories.
struct Pair {
    theirs: Bench,
    ours: Bench,
}

impl Pair {
    fn new(bench: &Bench) -> Self {
        let pair = Self {
            theirs: Bench::new(bench.sandbox()),
            ours: Bench::new(bench.sandbox()),
        };
        image(&pair.theirs, "");
        for name in pair.theirs.names() {
            fs::copy(pair.theirs.path(&name), pair.ours.path(&name)).unwrap();
        }
        pair
    }

    /// Both say the same, and leave files of the same lengths; gives whether they succeeded.
    #[track_caller]
    fn agree(&self, line: &str) -> bool {
        let words = words(line);
        let (theirs, ours) = (self.theirs.qemu(&words), self.ours.instar(&words));
        assert_eq!(theirs.code(), ours.code(), "{line}: {theirs}{ours}");
        assert_eq!(theirs.text(), ours.text(), "{line}: {theirs}{ours}");
        assert_eq!(theirs.message(), ours.message(), "{line}: {theirs}{ours}");
        let lengths = |bench: &Bench| -> Vec<(String, u64)> {
            let names = bench.names().into_iter();
            names.map(|name| (name.clone(), fs::metadata(bench.path(&name)).unwrap().len())).collect()
        };
        assert_eq!(lengths(&self.theirs), lengths(&self.ours), "{line}");
        theirs.code() == Some(0)
    }
}

/// `image` as a disk that qemu-img reads.
#[track_caller]
fn qemu_reads(bench: &Bench, image: &str) {
    let line = format!("convert $S --image-opts $L{image} -O raw theirs.raw");
    bench.qemu(words(&line)).succeeds();
    same_bytes(bench, "disk.raw", "theirs.raw", image);
}

const CIPHERS: &[&str] = &[
    "aes-128",
    "aes-192",
    "aes-256",
    "serpent-128",
    "serpent-192",
    "serpent-256",
    "twofish-128",
    "twofish-192",
    "twofish-256",
    "cast5-128",
];
const MODES: &[&str] = &["xts", "cbc", "ctr", "ecb"];
const IV_GENERATORS: &[&str] = &["plain", "plain64", "essiv"];
const HASHES: [&str; 8] = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160", "sm3"];

/// Whether qemu-img aborts: the material of a key slot is no whole number of sectors then.
fn aborts(options: &str) -> bool {
    options.contains("-192,") && !options.contains("cipher-mode=xts")
}

/// Looking and reading, of the same image.
const READING: &[&str] = &[
    "info image",
    "info --output=json image",
    "info --output=json $S --image-opts $Limage",
    "info --image-opts file.filename=image,key-secret=nobody",
    "info --backing-chain image",
    "map image",
    "map -f luks image",
    "map $S --image-opts $Limage",
    "map --output=json $S --image-opts $Limage",
    "map --output=json $S --image-opts file.filename=image,key-secret=s",
    "check image",
    "check $S --image-opts $Limage",
    "check $S --image-opts driver=luks,key-secret=t,file.filename=image",
    "check --object secret,id=s,data=wrong --image-opts $Limage",
    "check --object secret,id=s,data=//79,format=base64 --image-opts $Limage",
    "measure image",
    "measure $S --image-opts $Limage",
    "measure -O qcow2 $S --image-opts $Limage",
    "measure -O luks $S -o key-secret=s,iter-time=10 disk.raw",
    "snapshot -l image",
    "snapshot -l $S --image-opts $Limage",
    "compare image disk.raw",
    "compare $S --image-opts $Limage driver=raw,file.filename=disk.raw",
    "compare -s $S --image-opts $Limage driver=raw,file.filename=disk.raw",
    "compare $S --image-opts $Limage $Limage",
    "convert image out",
    "convert -l name $S --image-opts $Limage out",
    "convert $S --image-opts driver=raw,key-secret=s,file.filename=image out",
    "convert $S --image-opts key-secret=s,file.filename=disk.raw out",
    "convert $S --image-opts driver=luks,key-secret=,file.filename=image out",
    "dd if=image of=out",
    "bench -c 1 image",
    "info --object secret,id=a,file=. image",
    "info --object secret,id=a,file=nothing image",
    "info --object secret,id=a,data=x!,format=base64 image",
    "info --object secret,id=a,data=x,keyid=b image",
    "info --object secret,id=b,data=12345678901234567890123456789012 --object secret,id=a,data=x,keyid=b image",
    "info --object secret,id=b,data=12345678901234567890123456789012 --object secret,id=a,data=x,keyid=b,iv=xxxx image",
    "info --object secret,id=b,data=12345678901234567890123456789012 --object secret,id=a,data=x,keyid=b,iv=AAAAAAAAAAAAAAAAAAAAAA== image",
    "info --object secret,id=b,data=12345678901234567890123456789012 --object secret,id=a,data=1234567890123456,keyid=b,iv=AAAAAAAAAAAAAAAAAAAAAA== image",
    "info --object secret,id=b,data=short --object secret,id=a,data=x,keyid=b,iv=AAAAAAAAAAAAAAAAAAAAAA== image",
];

/// Making and changing, each in a directory of its own.
const WRITING: &[&str] = &[
    "create -f luks new 1M",
    "create -f luks -o key-secret=t new 1M",
    "create -f luks $S -o key-secret=s,iter-time=10 new 1000",
    "create -f luks $S -o key-secret=s,iter-time=0 new 0",
    "create -f luks $S -o key-secret=s,cipher-alg=foo other 1M",
    "create -f luks -o cipher-alg=3des other 1M",
    "create -f luks $S -o key-secret=s,cipher-alg=3des other 1M",
    "create -f luks $S -o key-secret=s,cipher-alg=cast5-128 other 1M",
    "create -f luks $S -o key-secret=s,cipher-mode=foo other 1M",
    "create -f luks $S -o key-secret=s,ivgen-alg=foo other 1M",
    "create -f luks $S -o key-secret=s,hash-alg=foo other 1M",
    "create -f luks $S -o key-secret=s,ivgen-alg=essiv,ivgen-hash-alg=sha1 other 1M",
    "create -f luks $S -o key-secret=s,cipher-alg=serpent-256,ivgen-alg=essiv,ivgen-hash-alg=sha512 other 1M",
    "create -f luks $S -o key-secret=s,iter-time=18446744073709551615 other 1M",
    "create -f luks $S -o key-secret=s,iter-time=x other 1M",
    "create -f luks $S -o key-secret=s,preallocation=metadata,iter-time=10 new 1M",
    "create -f luks $S -o key-secret=s,preallocation=full,iter-time=10 new 1M",
    "create -f luks $S -o key-secret=s,preallocation=foo other 1M",
    "create -f luks $S -o key-secret=s,iter-time=10 other",
    "create -f luks -b disk.raw -F raw $S -o key-secret=s other 1M",
    "create -f luks -o help",
    "create -f luks -o help other",
    "convert -O luks disk.raw other",
    "convert -c -O luks disk.raw other",
    "convert -O luks -o key-secret=t disk.raw other",
    "convert -B disk.raw -F raw -O luks $S -o key-secret=s disk.raw other",
    "convert -n -O luks disk.raw image",
    "convert -n $S --target-image-opts disk.raw $Limage",
    "dd -O luks if=disk.raw of=other",
    "resize image 8M",
    "resize $S --image-opts $Limage 8M",
    "resize $S --image-opts $Limage 7M",
    "resize --shrink $S --image-opts $Limage 7M",
    "resize --preallocation=full $S --image-opts $Limage +1M",
    "resize --preallocation=metadata $S --image-opts $Limage +1M",
    "check -r all $S --image-opts $Limage",
    "commit $S --image-opts $Limage",
    "rebase -u -b x -F raw $S --image-opts $Limage",
    "snapshot -c x $S --image-opts $Limage",
    "snapshot -d x $S --image-opts $Limage",
    "snapshot -a x $S --image-opts $Limage",
    "bitmap --add image name",
    "amend -f luks -o size=8M image",
    "create -q -f qcow2 -u -b image -F luks over 8M",
    "convert over other",
    "convert $S --image-opts driver=qcow2,file.filename=over,backing.driver=luks,backing.key-secret=s,backing.file.filename=image disk",
    "commit over",
];

/// Key slots, one after the other. The secret `n` is `new`, `w` opens nothing, `u` is no text.
const SLOTS: &[&str] = &[
    "-o state=active $Limage",
    "-o state=active,new-secret=n,old-secret=s $Limage",
    "-o state=foo $Limage",
    "-o keyslot=1 $Limage",
    "-o cipher-alg=aes-128,state=active $Limage",
    "-o size=2M $Limage",
    "-o foo=1 $Limage",
    "-o new-secret=n,state=active,keyslot=8 $Limage",
    "-o new-secret=n,state=active,keyslot=-1 $Limage",
    "-o new-secret=n,state=active,keyslot=0 $Limage",
    "-o new-secret=n,state=active,keyslot=x $Limage",
    "-o new-secret=zz,state=active $Limage",
    "-o new-secret=u,state=active $Limage",
    "-o new-secret=n,state=active,iter-time=0 $Limage",
    "-o new-secret=n,state=active,iter-time=10 $Limage",
    "-o state=inactive $Limage",
    "-o state=inactive,new-secret=n $Limage",
    "-o state=inactive,iter-time=10 $Limage",
    "-o state=inactive,keyslot=5 $Limage",
    "-o state=inactive,keyslot=9 $Limage",
    "-o state=inactive,old-secret=w $Limage",
    "-o state=inactive,old-secret=zz $Limage",
    "-o state=inactive,keyslot=1,old-secret=s $Limage",
    "-o state=inactive,keyslot=1,old-secret=n $Limage",
    "-p -o state=active,new-secret=n,keyslot=7,iter-time=10 $Limage",
    "--force -o state=active,new-secret=n,keyslot=7,iter-time=10 $Limage",
    "-f luks -o state=active,new-secret=n image",
    "-o state=active,new-secret=n image",
    "-o state=inactive,keyslot=0 $Limage",
    "-o state=inactive,keyslot=2 $Limage",
    "-o state=inactive,old-secret=n driver=luks,key-secret=n,file.filename=image",
    "-o state=inactive,keyslot=2 driver=luks,key-secret=n,file.filename=image",
    "-o state=inactive,keyslot=7 driver=luks,key-secret=n,file.filename=image",
    "-o state=active,new-secret=s,iter-time=10 driver=luks,key-secret=n,file.filename=image",
];

both_sandboxes!(
    every_cipher_of_the_reference_is_read,
    the_reference_reads_every_cipher,
    looking_and_reading_say_what_the_reference_says,
    making_and_changing_say_what_the_reference_says,
    windows_begin_and_end_anywhere,
    what_is_converted_is_the_disk,
    secrets_come_in_every_form,
    cryptsetup_opens_what_is_written,
    disks_of_cryptsetup_are_read,
    a_layer_above_has_the_key_of_the_one_below,
    an_existing_disk_is_overwritten_with_its_header_in_place,
    a_killed_create_leaves_nothing,
    a_header_that_costs_too_much_is_refused,
    keys_are_not_made_twice,
    luks2_is_read_where_the_user_says_that_it_is,
    key_slots_are_added_and_erased_as_by_the_reference,
    keys_of_192_bits_are_read_and_written_in_every_mode,
);

/// Every cipher in every mode with every generator of vectors, and every hash under each of them.
fn combinations() -> Vec<String> {
    let mut every = Vec::new();
    for cipher in CIPHERS {
        for generator in IV_GENERATORS {
            for mode in MODES {
                every.push(format!("cipher-alg={cipher},cipher-mode={mode},ivgen-alg={generator}"));
            }
        }
    }
    for generator in IV_GENERATORS {
        every.extend(HASHES.map(|hash| format!("cipher-mode=cbc,hash-alg={hash},ivgen-alg={generator}")));
    }
    // Which of these there are depends on the lengths of the hash and of the key.
    for cipher in ["aes-128", "serpent-192", "twofish-256"] {
        let essiv =
            |hash| format!("cipher-alg={cipher},cipher-mode=xts,ivgen-alg=essiv,ivgen-hash-alg={hash}");
        every.extend(HASHES.map(essiv));
    }
    every
}

/// `image`, which one of both programs makes of `disk.raw`.
fn make(bench: &Bench, options: &str, program: impl Fn(&Bench, &[&str]) -> Outcome) -> Outcome {
    let options = format!("{OPTIONS},{options}");
    program(
        bench,
        &["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", &options, "disk.raw", "image"],
    )
}

fn every_cipher_of_the_reference_is_read(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let mut read = 0;
    for options in bench.share(combinations()) {
        if aborts(&options) {
            continue;
        }
        let theirs = make(bench, &options, |bench, line| bench.qemu(line));
        if theirs.code() != Some(0) {
            continue;
        }
        same_outcome(bench, &["info", "image"], &options);
        bench.instar(words("convert $S --image-opts $Limage -O raw ours.raw")).succeeds();
        same_bytes(bench, "disk.raw", "ours.raw", &options);
        read += 1;
    }
    assert!(read > 30, "{read}");
}

fn the_reference_reads_every_cipher(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for options in bench.share(combinations()) {
        let ours = make(bench, &options, |bench, line| bench.instar(line));
        if aborts(&options) {
            ours.succeeds();
            continue;
        }
        if ours.code() == Some(0) {
            qemu_reads(bench, "image");
            same_outcome(bench, &["info", "--output=json", "image"], &options);
            continue;
        }
        let theirs = make(bench, &options, |bench, line| bench.qemu(line));
        assert_eq!(theirs.code(), ours.code(), "{options}: {theirs}{ours}");
        assert_eq!(theirs.message(), ours.message(), "{options}: {theirs}{ours}");
    }
}

fn looking_and_reading_say_what_the_reference_says(bench: &Bench) {
    image(bench, "");
    for line in READING {
        let words = words(line);
        same_outcome(bench, &words, line);
    }
}

fn making_and_changing_say_what_the_reference_says(bench: &Bench) {
    let pair = Pair::new(bench);
    let done = WRITING.iter().filter(|line| pair.agree(line)).count();
    assert!(done >= 12, "{done}");
    for name in ["image", "new"] {
        let line = format!("convert $S --image-opts $L{name} -O raw {name}.raw");
        pair.ours.qemu(words(&line)).succeeds();
    }
}

fn windows_begin_and_end_anywhere(bench: &Bench) {
    image(bench, "");
    for window in ["bs=1 skip=1001 count=7003", "bs=513 skip=3 count=400", "bs=512 skip=7", "bs=1M count=2"] {
        let line = |out| words(&format!("dd $S --image-opts if=$Limage of={out} {window}"));
        bench.qemu(line("theirs.raw")).succeeds();
        bench.instar(line("ours.raw")).succeeds();
        same_bytes(bench, "theirs.raw", "ours.raw", window);
    }
}

fn what_is_converted_is_the_disk(bench: &Bench) {
    image(bench, ",cipher-alg=aes-128");
    for format in ["raw", "qcow2", "vmdk", "vdi", "qed"] {
        let line = format!("convert $S --image-opts $Limage -O {format} out");
        bench.instar(words(&line)).succeeds();
        bench.qemu(["convert", "-f", format, "-O", "raw", "out", "out.raw"]).succeeds();
        same_bytes(bench, "disk.raw", "out.raw", format);
        let options = ["-o", "key-secret=s,iter-time=1"];
        let make = ["convert", "--object", SECRET, "-f", format, "-O", "luks"].into_iter().chain(options);
        bench.instar(make.chain(["out", "again"])).succeeds();
        qemu_reads(bench, "again");
    }
    let sum = |line: &str| bench.instar(words(line)).succeeds().text().split(' ').next().map(str::to_owned);
    assert_eq!(sum("checksum $S --image-opts $Limage"), sum("checksum disk.raw"));
    let window = "convert $S --image-opts driver=luks,key-secret=s,file.driver=raw,file.offset=4096,file.file.filename=moved out";
    let moved = [vec![7; 4096], fs::read(bench.path("image")).unwrap()].concat();
    fs::write(bench.path("moved"), moved).unwrap();
    bench.instar(words(window)).succeeds();
    same_bytes(bench, "disk.raw", "out", "in a part of a file");
}

/// `correct horse`, encrypted with AES-256 in CBC mode by openssl.
const ENCRYPTED: &str = "sekP8qlvCfKtuHmS8T6znw==";

fn secrets_come_in_every_form(bench: &Bench) {
    image(bench, "");
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    fs::write(bench.path("encoded"), "Y29ycmVjdCBo\nb3JzZQ==\n").unwrap();
    let key = "secret,id=k,data=0123456789abcdef0123456789abcdef";
    let sealed = format!("secret,id=s,keyid=k,iv=AAECAwQFBgcICQoLDA0ODw==,format=base64,data={ENCRYPTED}");
    for secrets in [
        &["secret,id=s,file=passphrase"][..],
        &["secret,id=s,format=base64,file=encoded"],
        &["secret,id=s,format=base64,data=Y29ycmVjdCBob3JzZQ=="],
        &[r#"{"qom-type":"secret","id":"s","data":"correct horse"}"#],
        &[key, &sealed],
    ] {
        let objects = secrets.iter().flat_map(|secret| ["--object", secret]);
        let line: Vec<&str> = ["convert", "--image-opts"].into_iter().chain(objects).collect();
        let rest = ["driver=luks,key-secret=s,file.filename=image", "-O", "raw", "out"];
        for outcome in [bench.qemu(line.iter().chain(&rest)), bench.instar(line.iter().chain(&rest))] {
            outcome.succeeds();
            same_bytes(bench, "disk.raw", "out", secrets[0]);
        }
    }
    // A newline at the end belongs to the passphrase.
    fs::write(bench.path("passphrase"), "correct horse\n").unwrap();
    same_outcome(
        bench,
        &[
            "convert",
            "--object",
            "secret,id=s,file=passphrase",
            "--image-opts",
            "driver=luks,key-secret=s,file.filename=image",
            "out",
        ],
        "newline",
    );
}

fn cryptsetup(bench: &Bench, words: &[&str]) -> Option<Outcome> {
    let mut command = Command::new("cryptsetup");
    if command.arg("--version").output().is_err() {
        ledger::skip("cryptsetup is not installed: no second opinion on LUKS");
        return None;
    }
    ledger::opinion("cryptsetup", "luks");
    let mut command = Command::new("cryptsetup");
    Some(Outcome::of(command.args(words).current_dir(bench.directory())))
}

fn cryptsetup_opens_what_is_written(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    fs::write(bench.path("wrong"), "wrong").unwrap();
    for options in ["", ",cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha512"] {
        let options = format!("{OPTIONS}{options}");
        let make = ["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", &options];
        bench.instar(make.into_iter().chain(["disk.raw", "image"])).succeeds();
        let test = |file| ["open", "--test-passphrase", "--key-file", file, "image"];
        let Some(opened) = cryptsetup(bench, &test("passphrase")) else {
            return;
        };
        opened.succeeds();
        assert_eq!(cryptsetup(bench, &test("wrong")).unwrap().code(), Some(2));
        let dump = cryptsetup(bench, &["luksDump", "image"]).unwrap();
        assert!(dump.succeeds().text().contains("Key Slot 0: ENABLED"), "{dump}");
    }
}

fn disks_of_cryptsetup_are_read(bench: &Bench) {
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    fs::File::create(bench.path("image")).unwrap().set_len(8 << 20).unwrap();
    for options in [
        &["--cipher", "aes-xts-plain64"][..],
        &["--cipher", "aes-cbc-plain", "--key-size", "128", "--hash", "sha1"],
    ] {
        let make = ["luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file"];
        let make: Vec<&str> =
            make.iter().chain(&["passphrase"]).chain(options).chain(&["image"]).copied().collect();
        let Some(made) = cryptsetup(bench, &make) else {
            return;
        };
        made.succeeds();
        same_outcome(bench, &["info", "image"], options[1]);
        for (program, out) in [(true, "theirs.raw"), (false, "ours.raw")] {
            let line = words(&format!("convert $S --image-opts $Limage -O raw {out}"));
            let outcome = if program {
                bench.qemu(line)
            } else {
                bench.instar(line)
            };
            outcome.succeeds();
        }
        same_bytes(bench, "theirs.raw", "ours.raw", options[1]);
    }
}

fn a_layer_above_has_the_key_of_the_one_below(bench: &Bench) {
    image(bench, "");
    bench.qemu(words("create -q -f qcow2 -u -b image -F luks over 3M")).succeeds();
    let over = "driver=qcow2,file.filename=over,backing.driver=luks,backing.key-secret=s,backing.file.filename=image";
    for line in [
        "convert $S --image-opts OVER -O raw ours.raw",
        "convert $S --image-opts OVER -O vmdk -o subformat=twoGbMaxExtentSparse ours.vmdk",
    ] {
        bench.instar(words(&line.replace("OVER", over))).succeeds();
    }
    bench.qemu(words(&format!("convert $S --image-opts {over} -O raw theirs.raw"))).succeeds();
    same_bytes(bench, "theirs.raw", "ours.raw", "a layer above");
    bench.qemu(["convert", "-O", "raw", "ours.vmdk", "split.raw"]).succeeds();
    same_bytes(bench, "theirs.raw", "split.raw", "whose size another instance looked for");
    let ours = bench.instar(words("info --output=json over"));
    assert!(ours.succeeds().text().contains("\"backing-filename-format\": \"luks\""), "{ours}");
}

fn an_existing_disk_is_overwritten_with_its_header_in_place(bench: &Bench) {
    image(bench, "");
    let header = || fs::read(bench.path("image")).unwrap()[..2_068_480].to_vec();
    let before = header();
    fs::rename(bench.path("disk.raw"), bench.path("old.raw")).unwrap();
    disk::make(&bench.path("disk.raw"), 5 << 20, &disk::usual_pieces(9));
    let size = fs::metadata(bench.path("disk.raw")).unwrap().len();
    bench.qemu(words(&format!("resize -q $S --image-opts $Limage {size}"))).is_civil();
    bench.instar(words("convert -n $S --target-image-opts disk.raw $Limage")).succeeds();
    assert!(header() == before);
    qemu_reads(bench, "image");
}

fn a_killed_create_leaves_nothing(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for milliseconds in [1, 5, 20, 60, 150, 300] {
        let line = words("convert $S -O luks -o key-secret=s,iter-time=100 disk.raw image");
        let running = bench.start(line);
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.signal("KILL");
        let outcome = running.finish();
        if outcome.code() == Some(0) {
            qemu_reads(bench, "image");
            fs::remove_file(bench.path("image")).unwrap();
        } else {
            assert!(!bench.names().contains(&"image".to_owned()), "after {milliseconds} ms");
        }
    }
}

fn a_header_that_costs_too_much_is_refused(bench: &Bench) {
    image(bench, "");
    let mut bytes = fs::read(bench.path("image")).unwrap();
    bytes[212..216].copy_from_slice(&u32::MAX.to_be_bytes());
    fs::write(bench.path("image"), bytes).unwrap();
    let outcome = bench.instar(words("convert $S --image-opts $Limage out"));
    outcome.within(Duration::from_secs(5));
    outcome.fails_with("4294967295 iterations of PBKDF2; the limit is 134217728");
    let line = words("convert $S --image-opts $Limage out");
    let mut theirs =
        Running::start(Reference::installed().program("qemu-img").args(line).current_dir(bench.directory()));
    std::thread::sleep(Duration::from_secs(3));
    deviates("luks-cost", &theirs.runs(), &false);
    theirs.signal("KILL");
}

/// Neither the seed for tests nor anything else of the command makes two disks with one key.
fn keys_are_not_made_twice(bench: &Bench) {
    let mut made = Vec::new();
    for name in ["one", "two"] {
        let line = words(&format!("create -q -f luks $S -o key-secret=s,iter-time=0 {name} 1M"));
        let mut command = bench.command(line);
        Outcome::of(command.env("INSTAR_SEED", "seed")).succeeds();
        made.push(fs::read(bench.path(name)).unwrap());
    }
    assert!(made[0][..200] != made[1][..200]);
}

fn keys_of_192_bits_are_read_and_written_in_every_mode(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    let options = "key-secret=s,iter-time=10,cipher-alg=aes-192,cipher-mode=cbc";
    let make = ["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", options, "disk.raw", "image"];
    bench.instar(make).succeeds();
    let line = words("convert $S --image-opts $Limage -O raw out");
    let ours = bench.instar(&line);
    ours.succeeds();
    same_bytes(bench, "disk.raw", "out", options);
    deviates("luks-192-bits", &bench.qemu(&line).code(), &ours.code());
    let test = ["open", "--test-passphrase", "--key-file", "passphrase", "image"];
    if let Some(opened) = cryptsetup(bench, &test) {
        opened.succeeds();
    }
}

fn key_slots_are_added_and_erased_as_by_the_reference(bench: &Bench) {
    let pair = Pair::new(bench);
    for line in SLOTS {
        let options = if line.contains("file.filename") || line.contains("$L") {
            " --image-opts"
        } else {
            ""
        };
        let secrets = "--object secret,id=n,data=new --object secret,id=w,data=wrong --object secret,id=u,data=//79,format=base64";
        pair.agree(&format!("amend $S {secrets}{options} {line}"));
        for bench in [&pair.theirs, &pair.ours] {
            // What each of them left, in the eyes of the other.
            let slots = |outcome: &Outcome| {
                let text = outcome.succeeds().text();
                text.lines().filter(|line| line.contains("active")).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(
                slots(&bench.qemu(["info", "image"])),
                slots(&bench.instar(["info", "image"])),
                "{line}"
            );
        }
        let slots = |bench: &Bench| bench.qemu(["info", "image"]).text().matches("active: true").count();
        assert_eq!(slots(&pair.theirs), slots(&pair.ours), "{line}");
    }
    qemu_reads(&pair.ours, "image");
    fs::write(pair.ours.path("passphrase"), "new").unwrap();
    let test = ["open", "--test-passphrase", "--key-file", "passphrase", "image"];
    if let Some(opened) = cryptsetup(&pair.ours, &test) {
        opened.succeeds();
    }
}

/// cryptsetup encrypts a disk in place without a device mapper, so what it holds is known.
fn luks2_is_read_where_the_user_says_that_it_is(bench: &Bench) {
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    for options in [
        &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"][..],
        &[
            "--pbkdf",
            "argon2id",
            "--pbkdf-memory",
            "32768",
            "--pbkdf-force-iterations",
            "4",
            "--pbkdf-parallel",
            "1",
        ],
        &[
            "--pbkdf",
            "argon2i",
            "--pbkdf-memory",
            "32768",
            "--pbkdf-force-iterations",
            "4",
            "--sector-size",
            "4096",
        ],
    ] {
        fs::File::create(bench.path("image")).unwrap().set_len(20 << 20).unwrap();
        let make = ["luksFormat", "-q", "--type", "luks2", "--key-file", "passphrase"];
        let make: Vec<&str> = make.iter().chain(options).chain(&["image"]).copied().collect();
        let Some(made) = cryptsetup(bench, &make) else {
            return;
        };
        made.succeeds();
        let line = words("convert $S --image-opts $Limage out");
        let (theirs, ours) = (bench.qemu(&line), bench.instar(&line));
        theirs.fails_with("LUKS version 2 is not supported");
        ours.succeeds();
        deviates("luks2-read", &theirs.code(), &ours.code());
        // A key that cryptsetup gives away decrypts the zeros of the file to the same noise.
        let key = [
            "luksDump",
            "-q",
            "--dump-volume-key",
            "--volume-key-file",
            "key",
            "--key-file",
            "passphrase",
            "image",
        ];
        let _ = fs::remove_file(bench.path("key"));
        cryptsetup(bench, &key).unwrap().succeeds();
        let first = noise(bench);
        assert_eq!(fs::read(bench.path("out")).unwrap()[..16], first[..], "{options:?}");
        let wrong = bench.instar([
            "convert",
            "--object",
            "secret,id=s,data=wrong",
            "--image-opts",
            "driver=luks,key-secret=s,file.filename=image",
            "out",
        ]);
        wrong.fails_with("Invalid password, cannot unlock any keyslot");
        same_outcome(bench, &["info", "--output=json", "image"], "taken for raw");
    }
}

/// Sixteen bytes of zeros, decrypted as the first block of sector 0 with AES-256 in XTS mode by openssl: the tweak is the zeros of the sector's
/// number, encrypted with the second key.
fn noise(bench: &Bench) -> Vec<u8> {
    let key = fs::read(bench.path("key")).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let block = |way: &str, key: &[u8], input: &[u8]| {
        fs::write(bench.path("block"), input).unwrap();
        let key = hex(key);
        let words = ["enc", way, "-aes-256-ecb", "-nopad", "-K", &key, "-in", "block"];
        let mut command = Command::new("openssl");
        let output = command.args(words).current_dir(bench.directory()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let tweak = block("-e", &key[32..], &[0; 16]);
    let opened = block("-d", &key[..32], &tweak);
    opened.iter().zip(&tweak).map(|(one, other)| one ^ other).collect()
}
