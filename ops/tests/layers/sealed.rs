//! Encrypted images that are changed: after a power cut at any moment, a key opens the disk from before or the one from after.

use instar_abi::job::{
    Amend, AmendKeys, Below, Change, ChangeImage, Commit, Encryption, KeyState, NewBacking, NewSize,
    NewSnapshot, Preallocation, Rebase, Resize, Source, Verb,
};
use instar_abi::{Format, ImageText, Job, NamedSecret, Report, Secret, Slot};
use instar_testkit::{Native, Outcome, oracle};

use crate::bench::{Bench, conversion, job, run_with};
use crate::power::Cut;

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 40;

/// For qemu-img.
const SECRETS: &str = "--object secret,id=s,data=first --object secret,id=t,data=second";

/// A LUKS header of half a megabyte, and the older encryption.
const METHODS: [&str; 2] = [
    "encrypt.format=luks,encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.iter-time=0",
    "encrypt.format=aes",
];

fn secrets() -> Vec<NamedSecret> {
    let named = |id: &[u8], content: &[u8]| NamedSecret {
        id: ImageText::new(id),
        content: Secret::new(content.to_vec()),
    };
    vec![
        named(b"s", b"first"),
        named(b"t", b"second"),
        named(NamedSecret::RANDOM, &[7; 32]),
    ]
}

/// An image, and the name of the secret that opens it.
fn sealed(slot: Slot, key: &str) -> Source {
    Source {
        encrypt: Encryption {
            method: None,
            key: Some(ImageText::new(key.as_bytes())),
        },
        ..Source::new(slot, Some(Format::Qcow2))
    }
}

/// What is seen through `image`, which the first of these secrets opens that does.
fn seen(bench: &Bench, keys: &[&str]) -> Result<Vec<u8>, Report> {
    let mut last = None;
    for key in keys {
        let native = Native::new(1);
        let facts = [
            native.source(bench.path("image")),
            native.target(bench.path("seen.raw")),
        ];
        let mut conversion = conversion(&facts);
        let mut files = facts.to_vec();
        let mut top = sealed(facts[0].slot, key);
        if bench.path("base").exists() {
            let base = native.source(bench.path("base"));
            files.push(base);
            top.below = Below::Given(Box::new(sealed(base.slot, "t")));
        }
        conversion.sources = vec![top];
        match run_with(
            &native,
            &native,
            &job(Verb::Convert(conversion), files),
            secrets(),
        ) {
            Report::Done(_) => return Ok(bench.bytes("seen.raw")),
            failed => last = Some(failed),
        }
    }
    Err(last.expect("a key"))
}

/// Runs the job on those files, the first of which is `image`; gives how many states were looked at.
fn survives(
    bench: &Bench,
    what: &str,
    files: &[&str],
    keys: &[&str],
    make: &dyn Fn(&Native) -> Job,
) -> usize {
    let old = seen(bench, keys).unwrap();
    let mut new = None;
    let cut = Cut {
        bench,
        what,
        files,
        secrets: secrets(),
        sample: SAMPLE,
    };
    let states = cut.everywhere(make, &mut |moment, is_judged| {
        let found = seen(bench, keys).unwrap_or_else(|report| panic!("{moment}: {report:?}"));
        if is_judged {
            judge(bench, moment, keys, &found);
        }
        if found != old {
            let new = new.get_or_insert_with(|| found.clone());
            assert!(found == *new, "{moment}: another disk");
        }
    });
    let last = seen(bench, keys).unwrap();
    assert!(
        last == new.unwrap_or(old),
        "{what}: the disk from after is another one"
    );
    judge(bench, what, keys, &last);
    states
}

/// What qemu-img is told of the layer below, if there is one.
fn below(bench: &Bench) -> &'static str {
    if bench.path("base").exists() {
        ",backing.driver=qcow2,backing.encrypt.key-secret=t,backing.file.filename=base"
    } else {
        ""
    }
}

/// qemu-img sees the same, and finds nothing wrong but leaks and what it repairs.
fn judge(bench: &Bench, what: &str, keys: &[&str], disk: &[u8]) {
    let base = below(bench);
    let opened = keys.iter().find_map(|key| {
        let image = format!("driver=qcow2,encrypt.key-secret={key},file.filename=image{base}");
        let code = bench
            .try_qemu_img(&format!("check {SECRETS} --image-opts {image}"))
            .status
            .code();
        (code != Some(1)).then_some((image, code))
    });
    let (image, code) = opened.unwrap_or_else(|| panic!("{what}: no key opens it"));
    assert!(
        matches!(code, Some(0 | 2 | 3)),
        "{what}: qemu-img check gives {code:?}"
    );
    let tools: &instar_testkit::Bench = bench;
    let found = tools.disk(&format!("{SECRETS} --image-opts"), &image);
    assert!(found == disk, "{what}: qemu-img sees another disk");
    if code != Some(0) {
        let output = bench.try_qemu_img(&format!("check -r all {SECRETS} --image-opts {image}"));
        assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
    }
}

/// `image` with data, zeros and a snapshot, over `below` if there is such.
fn image(bench: &Bench, method: &str, options: &str, below: &str) {
    let create = format!(
        "create -q {SECRETS} -f qcow2 -o {method},encrypt.key-secret=s,{options} {below} image 1000k"
    );
    bench.qemu_img(&create);
    write(
        bench,
        "s",
        "image",
        &["write -P 3 100k 200k", "write -z 512k 64k", "write -P 5 960k 40k"],
    );
}

fn write(bench: &Bench, key: &str, image: &str, commands: &[&str]) {
    let below = match image {
        "image" => below(bench),
        _ => "",
    };
    let opened = format!("driver=qcow2,encrypt.key-secret={key},file.filename={image}{below}");
    let mut program = oracle::program("qemu-io");
    program
        .current_dir(bench.directory())
        .args(SECRETS.split(' '))
        .args(["--image-opts", &opened]);
    for command in commands {
        program.args(["-c", command]);
    }
    let outcome = Outcome::of(&mut program);
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

fn change(change: Change) -> impl Fn(&Native) -> Verb {
    move |_| {
        Verb::Change(ChangeImage {
            image: sealed(Slot(0), "s"),
            change: change.clone(),
        })
    }
}

fn keys(state: KeyState) -> AmendKeys {
    let is = state == KeyState::Active;
    let id = |id: &[u8]| ImageText::new(id);
    AmendKeys {
        new: is.then(|| id(b"t")),
        old: (!is).then(|| id(b"s")),
        state,
        slot: None,
        timed: false,
        speeds: Vec::new(),
        force: false,
    }
}

fn amend(options: Amend) -> Change {
    Change::Amend(Some(options))
}

/// A name, options that the image is made with, and what is done to it.
fn changes() -> [(&'static str, &'static str, Change); 9] {
    let resize = |size, preallocation| {
        Change::Resize(Resize {
            size: NewSize::Exactly(size),
            preallocation,
            shrink: true,
            apart: Vec::new(),
        })
    };
    [
        ("snapshot -c", "", {
            Change::CreateSnapshot(NewSnapshot {
                name: b"another".to_vec(),
                seconds: 1,
                nanoseconds: 2,
            })
        }),
        ("snapshot -a", "", Change::ApplySnapshot(b"one".to_vec())),
        ("snapshot -d", "", Change::DeleteSnapshot(b"one".to_vec())),
        ("larger", "", resize(3 << 20, Preallocation::Off)),
        (
            "larger, reserved",
            "",
            resize(1500 << 10, Preallocation::Metadata),
        ),
        ("smaller", "", resize(600 << 10, Preallocation::Off)),
        (
            "other counts",
            "",
            amend(Amend {
                refcount_bits: Some(8),
                ..Amend::default()
            }),
        ),
        (
            "version 2",
            "",
            amend(Amend {
                compat: Some(b"0.10".to_vec()),
                ..Amend::default()
            }),
        ),
        (
            "version 3",
            "compat=0.10",
            amend(Amend {
                compat: Some(b"1.1".to_vec()),
                ..Amend::default()
            }),
        ),
    ]
}

#[test]
fn a_power_cut_while_an_encrypted_image_is_changed_leaves_one_of_two_disks() {
    let mut states = 0;
    for method in METHODS {
        for (what, options, wanted) in changes() {
            let bench = Bench::new();
            let options = format!("{options},cluster_size=16k");
            image(&bench, method, options.trim_start_matches(','), "");
            bench.qemu_img(&format!(
                "snapshot -c one {SECRETS} --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=image"
            ));
            write(&bench, "s", "image", &["write -P 9 150k 30k"]);
            if what.starts_with("version") {
                // What another disk size or version may not have.
                bench.qemu_img(&format!(
                    "snapshot -d one {SECRETS} --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=image"
                ));
            }
            let verb = change(wanted.clone());
            states += survives(
                &bench,
                &format!("{what}, {method}"),
                &["image"],
                &["s"],
                &|native| {
                    let files = vec![native.existing(bench.path("image"))];
                    job(verb(native), files)
                },
            );
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_power_cut_while_key_slots_change_leaves_one_that_opens() {
    let mut states = 0;
    for (what, others) in [
        ("alone", Amend::default()),
        (
            "with a size",
            Amend {
                size: Some(1 << 20),
                ..Amend::default()
            },
        ),
    ] {
        let bench = Bench::new();
        image(&bench, METHODS[0], "cluster_size=64k", "");
        for state in [KeyState::Active, KeyState::Inactive] {
            let options = Amend {
                encryption: Some(keys(state)),
                ..others.clone()
            };
            let verb = change(amend(options));
            states += survives(&bench, what, &["image"], &["s", "t"], &|native| {
                let files = vec![native.existing(bench.path("image"))];
                job(verb(native), files)
            });
        }
        assert!(
            seen(&bench, &["t"]).is_ok() && seen(&bench, &["s"]).is_err(),
            "{what}"
        );
    }
    println!("{states} states of power cuts");
}

/// `base` with data, and `image` over it.
fn layers(bench: &Bench, method: &str) {
    let create =
        format!("create -q {SECRETS} -f qcow2 -o {method},encrypt.key-secret=t,cluster_size=16k base 900k");
    bench.qemu_img(&create);
    write(bench, "t", "base", &["write -P 1 0 400k", "write -P 2 800k 100k"]);
    image(bench, method, "cluster_size=64k", "-u -b base -F qcow2");
}

#[test]
fn a_power_cut_while_an_encrypted_image_is_rebased_or_committed_changes_nothing_that_is_seen() {
    let mut states = 0;
    for method in METHODS {
        let bench = Bench::new();
        layers(&bench, method);
        states += survives(
            &bench,
            &format!("rebase, {method}"),
            &["image", "base"],
            &["s"],
            &|native| {
                let top = native.existing(bench.path("image"));
                let base = native.existing(bench.path("base"));
                let image = Source {
                    below: Below::Given(Box::new(sealed(base.slot, "t"))),
                    ..sealed(top.slot, "s")
                };
                let verb = Verb::Rebase(Rebase {
                    image,
                    data_file: None,
                    backing: None,
                    names: NewBacking::default(),
                    watched: false,
                });
                job(verb, vec![top, base])
            },
        );
        let bench = Bench::new();
        layers(&bench, method);
        states += survives(
            &bench,
            &format!("commit, {method}"),
            &["image", "base"],
            &["s"],
            &|native| {
                let top = native.existing(bench.path("image"));
                let base = native.existing(bench.path("base"));
                let verb = Verb::Commit(Commit {
                    image: sealed(top.slot, "s"),
                    base: base.slot,
                    locked: vec![sealed(base.slot, "t")],
                    apart: Vec::new(),
                    empties: true,
                    emptied_data: None,
                    rate: 0,
                    watched: false,
                });
                job(verb, vec![top, base])
            },
        );
    }
    println!("{states} states of power cuts");
}
