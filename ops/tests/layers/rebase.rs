//! Images that go on showing their disk over another layer.

use instar_testkit::pattern::assert_same;
use instar_testkit::{Failing, Native, oracle};

use crate::bench::{Bench, Over, assert_done, run};
use crate::power::survives;

/// Layouts of the image.
pub(crate) const LAYOUTS: [&str; 10] = [
    "cluster_size=64k",
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=64k,compat=0.10",
    "cluster_size=64k,extended_l2=on",
    "cluster_size=16k,extended_l2=on,lazy_refcounts=on",
    "cluster_size=2M",
];

/// `old.raw` and `old` of 700 KiB over it, `new.raw` of another size and content and `new` over it, and `image` over `old`.
fn images(bench: &Bench, layout: &str, size: &str) {
    bench.pattern("old.raw", 900 << 10, 1);
    bench.pattern("new.raw", 1300 << 10, 2);
    bench.qemu_img("create -q -f qcow2 -o cluster_size=4k -b old.raw -F raw old 1000k");
    bench.qemu_io(
        "qcow2",
        "old",
        &["write -P 3 100k 50k", "write -z 300k 100k", "write -c 512k 4k"],
    );
    bench.qemu_img("create -q -f qcow2 -o cluster_size=8k -b new.raw -F raw new 1100k");
    bench.qemu_io("qcow2", "new", &["write -P 3 130k 50k", "write -P 4 300k 30k"]);
    bench.qemu_img(&format!(
        "create -q -f qcow2 -o {layout} -b old -F qcow2 image {size}"
    ));
    bench.qemu_io(
        "qcow2",
        "image",
        &["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 690k 2k"],
    );
}

/// All that `image` can be put over.
const TARGETS: [Option<(&str, &str)>; 5] = [
    Some(("new", "qcow2")),
    Some(("new.raw", "raw")),
    Some(("old.raw", "raw")),
    Some(("old", "qcow2")),
    None,
];

fn over(backing: Option<(&'static str, &'static str)>) -> Over<'static> {
    Over {
        backing,
        compress: false,
        data: None,
    }
}

fn name_below(bench: &Bench) -> Option<String> {
    let text = bench.qemu_img("info -f qcow2 --output=json image");
    let (_, rest) = text.split_once("\"backing-filename\": \"")?;
    Some(rest.split_once('"').unwrap().0.to_owned())
}

/// Bytes that the image itself has data or zeros for.
fn allocated(bench: &Bench, image: &str) -> u64 {
    let text = bench.qemu_img(&format!("map -f qcow2 --output=json {image}"));
    let number = |line: &str, key: &str| -> Option<u64> {
        let (_, rest) = line.split_once(key)?;
        rest.split(|letter: char| !letter.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let own = text
        .lines()
        .filter(|line| line.contains("\"depth\": 0,") && line.contains("\"present\": true"));
    own.filter_map(|line| number(line, "\"length\": ")).sum()
}

#[test]
fn the_disk_is_the_same_over_any_other_layer_and_no_more_is_copied_than_by_qemu_img() {
    for layout in LAYOUTS {
        for size in ["1M", "1500k"] {
            for target in TARGETS {
                let what = format!("{layout}, {size}, {target:?}");
                let bench = Bench::new();
                images(&bench, layout, size);
                std::fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
                let before = bench.disk("qcow2", "image");
                let native = Native::new(2);
                let job = bench.rebase(&native, "image", over(target));
                assert_done(&run(&native, &native, &job), &what);
                bench.assert_clean("image", &what);
                assert_same(&bench.disk("qcow2", "image"), &before, &what);
                assert_eq!(
                    name_below(&bench).as_deref(),
                    target.map(|(name, _)| name),
                    "{what}"
                );
                match target {
                    Some((name, format)) => {
                        bench.qemu_img(&format!("rebase -f qcow2 -b {name} -F {format} theirs"))
                    }
                    None => oracle::qemu_in(&bench.path(""), &["rebase", "-f", "qcow2", "-b", "", "theirs"]),
                };
                assert_same(&bench.disk("qcow2", "theirs"), &before, &what);
                let (ours, theirs) = (allocated(&bench, "image"), allocated(&bench, "theirs"));
                assert!(ours <= theirs, "{what}: {ours} and {theirs} bytes of its own");
                std::fs::remove_file(bench.path("old")).unwrap();
                if target.is_none_or(|(name, _)| name != "old") {
                    bench.disk("qcow2", "image");
                }
            }
        }
    }
}

#[test]
fn what_was_copied_can_be_compressed() {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k,compression_type=zstd",
        "cluster_size=64k,extended_l2=on",
        "cluster_size=512",
    ] {
        let bench = Bench::new();
        images(&bench, layout, "1500k");
        let before = bench.disk("qcow2", "image");
        let wanted = Over {
            compress: true,
            ..over(Some(("new", "qcow2")))
        };
        survives(&bench, layout, &["image"], &before, &|bench, native| {
            bench.rebase(native, "image", wanted)
        });
        assert_same(&bench.disk("qcow2", "image"), &before, layout);
        let text = bench.qemu_img("check -f qcow2 --output=json image");
        assert!(text.contains("compressed-clusters"), "{layout}: {text}");
        bench.assert_clean("image", layout);
    }
}

#[test]
fn a_power_cut_while_an_image_is_rebased_never_changes_its_disk() {
    let mut states = 0;
    for layout in LAYOUTS {
        for target in [TARGETS[0], TARGETS[2], None] {
            let what = format!("{layout}, {target:?}");
            let bench = Bench::new();
            images(&bench, layout, "1500k");
            let before = bench.disk("qcow2", "image");
            states += survives(&bench, &what, &["image"], &before, &|bench, native| {
                bench.rebase(native, "image", over(target))
            });
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn snapshots_and_bitmaps_of_a_rebased_image_stay_what_they_were() {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k,compat=0.10",
        "cluster_size=64k,extended_l2=on",
        "cluster_size=512",
    ] {
        let bench = Bench::new();
        images(&bench, layout, "1500k");
        if !layout.contains("compat") {
            bench.qemu_img("bitmap --add image spots");
        }
        bench.qemu_img("snapshot -c old image");
        bench.qemu_io("qcow2", "image", &["write -P 8 250k 10k"]);
        let before = bench.disk("qcow2", "image");
        survives(&bench, layout, &["image"], &before, &|bench, native| {
            bench.rebase(native, "image", over(Some(("new.raw", "raw"))))
        });
        bench.assert_clean("image", layout);
        if !layout.contains("compat") {
            assert!(
                bench.qemu_img("info -f qcow2 image").contains("spots"),
                "{layout}"
            );
            bench.qemu_img("bitmap --remove image spots");
        }
        bench.qemu_img("snapshot -a old image");
        bench.assert_clean("image", layout);
    }
}

#[test]
fn an_image_with_a_data_file_is_rebased() {
    let bench = Bench::new();
    images(&bench, "cluster_size=64k", "1500k");
    std::fs::remove_file(bench.path("image")).unwrap();
    bench.qemu_img("create -q -f qcow2 -o data_file=data,cluster_size=16k -b old -F qcow2 image 1500k");
    bench.qemu_io("qcow2", "image", &["write -P 7 64k 70k", "write -z 200k 64k"]);
    let before = bench.disk("qcow2", "image");
    let wanted = Over {
        data: Some("data"),
        ..over(Some(("new", "qcow2")))
    };
    survives(
        &bench,
        "data file",
        &["image", "data"],
        &before,
        &|bench, native| bench.rebase(native, "image", wanted),
    );
    bench.assert_clean("image", "data file");
}

#[test]
fn a_failure_at_any_change_leaves_the_disk_and_no_more_than_leaks() {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k",
        "cluster_size=512,compat=0.10",
        "cluster_size=64k,extended_l2=on",
    ] {
        let bench = Bench::new();
        images(&bench, layout, "1500k");
        let before = bench.disk("qcow2", "image");
        let image = bench.bytes("image");
        for allowed in 0.. {
            bench.put("image", &image);
            let host = Failing::after(allowed);
            let job = bench.rebase(&host.native, "image", over(Some(("new", "qcow2"))));
            let report = run(&host, &host.native, &job);
            let code = bench.try_qemu_img("check -f qcow2 image").status.code();
            assert!(
                matches!(code, Some(0 | 3)),
                "{layout}, {allowed}: check gives {code:?}"
            );
            assert_same(&bench.disk("qcow2", "image"), &before, layout);
            if matches!(report, instar_abi::Report::Done(_)) {
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_while_a_qed_is_rebased_never_changes_the_disk() {
    for (options, target) in [
        ("table_size=2", Some(("new", "qcow2"))),
        ("cluster_size=4k,table_size=2", Some(("new.raw", "raw"))),
        ("cluster_size=4k,table_size=2", None),
    ] {
        let what = format!("{options}, {target:?}");
        let bench = Bench::new();
        images(&bench, "cluster_size=64k", "1M");
        bench.qemu_img(&format!("create -q -f qed -o {options} -b old -F qcow2 image 1M"));
        let commands = ["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 690k 2k"];
        bench.qemu_io("qed", "image", &commands);
        let before = bench.disk("qed", "image");
        survives(&bench, &what, &["image"], &before, &|bench, native| {
            bench.rebase(native, "image", over(target))
        });
        assert_same(&bench.disk("qed", "image"), &before, &what);
        bench.qemu_img("check -f qed image");
    }
}
