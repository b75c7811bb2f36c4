//! Another layer below, and an image that gives up what it holds.

use instar_disk::fault;
use instar_disk::job::{Change, NewBacking};

use crate::power::{assert_clean, change, survives};
use crate::support::{Bench, assert_same};

fn over(name: &str, format: &str) -> Change {
    Change::Rebase(NewBacking {
        name: Some(name.into()),
        format: Some(format.into()),
        compress: false,
    })
}

fn nothing() -> Change {
    Change::Rebase(NewBacking::default())
}

/// Layouts whose headers differ.
const LAYOUTS: [&str; 10] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=1k",
    "cluster_size=4k",
    "cluster_size=4k,compat=0.10",
    "cluster_size=8k,lazy_refcounts=on",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=2M,compression_type=zstd",
];

/// Three files to lie over: `one` and `two` are raw, `three` is a qcow2 image.
fn files(bench: &Bench) {
    bench.pattern("one", 100 << 10);
    bench.pattern("two", 250 << 10);
    let bytes: Vec<u8> = bench.bytes("one").iter().rev().copied().collect();
    bench.put("one", &bytes);
    bench.qemu_img("convert -f raw -O qcow2 one three");
}

fn backing(bench: &Bench) -> (Option<String>, Option<String>) {
    let text = bench.qemu_img("info --output=json image");
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\": \""))?;
        Some(rest.split_once('"').unwrap().0.to_owned())
    };
    (field("backing-filename"), field("backing-filename-format"))
}

#[test]
fn the_name_below_is_switched_in_one_write() {
    let mut states = 0;
    for layout in LAYOUTS {
        for bitmap in [false, true] {
            if bitmap && !layout.ends_with("k") {
                continue;
            }
            let bench = Bench::new();
            files(&bench);
            bench.qemu_img(&format!(
                "create -q -f qcow2 -o {layout} -b one -F raw image 200k"
            ));
            bench.qemu_io("image", &["write -P 7 64k 70k"]);
            if bitmap {
                bench.qemu_img("bitmap --add image spots");
            }
            let long = format!("./{}/two", "./".repeat(60));
            for (name, format) in [
                ("two", "raw"),
                (long.as_str(), "raw"),
                ("three", "qcow2"),
                ("", ""),
                ("one", "raw"),
            ] {
                let wanted = if name.is_empty() {
                    nothing()
                } else {
                    over(name, format)
                };
                states += survives(&bench, "image", &wanted);
                let there = (!name.is_empty()).then(|| (name.to_owned(), format.to_owned()));
                assert_eq!(backing(&bench), there.unzip(), "{layout}");
                let ours = bench.reference("image", "-f qcow2");
                let theirs = match name {
                    "" => "rebase -u -f qcow2 image".to_owned(),
                    name => format!("rebase -u -f qcow2 -F {format} -b {name} image"),
                };
                bench.qemu_img(&theirs);
                assert_same(&ours, &bench.reference("image", "-f qcow2"), layout);
            }
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn what_is_unknown_in_a_header_survives_another_name() {
    let bench = Bench::new();
    files(&bench);
    bench.qemu_img("create -q -f qcow2 -o compression_type=zstd -b one -F raw image 200k");
    let mut bytes = bench.bytes("image");
    // A header that is longer than this build knows, and an extension that nobody knows.
    let rest = bytes[112..1024].to_vec();
    bytes[103] = 120;
    bytes[112..120].copy_from_slice(b"unknown!");
    bytes[120..128].copy_from_slice(&[0x12, 0x34, 0x56, 0x78, 0, 0, 0, 5]);
    bytes[128..136].copy_from_slice(b"alien\0\0\0");
    bytes[136..1048].copy_from_slice(&rest);
    bytes[15] += 24;
    bytes[14] += u8::from(bytes[15] < 24);
    // Features that need no care from readers, and one that must go.
    bytes[80..88].fill(0x40);
    bytes[88] = 0x80;
    bench.put("image", &bytes);
    assert_eq!(backing(&bench).0.as_deref(), Some("one"));
    for wanted in [over("two", "raw"), nothing(), over("three", "qcow2")] {
        survives(&bench, "image", &wanted);
        let now = bench.bytes("image");
        assert_eq!(
            now[96..120],
            bytes[96..120],
            "the header's length and what is in it"
        );
        let alien = now.windows(16).any(|window| window == &bytes[120..136]);
        assert!(alien, "the extension is gone");
        assert_eq!(now[80..88], bytes[80..88]);
        assert_eq!(now[88], 0);
    }
    assert_eq!(backing(&bench), (Some("three".into()), Some("qcow2".into())));
    assert!(bench.qemu_img("info image").contains("compression type: zstd"));
}

#[test]
fn a_name_that_cannot_stand_there_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    files(&bench);
    bench.qemu_img("create -q -f qcow2 -o cluster_size=512 -b one -F raw image 200k");
    let before = bench.bytes("image");
    let code = |wanted: &Change| change(&bench, "image", wanted).unwrap_err();
    let long = |length: usize| "x".repeat(length);
    let full = code(&over(&long(377), "raw"));
    assert_eq!(full.code, fault::qcow2_write::HEADER_FULL);
    let said = bench.refusal(&format!("rebase -u -F raw -b {} image", long(377)));
    assert!(said.contains("No space left in the file header"), "{said}");
    let missing = Change::Rebase(NewBacking {
        name: Some(b"two".to_vec()),
        format: None,
        compress: false,
    });
    assert_eq!(code(&missing).code, fault::qcow2_write::BACKING_FORMAT_MISSING);
    let invalid = code(&over(&long(1024), "raw"));
    assert_eq!((invalid.code, invalid.numbers[0]), (fault::core::IO, 22));
    assert_eq!(bench.bytes("image"), before);
    change(&bench, "image", &over(&long(376), "raw")).unwrap();
    bench.qemu_img(&format!("rebase -u -F raw -b {} image", long(376)));
}

#[test]
fn an_emptied_image_shows_what_is_below_and_is_as_small_as_qemu_imgs() {
    let mut states = 0;
    for layout in LAYOUTS {
        let bench = Bench::new();
        files(&bench);
        bench.qemu_img(&format!("create -q -f qcow2 -o {layout} -b two -F raw image 2M"));
        bench.qemu_io(
            "image",
            &["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 1500k 300k"],
        );
        if !layout.contains("2M") {
            bench.qemu_io("image", &["write -c 512k 128k"]);
        }
        let file = bench.bytes("image");
        bench.put("theirs", &file);
        states += survives(&bench, "image", &Change::Empty(None));
        bench.qemu_img("rebase -u -F raw -b two theirs");
        bench.qemu_img("commit -q -f qcow2 theirs");
        assert!(
            bench.bytes("image").len() <= bench.bytes("theirs").len(),
            "{layout}: {} and {} bytes",
            bench.bytes("image").len(),
            bench.bytes("theirs").len()
        );
        // What qemu-img has committed to it goes.
        bench.pattern("two", 250 << 10);
        let mut below = bench.bytes("two");
        below.resize(2 << 20, 0);
        assert_same(&bench.reference("image", "-f qcow2"), &below, layout);
        bench.qemu_io("image", &["write -P 99 0 2M"]);
        assert_clean(&bench, "image");
    }
    println!("{states} states of power cuts");
}

#[test]
fn an_image_with_snapshots_keeps_them_when_it_is_emptied() {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k,compat=0.10",
        "cluster_size=16k,extended_l2=on",
    ] {
        let bench = Bench::new();
        files(&bench);
        bench.qemu_img(&format!("create -q -f qcow2 -o {layout} -b two -F raw image 2M"));
        bench.qemu_io("image", &["write -P 7 64k 70k"]);
        bench.qemu_img("snapshot -c old image");
        bench.qemu_io("image", &["write -P 8 100k 200k"]);
        let old = bench.reference("image", "-f qcow2 -l old");
        survives(&bench, "image", &Change::Empty(None));
        assert_same(&bench.reference("image", "-f qcow2 -l old"), &old, layout);
        bench.qemu_img("snapshot -a old image");
        assert_clean(&bench, "image");
        assert_same(&bench.reference("image", "-f qcow2"), &old, layout);
    }
}
