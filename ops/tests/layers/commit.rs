//! Layers that go into one below them.

use instar_abi::Report;
use instar_testkit::pattern::assert_same;
use instar_testkit::{Failing, Native};

use crate::bench::{Bench, Into, assert_done, run};
use crate::power::survives;
use crate::rebase::LAYOUTS;

fn into(base: &'static str) -> Into<'static> {
    Into {
        base,
        empties: true,
        apart: &[],
        emptied: None,
    }
}

/// `below.raw`, `base` over it, and `image` over that.
fn images(bench: &Bench, base: &str, image: &str) {
    bench.pattern("below.raw", 900 << 10, 1);
    bench.qemu_img(&format!(
        "create -q -f qcow2 -o {base} -b below.raw -F raw base 1500k"
    ));
    bench.qemu_io(
        "qcow2",
        "base",
        &["write -P 3 100k 50k", "write -z 300k 100k", "write -P 5 1M 100k"],
    );
    if !base.contains("2M") && !base.contains("refcount_bits=1") {
        bench.qemu_io(
            "qcow2",
            "base",
            &["write -P 4 -c 512k 64k", "write -P 6 -c 704k 64k"],
        );
    }
    bench.qemu_img(&format!(
        "create -q -f qcow2 -o {image} -b base -F qcow2 image 1500k"
    ));
    bench.qemu_io(
        "qcow2",
        "image",
        &[
            "write -P 7 64k 70k",
            "write -z 200k 64k",
            "write -P 9 690k 2k",
            "write -z 1060k 8k",
            "write -P 10 520k 8k",
        ],
    );
}

/// `image` goes into `base` and the files with its data, whenever the power is cut.
fn goes_into(bench: &Bench, format: &str, apart: &[&str], what: &str) {
    let before = bench.disk("qcow2", "image");
    let files: Vec<&str> = ["image", "base"].iter().chain(apart).copied().collect();
    let wanted = Into {
        apart,
        ..into("base")
    };
    survives(bench, what, &files, &before, &|bench, native| {
        bench.commit(native, "image", wanted)
    });
    judge(bench, format, &before, what);
    if ["vdi", "vmdk", "vhdx", "qed", "parallels"].contains(&format) {
        bench.qemu_img(&format!("check -f {format} base"));
    }
}

/// The files that an image with these options keeps its data in.
fn data_of(options: &str) -> &'static [&'static str] {
    match options.contains("data_file") {
        true => &["data"],
        false => &[],
    }
}

/// The base holds what the image showed, and the image shows it still.
fn judge(bench: &Bench, format: &str, before: &[u8], what: &str) {
    assert_same(&bench.disk("qcow2", "image"), before, what);
    assert_same(&bench.disk(format, "base")[..before.len()], before, what);
    bench.assert_clean("image", what);
    if format == "qcow2" {
        bench.assert_clean("base", what);
    }
}

#[test]
fn the_base_holds_the_disk_and_the_image_is_as_small_as_qemu_imgs() {
    for base in LAYOUTS {
        for image in [
            "cluster_size=64k",
            "cluster_size=4k",
            "cluster_size=512,compat=0.10",
            "cluster_size=64k,extended_l2=on",
        ] {
            let what = format!("{image} into {base}");
            let bench = Bench::new();
            images(&bench, base, image);
            let before = bench.disk("qcow2", "image");
            for name in ["base", "image"] {
                std::fs::copy(bench.path(name), bench.path(&format!("{name}.kept"))).unwrap();
            }
            let native = Native::new(2);
            let job = bench.commit(&native, "image", into("base"));
            assert_done(&run(&native, &native, &job), &what);
            judge(&bench, "qcow2", &before, &what);
            let ours = bench.bytes("image").len();
            for name in ["base", "image"] {
                std::fs::copy(bench.path(&format!("{name}.kept")), bench.path(name)).unwrap();
            }
            bench.qemu_img("commit -q -f qcow2 image");
            assert!(ours <= bench.bytes("image").len(), "{what}: {ours} bytes");
        }
    }
}

#[test]
fn a_power_cut_while_an_image_is_committed_never_changes_the_disk_that_it_shows() {
    let mut states = 0;
    for base in LAYOUTS {
        for image in ["cluster_size=64k", "cluster_size=512"] {
            if image != "cluster_size=64k" && base != "cluster_size=64k" {
                continue;
            }
            let what = format!("{image} into {base}");
            let bench = Bench::new();
            images(&bench, base, image);
            let before = bench.disk("qcow2", "image");
            states += survives(&bench, &what, &["image", "base"], &before, &|bench, native| {
                bench.commit(native, "image", into("base"))
            });
            judge(&bench, "qcow2", &before, &what);
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_base_of_any_format_that_can_be_written_to_takes_what_is_above_it() {
    for (format, options, size) in [
        ("raw", "", "1500k"),
        ("raw", "", "1001k"),
        ("raw", "", "2M"),
        ("vdi", "", "2M"),
        ("qed", "-o cluster_size=16k,table_size=2", "1500k"),
        (
            "qed",
            "-o cluster_size=4k,table_size=2,backing_file=below,backing_fmt=raw",
            "1500k",
        ),
        ("parallels", "-o cluster_size=64k", "1500k"),
        ("parallels", "-o cluster_size=49152", "1500k"),
        ("qcow", "", "1500k"),
        ("qcow", "-o backing_file=below,backing_fmt=raw", "1500k"),
        ("vpc", "", "2M"),
        ("vpc", "-o subformat=fixed", "2M"),
        ("vhdx", "", "2M"),
        ("vmdk", "", "2M"),
        ("qcow2", "-o data_file=data", "1500k"),
        ("qcow2", "-o data_file=data,data_file_raw=on", "1500k"),
    ] {
        let what = format!("{format} {options} {size}");
        let bench = Bench::new();
        bench.pattern("below", 2 << 20, 3);
        bench.qemu_img(&format!("create -q -f {format} {options} base {size}"));
        bench.qemu_io(format, "base", &["write -P 3 100k 50k", "write -P 4 900k 100k"]);
        bench.qemu_img(&format!("create -q -f qcow2 -b base -F {format} image 1500k"));
        bench.qemu_io(
            "qcow2",
            "image",
            &[
                "write -P 7 64k 70k",
                "write -z 200k 64k",
                "write -P 9 690k 2k",
                "write -z 940k 64k",
                "write -P 10 1400k 8k",
            ],
        );
        goes_into(&bench, format, data_of(options), &what);
    }
}

#[test]
fn a_vmdk_in_several_files_takes_what_is_above_it() {
    for (layout, pieces) in [
        ("monolithicFlat", &["base-flat"][..]),
        ("twoGbMaxExtentFlat", &["base-f001"]),
        ("twoGbMaxExtentSparse", &["base-s001"]),
        ("mixed", &["first-s001", "base-flat", "last-s001"]),
    ] {
        let bench = Bench::new();
        match layout {
            "mixed" => mixed(&bench),
            _ => {
                bench.qemu_img(&format!("create -q -f vmdk -o subformat={layout} base 2M"));
            }
        }
        bench.qemu_io("vmdk", "base", &["write -P 3 100k 50k", "write -P 4 900k 100k"]);
        bench.qemu_img("create -q -f qcow2 -b base -F vmdk image 2M");
        bench.qemu_io(
            "qcow2",
            "image",
            &[
                "write -P 7 64k 70k",
                "write -z 200k 64k",
                "write -P 9 990k 200k",
                "write -P 10 1400k 8k",
            ],
        );
        goes_into(&bench, "vmdk", pieces, layout);
    }
}

/// A VMDK of a sparse, a flat and another sparse file.
fn mixed(bench: &Bench) {
    let mut lines = Vec::new();
    for (name, layout, size) in [
        ("first", "twoGbMaxExtentSparse", "640k"),
        ("base", "monolithicFlat", "704k"),
        ("last", "twoGbMaxExtentSparse", "704k"),
    ] {
        bench.qemu_img(&format!("create -q -f vmdk -o subformat={layout} {name} {size}"));
        let text = String::from_utf8(bench.bytes(name)).unwrap();
        lines.extend(
            text.lines()
                .filter(|line| line.starts_with("RW "))
                .map(str::to_owned),
        );
    }
    let text = String::from_utf8(bench.bytes("base")).unwrap();
    let own = text.lines().find(|line| line.starts_with("RW ")).unwrap();
    bench.put("base", text.replace(own, &lines.join("\n")).as_bytes());
}

#[test]
fn a_base_that_is_too_small_grows_and_a_power_cut_never_changes_the_disk() {
    for (format, options) in [
        ("qcow2", "-o cluster_size=4k"),
        ("qcow2", "-o backing_file=below,backing_fmt=raw"),
        ("qcow2", "-o data_file=data,data_file_raw=on"),
        ("vdi", ""),
        ("qed", "-o cluster_size=4k,table_size=2"),
        ("vpc", ""),
        ("vhdx", ""),
        ("vmdk", ""),
    ] {
        let what = format!("{format} {options}");
        let bench = Bench::new();
        bench.pattern("below", 1 << 20, 3);
        bench.qemu_img(&format!("create -q -f {format} {options} base 300k"));
        bench.qemu_io(format, "base", &["write -P 3 100k 50k", "write -P 4 290k 10k"]);
        bench.qemu_img(&format!("create -q -f qcow2 -b base -F {format} image 900k"));
        bench.qemu_io(
            "qcow2",
            "image",
            &["write -P 7 64k 70k", "write -z 240k 64k", "write -P 10 700k 8k"],
        );
        goes_into(&bench, format, data_of(options), &what);
    }
}

#[test]
fn a_base_that_cannot_grow_is_found_before_anything_is_written() {
    for (options, command) in [
        ("-o compat=0.10", "snapshot -c old base"),
        ("-o compat=0.10,backing_file=below,backing_fmt=raw", "info base"),
    ] {
        let bench = Bench::new();
        bench.pattern("below", 3 << 20, 3);
        bench.qemu_img(&format!("create -q -f qcow2 {options} base 1000k"));
        bench.qemu_img(command);
        bench.qemu_img("create -q -f qcow2 -b base -F qcow2 image 2500k");
        bench.qemu_io("qcow2", "image", &["write -P 7 64k 70k"]);
        let before = ["image", "base"].map(|name| bench.bytes(name));
        let native = Native::new(1);
        let job = bench.commit(&native, "image", into("base"));
        assert!(matches!(run(&native, &native, &job), Report::Failed(_)));
        assert!(
            before == ["image", "base"].map(|name| bench.bytes(name)),
            "{options}"
        );
    }
}

#[test]
fn data_of_an_emptied_image_in_another_file_goes_as_with_qemu_img() {
    for layout in ["cluster_size=64k", "cluster_size=4k", "extended_l2=on"] {
        let bench = Bench::new();
        bench.pattern("base", 400 << 10, 1);
        bench.qemu_img(&format!(
            "create -q -f qcow2 -o data_file=data,{layout} -b base -F raw image"
        ));
        bench.qemu_io(
            "qcow2",
            "image",
            &["write -P 7 0 70k", "write -z 200k 64k", "write -P 9 340k 60k"],
        );
        // No entry leads there.
        let mut data = bench.bytes("data");
        data[130 << 10..138 << 10].fill(11);
        bench.put("data", &data);
        let before = bench.disk("qcow2", "image");
        for name in ["base", "image", "data"] {
            std::fs::copy(bench.path(name), bench.path(&format!("{name}.kept"))).unwrap();
        }
        let wanted = Into {
            emptied: Some("data"),
            ..into("base")
        };
        survives(
            &bench,
            layout,
            &["image", "base", "data"],
            &before,
            &|bench, native| bench.commit(native, "image", wanted),
        );
        judge(&bench, "raw", &before, layout);
        let ours = bench.bytes("data");
        for name in ["base", "image", "data"] {
            std::fs::copy(bench.path(&format!("{name}.kept")), bench.path(name)).unwrap();
        }
        bench.qemu_img("commit -q -f qcow2 image");
        let theirs = bench.bytes("data");
        // This host puts rubbish where something was discarded, which reads as zeros elsewhere.
        let differs = |(ours, theirs): (&u8, &u8)| ours != theirs && *theirs != 0;
        let wrong = ours.iter().zip(&theirs).position(differs);
        assert_eq!((wrong, ours.len()), (None, theirs.len()), "{layout}");
    }
}

#[test]
fn an_overlay_of_a_vmdk_goes_on_when_it_was_committed() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f vmdk base 2M");
    bench.qemu_io("vmdk", "base", &["write -P 3 100k 50k"]);
    bench.qemu_img("create -q -f vmdk -b base -F vmdk image");
    bench.qemu_io("vmdk", "image", &["write -P 7 64k 70k"]);
    let before = bench.disk("vmdk", "image");
    let native = Native::new(1);
    let job = bench.commit(&native, "image", into("base"));
    assert_done(&run(&native, &native, &job), "vmdk");
    assert_same(&bench.disk("vmdk", "image"), &before, "through the top");
    assert_same(&bench.disk("vmdk", "base"), &before, "the base");
}

#[test]
fn layers_between_go_into_a_deeper_base_and_short_ones_hide_what_is_below() {
    for middle in ["1500k", "800k"] {
        let bench = Bench::new();
        images(&bench, "cluster_size=64k", "cluster_size=16k");
        std::fs::rename(bench.path("image"), bench.path("other")).unwrap();
        bench.qemu_img(&format!("create -q -f qcow2 -b base -F qcow2 middle {middle}"));
        bench.qemu_io("qcow2", "middle", &["write -P 11 30k 9k", "write -z 400k 64k"]);
        bench.qemu_img("create -q -f qcow2 -o cluster_size=4k -b middle -F qcow2 image 1500k");
        bench.qemu_io("qcow2", "image", &["write -P 12 36k 9k", "write -P 13 900k 5k"]);
        let before = bench.disk("qcow2", "image");
        let wanted = Into {
            empties: false,
            ..into("base")
        };
        let top = bench.bytes("image");
        survives(&bench, middle, &["image", "base"], &before, &|bench, native| {
            bench.commit(native, "image", wanted)
        });
        judge(&bench, "qcow2", &before, middle);
        assert!(bench.bytes("image") == top, "the image was changed");
    }
}

#[test]
fn snapshots_of_the_base_stay_and_its_bitmaps_record_what_is_written() {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k",
        "cluster_size=64k,extended_l2=on",
    ] {
        let bench = Bench::new();
        images(&bench, layout, "cluster_size=16k");
        let old = bench.disk("qcow2", "base");
        bench.qemu_img("snapshot -c old base");
        bench.qemu_io("qcow2", "base", &["write -P 30 500k 3k"]);
        bench.qemu_img("bitmap --add -g 4096 base spots");
        bench.qemu_img("bitmap --add --disable base asleep");
        let before = bench.disk("qcow2", "image");
        survives(&bench, layout, &["image", "base"], &before, &|bench, native| {
            bench.commit(native, "image", into("base"))
        });
        judge(&bench, "qcow2", &before, layout);
        bench.qemu_img("convert -f qcow2 -l old -O raw base old.seen");
        assert_same(&bench.bytes("old.seen"), &old, layout);
        // What the bitmap says is all that has changed.
        let info = bench.qemu_img("info -f qcow2 base");
        assert!(
            info.contains("spots") && !info.contains("in-use"),
            "{layout}: {info}"
        );
        let marked = marked(&bench, "spots");
        for wanted in [
            64 << 10,
            133 << 10,
            200 << 10,
            263 << 10,
            691 << 10,
            1060 << 10,
            520 << 10,
        ] {
            assert!(
                marked.iter().any(|range| range.contains(&wanted)),
                "{layout}: byte {wanted} is not marked: {marked:?}"
            );
        }
        assert!(
            !marked.iter().any(|range| range.contains(&(1200 << 10))),
            "{layout}: {marked:?}"
        );
        assert!(self::marked(&bench, "asleep").is_empty());
    }
}

/// Byte ranges that are set in a bitmap of `base`, as qemu's block layer shows it.
fn marked(bench: &Bench, name: &str) -> Vec<std::ops::Range<u64>> {
    let mut server = std::process::Command::new("qemu-nbd");
    server
        .current_dir(bench.path(""))
        .args(["-f", "qcow2", "-r", "-B", name, "-k"]);
    let socket = bench.path("socket");
    server.arg(&socket).arg("base");
    let mut server = server.spawn().expect("qemu-nbd is required by this test");
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let map = format!(
        "map --output=json --image-opts driver=nbd,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:{name}",
        socket.display()
    );
    let text = bench.qemu_img(&map);
    server.wait().unwrap();
    let number = |line: &str, key: &str| -> u64 {
        let (_, rest) = line.split_once(key).unwrap();
        rest.split(|letter: char| !letter.is_ascii_digit())
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    // A dirty range is shown as one without data.
    let dirty = text.lines().filter(|line| line.contains("\"data\": false"));
    dirty
        .map(|line| {
            let start = number(line, "\"start\": ");
            start..start + number(line, "\"length\": ")
        })
        .collect()
}

#[test]
fn a_failure_at_any_change_leaves_the_disk_and_no_more_than_leaks() {
    for (base, image) in [
        ("cluster_size=64k", "cluster_size=64k"),
        ("cluster_size=4k", "cluster_size=64k"),
        ("cluster_size=512,compat=0.10", "cluster_size=4k"),
    ] {
        let what = format!("{image} into {base}");
        let bench = Bench::new();
        images(&bench, base, image);
        let before = bench.disk("qcow2", "image");
        let files = ["image", "base"].map(|name| (name, bench.bytes(name)));
        let mut allowed = 0;
        loop {
            for (name, bytes) in &files {
                bench.put(name, bytes);
            }
            let host = Failing::after(allowed);
            let job = bench.commit(&host.native, "image", into("base"));
            let report = run(&host, &host.native, &job);
            for (name, _) in &files {
                let code = bench
                    .try_qemu_img(&format!("check -f qcow2 {name}"))
                    .status
                    .code();
                assert!(
                    matches!(code, Some(0 | 3)),
                    "{what}, {allowed}: check of {name} gives {code:?}"
                );
            }
            assert_same(&bench.disk("qcow2", "image"), &before, &what);
            if matches!(report, Report::Done(_)) {
                break;
            }
            allowed += 1 + allowed / 12;
        }
    }
}
