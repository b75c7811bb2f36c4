//! What an image is described as, beside `qemu-img info`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use instar_disk::job::Compression;
use instar_disk::report::{Info, LuksInfo, Qcow2Info, Snapshot, Specific};
use instar_disk::{File, ImageText};
use instar_qcow2::OpenOptions;
use instar_testkit::Native;
use serde_json::{Map, Value, json};
use support::{Bench, edited};

fn text(text: &ImageText) -> Value {
    Value::from(String::from_utf8_lossy(text.as_bytes()).into_owned())
}

/// Our description as the host will print it, without what the host knows itself.
fn ours(bench: &Bench, image: &str) -> Value {
    let native = Native::new(1);
    let facts = native.source(bench.path(image));
    let options = OpenOptions { info_only: true };
    let info = instar_qcow2::open(File::new(&native, facts), options)
        .and_then(|mut image| image.describe())
        .unwrap();
    let Some(Specific::Qcow2(specific)) = &info.specific else {
        panic!("no qcow2 in the description");
    };
    let mut all = common(&info);
    all.insert(
        "format-specific".into(),
        json!({ "type": "qcow2", "data": data(specific) }),
    );
    Value::Object(all)
}

fn common(info: &Info) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("virtual-size".into(), info.virtual_size.into());
    all.insert("cluster-size".into(), info.cluster_size.into());
    all.insert("format".into(), info.format.name().into());
    all.insert("dirty-flag".into(), info.dirty.into());
    if info.encrypted {
        all.insert("encrypted".into(), true.into());
    }
    if let Some(backing) = &info.backing {
        all.insert("backing-filename".into(), text(&backing.name));
        if let Some(format) = &backing.format {
            all.insert("backing-filename-format".into(), text(format));
        }
    }
    if !info.snapshots.is_empty() {
        all.insert("snapshots".into(), info.snapshots.iter().map(snapshot).collect());
    }
    all
}

fn snapshot(snapshot: &Snapshot) -> Value {
    let mut all = json!({
        "id": text(&snapshot.id),
        "name": text(&snapshot.name),
        "vm-state-size": snapshot.vm_state_size,
        "date-sec": snapshot.date_sec,
        "date-nsec": snapshot.date_nsec,
        "vm-clock-sec": snapshot.vm_clock_nsec / 1_000_000_000,
        "vm-clock-nsec": snapshot.vm_clock_nsec % 1_000_000_000,
    });
    if let Some(icount) = snapshot.icount {
        all["icount"] = icount.into();
    }
    all
}

fn data(info: &Qcow2Info) -> Value {
    let mut all = json!({
        "compat": if info.version == 2 { "0.10" } else { "1.1" },
        "compression-type": match info.compression {
            Compression::Zlib => "zlib",
            Compression::Zstd => "zstd",
        },
        "refcount-bits": info.refcount_bits,
    });
    if info.version >= 3 {
        all["lazy-refcounts"] = info.lazy_refcounts.into();
        all["corrupt"] = info.corrupt.into();
        all["extended-l2"] = info.extended_l2.into();
        if let Some(name) = &info.data_file {
            all["data-file"] = text(name);
        }
        if info.external_data {
            all["data-file-raw"] = info.data_file_raw.into();
        }
    }
    if !info.bitmaps.is_empty() {
        let bitmaps = info.bitmaps.iter().map(|bitmap| {
            let flags = [("in-use", bitmap.in_use), ("auto", bitmap.auto)];
            let flags = flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name);
            json!({
                "name": text(&bitmap.name),
                "granularity": bitmap.granularity,
                "flags": flags.collect::<Vec<_>>(),
            })
        });
        all["bitmaps"] = bitmaps.collect();
    }
    match (info.encryption, &info.luks) {
        (1, None) => all["encrypt"] = json!({ "format": "aes" }),
        (2, Some(header)) => all["encrypt"] = luks(header),
        (0, None) => {}
        other => panic!("{other:?}"),
    }
    all
}

fn luks(header: &LuksInfo) -> Value {
    let slots = header.slots.iter().map(|slot| match slot.active {
        None => json!({ "active": false, "key-offset": slot.key_offset }),
        Some((iterations, stripes)) => json!({
            "active": true,
            "key-offset": slot.key_offset,
            "iters": iterations,
            "stripes": stripes,
        }),
    });
    let mut all = json!({
        "format": "luks",
        "detached-header": false,
        "cipher-alg": text(&header.cipher),
        "cipher-mode": text(&header.cipher_mode),
        "ivgen-alg": text(&header.iv_generator),
        "hash-alg": text(&header.hash),
        "uuid": text(&header.uuid),
        "payload-offset": header.payload_offset,
        "master-key-iters": header.master_key_iterations,
        "slots": slots.collect::<Vec<_>>(),
    });
    if let Some(hash) = &header.iv_generator_hash {
        all["ivgen-hash-alg"] = text(hash);
    }
    all
}

/// qemu-img's description, without what the host knows itself.
fn theirs(bench: &Bench, image: &str) -> Value {
    let text = bench.qemu_img(&format!("info -f qcow2 --output=json {image}"));
    let mut all: Map<String, Value> = serde_json::from_str(&text).unwrap();
    for name in ["children", "filename", "actual-size", "full-backing-filename"] {
        all.remove(name);
    }
    Value::Object(all)
}

fn compare(bench: &Bench, what: &str) {
    assert_eq!(ours(bench, "image"), theirs(bench, "image"), "{what}");
}

#[test]
fn describes_every_way_of_making_an_image() {
    for options in [
        "compat=0.10",
        "compat=1.1",
        "cluster_size=512",
        "cluster_size=2M",
        "refcount_bits=1",
        "refcount_bits=64",
        "lazy_refcounts=on",
        "compression_type=zstd",
        "extended_l2=on",
        "data_file=data",
        "data_file=data,data_file_raw=on",
        "backing_file=nowhere,backing_fmt=raw",
        "backing_file=nowhere,backing_fmt=qcow2,compat=0.10",
    ] {
        let bench = Bench::new();
        bench.qemu_img(&format!("create -q -u -f qcow2 -o {options} image 123456789"));
        compare(&bench, options);
    }
}

#[test]
fn describes_encryption() {
    for options in [
        "encryption=on",
        "encrypt.format=luks,encrypt.iter-time=10",
        "encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-alg=aes-128",
        "encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        "encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-alg=serpent-256,encrypt.hash-alg=sha512",
    ] {
        let bench = Bench::new();
        let secret = "--object secret,id=key,data=abc";
        bench.qemu_img(&format!(
            "create -q -f qcow2 {secret} -o {options},encrypt.key-secret=key image 1M"
        ));
        compare(&bench, options);
    }
}

#[test]
fn describes_bitmaps_and_snapshots() {
    for compat in ["0.10", "1.1"] {
        let bench = Bench::new();
        bench.qemu_img(&format!("create -q -f qcow2 -o compat={compat} image 10M"));
        bench.qemu_io("image", &["write -P 1 0 1M"]);
        bench.qemu_img("snapshot -c one image");
        if compat == "1.1" {
            bench.qemu_img("resize -q image 20M");
        }
        bench.qemu_img("snapshot -c a-name-of-some-length image");
        compare(&bench, compat);
        if compat == "1.1" {
            bench.qemu_img("bitmap --add image first");
            bench.qemu_img("bitmap --add --disable -g 512 image second");
            compare(&bench, "bitmaps");
        }
    }
}

#[test]
fn describes_odd_snapshots() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 10M");
    bench.qemu_img("snapshot -c one image");
    bench.qemu_img("snapshot -c two image");
    let whole = bench.bytes("image");
    let table = u64::from_be_bytes(whole[64..72].try_into().unwrap());
    let cases: [(&str, u64, &[u8]); 7] = [
        ("clock", 24, &[0, 0, 0, 99, 0, 0, 0, 7]),
        ("old state size", 32, &[0, 1, 2, 3]),
        ("large state size", 40, &[0, 0, 0, 9, 1, 2, 3, 4]),
        ("no instruction count", 56, &[0xff; 8]),
        ("instruction count", 56, &[0, 0, 0, 0, 1, 2, 3, 4]),
        ("NUL in the name", 65, &[0]),
        ("bytes that are no text", 64, b"\x01\x7f"),
    ];
    for (name, at, bytes) in cases {
        bench.put("image", &edited(&whole, &[(table + at, bytes)]));
        compare(&bench, name);
    }
}

#[test]
fn describes_snapshots_with_less_and_more_extra_data() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 10M");
    bench.qemu_img("snapshot -c one image");
    let whole = bench.bytes("image");
    let table = u64::from_be_bytes(whole[64..72].try_into().unwrap());
    for extra in [0_u32, 1, 8, 15, 16, 17, 23, 24, 25, 1024] {
        // Both the old and the large state size are set, and an ID where extra data might be.
        let numbers = [
            &[0, 1, 2, 3][..],
            &extra.to_be_bytes(),
            b"3579abc",
            &[0; 9],
            b"2468ace",
            &[1],
        ]
        .concat();
        bench.put("image", &edited(&whole, &[(table + 32, &numbers)]));
        compare(&bench, &format!("{extra} bytes"));
    }
}

#[test]
fn describes_marks_and_features() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 10M");
    let whole = bench.bytes("image");
    let cases: [(&str, u64, u8); 5] = [
        ("dirty", 79, 1),
        ("corrupt", 79, 2),
        ("data file without a name", 79, 4),
        ("raw without a data file", 95, 2),
        ("unknown autoclear bit", 95, 0x40),
    ];
    for (name, at, byte) in cases {
        bench.put("image", &edited(&whole, &[(at, &[byte])]));
        compare(&bench, name);
    }
    let name = b"\x44\x41\x54\x41\0\0\0\x05other\0\0\0";
    bench.put("image", &edited(&whole, &[(112, name)]));
    compare(&bench, "data file name without its bit");
}

#[test]
fn describes_backing_names_as_c_strings() {
    let bench = Bench::new();
    bench.qemu_img("create -q -u -f qcow2 -b some-name.qcow2 -F qcow2 image 10M");
    let whole = bench.bytes("image");
    let at = u64::from_be_bytes(whole[8..16].try_into().unwrap());
    for (name, bytes) in [("whole", &b"some"[..]), ("cut", b"so\0e"), ("empty", b"\0ome")] {
        bench.put("image", &edited(&whole, &[(at, bytes)]));
        compare(&bench, name);
    }
}
