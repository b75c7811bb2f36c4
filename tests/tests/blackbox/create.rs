//! `create`: its output and its images are those of the installed qemu-img.

use std::fs;
use std::time::Duration;

use instar_tests::craft::Crafted;
use instar_tests::disk::{self, USUAL_BYTES};
use instar_tests::{Bench, Outcome, both_sandboxes, formats, ledger};
use serde_json::Value;

/// Option lists for each format.
const OPTIONS: &[(&str, &[&str])] = &[
    (
        "raw",
        &[
            "",
            "preallocation=off",
            "preallocation=falloc",
            "preallocation=full",
            "nocow=on,extent_size_hint=1M",
        ],
    ),
    (
        "qcow2",
        &[
            "",
            "cluster_size=512",
            "cluster_size=4k",
            "cluster_size=2M",
            "compat=0.10",
            "compat=v2,cluster_size=1k",
            "compat=v3",
            "refcount_bits=1",
            "refcount_bits=64,cluster_size=4k",
            "lazy_refcounts",
            "lazy_refcounts=yes,nolazy_refcounts",
            "extended_l2=on",
            "extended_l2=on,cluster_size=16k",
            "compression_type=zstd",
            "preallocation=metadata",
            "preallocation=falloc",
            "preallocation=full",
            "preallocation=metadata,extended_l2=on",
            "preallocation=metadata,cluster_size=4k",
            "data_file=image.data",
            "data_file=image.data,data_file_raw=on",
            "data_file=image.data,preallocation=falloc",
        ],
    ),
    (
        "vmdk",
        &[
            "",
            "subformat=monolithicSparse,adapter_type=buslogic",
            "subformat=monolithicFlat",
            "subformat=monolithicFlat,adapter_type=legacyESX",
            "subformat=twoGbMaxExtentSparse",
            "subformat=twoGbMaxExtentFlat",
            "subformat=streamOptimized,adapter_type=lsilogic",
            "zeroed_grain=on",
            "compat6=on",
            "hwversion=7,toolsversion=10",
        ],
    ),
    ("vpc", &["", "subformat=dynamic", "subformat=fixed", "force_size=on", "subformat=fixed,force_size"]),
    (
        "vhdx",
        &["", "subformat=fixed", "block_size=1M", "block_size=256M,log_size=2M", "block_state_zero=off"],
    ),
    ("vdi", &["", "static=off", "static=on"]),
    ("parallels", &["", "cluster_size=64k", "cluster_size=100000", "nocow=on"]),
    ("qcow", &["", "nocow=on", "encryption=off"]),
    ("qed", &["", "cluster_size=4k", "cluster_size=1M,table_size=16", "table_size=16", "nocow=on"]),
];

/// A directory for each program, with the same things in both.
struct Pair<'a> {
    theirs: &'a Bench,
    ours: Bench,
}

impl<'a> Pair<'a> {
    fn new(bench: &'a Bench) -> Self {
        let ours = Bench::new(bench.sandbox());
        for name in bench.names() {
            fs::copy(bench.path(&name), ours.path(&name)).unwrap();
        }
        Self { theirs: bench, ours }
    }

    /// Runs both; what they print and return must agree. Gives whether they succeeded.
    #[track_caller]
    fn agree(&self, words: &[&str]) -> bool {
        let theirs = self.theirs.qemu(words);
        let ours = self.ours.instar(words);
        assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
        assert_eq!(theirs.text(), ours.text(), "{theirs}{ours}");
        assert_eq!(errors(&theirs), errors(&ours), "{theirs}{ours}");
        theirs.code() == Some(0)
    }

    /// Both have made the same files, as far as nothing in them is random or of our own layout.
    #[track_caller]
    fn same_files(&self, format: &str, exact: bool, what: &str) {
        assert_eq!(self.theirs.names(), self.ours.names(), "{what}");
        for name in self.theirs.names() {
            let [theirs, ours] = [self.theirs, &self.ours].map(|bench| fs::read(bench.path(&name)).unwrap());
            if exact {
                // A content ID has as many digits as it needs.
                let (theirs, ours) = (masked(format, theirs), masked(format, ours));
                assert_eq!(theirs.len(), ours.len(), "{what}: {name}");
                assert!(theirs == ours, "{what}: {name} differs");
            }
        }
    }

    /// qemu-img says the same of both images, whatever is random in them.
    #[track_caller]
    fn same_description(&self, format: &str, what: &str) {
        let [theirs, ours] = [self.theirs, &self.ours].map(|bench| {
            let words = ["info", "--output=json", "-f", format, "image"];
            let mut info: Value = serde_json::from_slice(&bench.qemu(words).succeeds().stdout).unwrap();
            forget(&mut info);
            let check = bench.qemu(["check", "--output=json", "-f", format, "image"]);
            let mut found: Value = serde_json::from_slice(&check.stdout).unwrap_or_default();
            if let Some(found) = found.as_object_mut() {
                found.remove("image-end-offset");
            }
            let whole = bench.qemu(["compare", "-f", format, "-F", format, "image", "image"]);
            (info, check.code(), found, whole.code())
        });
        assert_eq!(theirs, ours, "{what}");
    }
}

/// What a program says on standard error, without its name.
fn errors(outcome: &Outcome) -> String {
    let rest: Vec<String> = outcome.errors().lines().skip(1).map(str::to_owned).collect();
    format!("{}\n{}", outcome.message(), rest.join("\n"))
}

/// Takes out of a description what is random, and how the space of the file is laid out.
fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for random in ["actual-size", "cid", "parent-cid", "virtual-size-of-file"] {
                members.remove(random);
            }
            // The length of the file under the image.
            if members.get("format").and_then(Value::as_str) == Some("file") {
                members.remove("virtual-size");
            }
            members.values_mut().for_each(forget);
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}

/// The bytes of an image without identifiers, times, checksums over them, and the name of the program that made it.
fn masked(format: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len();
    let mut clear = |from: usize, count: usize| {
        if let Some(range) = bytes.get_mut(from..from + count) {
            range.fill(0);
        }
    };
    match format {
        "vdi" => {
            clear(0, 64); // the program
            clear(0x188, 32); // creation, modification UUID
        }
        "vpc" => {
            for footer in [0, length.saturating_sub(512)] {
                clear(footer + 24, 4); // time
                clear(footer + 64, 20); // checksum, UUID
            }
        }
        "vhdx" => {
            clear(8, 512); // the program
            for header in [0x10000, 0x20000] {
                clear(header + 4, 44); // checksum, sequence number, GUIDs
            }
            for table in [0x30000, 0x40000] {
                clear(table + 4, 4); // checksum
                clear(table + 0x2c, 1); // required: a bit that we set
                clear(table + 0x4c, 1);
            }

            return vhdx_without_page_83(bytes);
        }
        "vmdk" => return without_content_id(&bytes),
        _ => {}
    }
    bytes
}

/// The page 83 data, a GUID in the metadata region.
fn vhdx_without_page_83(mut bytes: Vec<u8>) -> Vec<u8> {
    let signature = b"metadata";
    let start =
        (0x10_0000..bytes.len()).step_by(0x10_0000).find(|at| bytes[*at..].starts_with(signature)).unwrap();
    bytes[start + 0x10010..start + 0x10020].fill(0);
    bytes
}

/// The descriptor without its `CID=` line, whose length varies.
fn without_content_id(bytes: &[u8]) -> Vec<u8> {
    let Some(start) = bytes.windows(4).position(|window| window == b"CID=") else {
        return bytes.to_vec();
    };
    let line = bytes[start..].iter().position(|byte| *byte == b'\n').unwrap();
    // The text is padded with zeros, of which there are more if the line is shorter.
    let text: Vec<u8> = bytes[start + line..].iter().copied().take(0x2000).collect();
    let text: Vec<u8> = text.into_iter().take_while(|byte| *byte != 0).collect();
    [&bytes[..start], &text].concat()
}

/// Where our layout differs from qemu-img's although the image is as good.
fn is_laid_out_alike(format: &str, options: &str) -> bool {
    match format {
        "qcow2" => !options.contains("preallocation") && !options.contains("data_file_raw"),
        "vmdk" => !options.contains("streamOptimized"),
        "vhdx" => !options.contains("subformat=fixed"),
        _ => true,
    }
}

/// Makes an image with each list of options, in each size.
fn make_all(bench: &Bench, format: &str, sizes: &[&str]) {
    let (_, lists) = OPTIONS.iter().find(|(name, _)| *name == format).unwrap();
    let mut made = 0;
    for list in *lists {
        for size in sizes {
            let pair = Pair {
                theirs: &Bench::new(bench.sandbox()),
                ours: Bench::new(bench.sandbox()),
            };
            let options: &[&str] = if list.is_empty() { &[] } else { &["-o", list] };
            let words: Vec<&str> =
                ["create", "-f", format].iter().chain(options).chain(&["image", size]).copied().collect();
            let what = words.join(" ");
            assert!(pair.agree(&words), "{what}");
            pair.same_files(format, is_laid_out_alike(format, list), &what);
            let opens = pair.theirs.qemu(["info", "-f", format, "image"]).code() == Some(0);
            if opens {
                pair.same_description(format, &what);
            }
            made += 1;
        }
    }
    eprintln!("{format}: {made} images made by both programs");
}

both_sandboxes!(
    makes_raw_images,
    makes_qcow2_images,
    makes_vmdk_images,
    makes_vpc_images,
    makes_vhdx_images,
    makes_vdi_images,
    makes_qed_images,
    makes_parallels_images,
    makes_qcow_images,
    makes_images_in_pieces,
    create_makes_layers,
    a_name_of_json_is_a_layer_below,
    lists_options_in_qemu_imgs_words,
    a_create_that_fails_keeps_what_was_there,
    files_of_exabytes_take_a_moment,
    a_full_disk_keeps_what_was_there,
    an_existing_file_is_replaced_in_place_of_its_name,
    a_file_with_two_names_is_written_in_place,
    a_kill_leaves_no_target_and_keeps_the_old_one,
    names_in_a_layer_below_open_by_the_gates_policies,
    command_lines_of_callers_work_under_their_limits,
    create_names_what_it_does_not_support,
    a_new_raw_image_has_its_first_block,
    leaves_holes_where_qemu_img_writes_zeros,
);

fn makes_raw_images(bench: &Bench) {
    make_all(bench, "raw", &["0", "1", "513", "1.5k", "3M"]);
}

fn makes_qcow2_images(bench: &Bench) {
    make_all(bench, "qcow2", &["0", "513", "3M"]);
    let words = ["create", "-f", "qcow2", "image", "5T"];
    let pair = Pair::new(bench);
    assert!(pair.agree(&words));
    pair.same_files("qcow2", true, "5T");
}

fn makes_vmdk_images(bench: &Bench) {
    make_all(bench, "vmdk", &["512", "3M", "10000000"]);
}

fn makes_vpc_images(bench: &Bench) {
    make_all(bench, "vpc", &["0", "1", "3M"]);
}

fn makes_vhdx_images(bench: &Bench) {
    make_all(bench, "vhdx", &["512", "3M"]);
}

fn makes_vdi_images(bench: &Bench) {
    make_all(bench, "vdi", &["0", "513", "3M"]);
}

fn makes_parallels_images(bench: &Bench) {
    make_all(bench, "parallels", &["0", "513", "3M"]);
}

fn makes_qcow_images(bench: &Bench) {
    make_all(bench, "qcow", &["1", "513", "3M"]);
}

fn makes_qed_images(bench: &Bench) {
    make_all(bench, "qed", &["0", "513", "3M"]);
}

fn makes_images_in_pieces(bench: &Bench) {
    for list in ["subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat"] {
        let pair = Pair {
            theirs: &Bench::new(bench.sandbox()),
            ours: Bench::new(bench.sandbox()),
        };
        assert!(pair.agree(&["create", "-f", "vmdk", "-o", list, "image", "5G"]));
        assert_eq!(pair.theirs.names(), pair.ours.names());
        assert_eq!(pair.ours.names().len(), 4, "three extents of 2 GiB at most");
        pair.same_description("vmdk", list);
    }
}

fn create_makes_layers(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    for format in formats::beside("raw") {
        let name = format!("base.{format}");
        bench.qemu(["convert", "-f", "raw", "-O", format, "base.raw", &name]).succeeds();
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "layer.qcow2"]).succeeds();
    let pair = Pair::new(bench);
    for words in bench.share([
        "-f qcow2 -b base.raw -F raw image",
        "-f qcow2 -b base.raw -F file image",
        "-f qcow2 -b base.raw -F raw image 1k",
        "-f qcow2 -b base.raw -F raw image 10G",
        "-f qcow2 -b ./base.raw -F raw -o cluster_size=4k image",
        "-f qcow2 -b base.qcow2 -F qcow2 image",
        "-f qcow2 -b layer.qcow2 -F qcow2 image",
        "-f qcow2 -b base.vmdk -F vmdk image",
        "-f qcow2 -b base.vpc -F vpc image",
        "-f qcow2 -b base.vhdx -F vhdx image",
        "-f qcow2 -b base.vdi -F vdi image",
        "-f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 image",
        "-f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2,extended_l2=on,preallocation=metadata image",
        "-f qcow2 -u -b absent -F qcow2 image 5M",
        "-f qcow2 -u -b nbd://nowhere/x -F raw image 5M",
        "-f qcow2 -u -b base.raw -F luks image 5M",
        "-f qcow2 -u -o backing_file=a,,b,backing_fmt=raw image 5M",
        "-q -f qcow2 -b base.raw -F raw image",
        "-f vmdk -b base.vmdk -F vmdk image",
        "-f vmdk -b base.vmdk -F vmdk image 20M",
        "-f vmdk -u -b base.vmdk -F vmdk image 20M",
        "-f vmdk -o zeroed_grain=on -b base.vmdk -F vmdk image",
        "-f qcow2 -b base.qed -F qed image",
        "-f qed -b base.raw -F raw image",
        "-f qed -b base.qed -F qed -o table_size=2,cluster_size=4k image 20M",
        "-f qed -b layer.qcow2 -F qcow2 image",
        "-f qed -u -b absent -F raw image 5M",
        "-f qcow2 -b base.qcow -F qcow image",
        "-f qcow -b base.raw -F raw image",
        "-f qcow -b base.qcow -F qcow image 20M",
        "-f qcow -b layer.qcow2 -F qcow2 image",
        "-f qcow -u -b absent -F raw image 5M",
    ]) {
        let all: Vec<&str> = ["create"].into_iter().chain(words.split(' ')).collect();
        assert!(pair.agree(&all), "{words}");
        let format = ["vmdk", "qed", "qcow"]
            .into_iter()
            .find(|format| words.contains(&format!("-f {format} ")))
            .unwrap_or("qcow2");
        pair.same_files(format, is_laid_out_alike(format, words), words);
        let [theirs, ours] = [pair.theirs, &pair.ours].map(|bench| {
            let info = bench.qemu(["info", "--output=json", "-f", format, "image"]);
            let mut info: Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
            let parent = info["format-specific"]["data"]["parent-cid"].clone();
            forget(&mut info);
            (info, parent)
        });
        assert_eq!(theirs, ours, "{words}");
    }
}

fn a_name_of_json_is_a_layer_below(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    let pair = Pair::new(bench);
    let json = r#"json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}"#;
    assert!(pair.agree(&["create", "-f", "qcow2", "-b", json, "-F", "raw", "image"]));
    pair.same_files("qcow2", true, json);
    assert!(!pair.agree(&["create", "-f", "qcow2", "-b", json, "image"]));
}

fn lists_options_in_qemu_imgs_words(bench: &Bench) {
    for (format, _) in OPTIONS {
        for words in [
            &["create", "-f", format, "-o", "help"][..],
            &["create", "-f", format, "-o", "help", "image"],
            &["create", "-f", format, "-o", "size=1M,?", "image", "1M"],
            &["convert", "-O", format, "-o", "help"],
            &["convert", "-O", format, "-o", "help", "a", "b"],
        ] {
            let [theirs, ours] = [bench.qemu(words), bench.instar(words)];
            assert_eq!(theirs.succeeds().text(), ours.succeeds().text());
        }
    }
}

fn a_create_that_fails_keeps_what_was_there(bench: &Bench) {
    // Files in memory can have exabytes.
    let bench = &bench.on_disk();
    disk::usual(&bench.path("base.raw"));
    let before = disk::pattern(0, 300_000, 9);
    let mut left = before.len() as u64;
    for words in [
        "-f raw image 7E",
        "-f raw -o preallocation=metadata image 1G",
        "-f qcow2 image 1E",
        "-f qcow2 -o cluster_size=3 image 1G",
        "-f qcow2 -b absent -F raw image",
        "-f qcow2 -b base.raw -F qcow2 image",
        "-f vdi image 600T",
        "-f vpc image 3T",
        "-f vhdx image 65T",
        "-f vhdx -o block_size=3M image 1G",
        "-f vmdk -o subformat=x image 1G",
    ] {
        fs::write(bench.path("image"), &before).unwrap();
        let all: Vec<&str> = ["create"].into_iter().chain(words.split(' ')).collect();
        bench.instar(&all).fails();
        assert!(fs::read(bench.path("image")).unwrap() == before, "{words}: the old file is gone");
        assert_eq!(bench.names(), ["base.raw", "image"]);
        let theirs = bench.qemu(&all);
        assert_eq!(theirs.code(), Some(1), "{theirs}");
        left = left.min(bench.path("image").metadata().map_or(0, |file| file.len()));
    }
    ledger::deviates("failed-create-keeps", &left, &(before.len() as u64));
}

/// Not on every filesystem: where they cannot be so long, both refuse.
fn files_of_exabytes_take_a_moment(bench: &Bench) {
    let [theirs, ours] = ["theirs", "ours"].map(|name| ["create", "-q", "-f", "raw", name, "7E"]);
    let (theirs, ours) = (bench.qemu(theirs), bench.instar(ours));
    assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
    ours.within(Duration::from_secs(10));
    if theirs.code() == Some(0) {
        assert_eq!(bench.path("ours").metadata().unwrap().len(), 7 << 60);
    }
}

fn a_full_disk_keeps_what_was_there(bench: &Bench) {
    let before = disk::pattern(0, 300_000, 9);
    for words in [
        "-f raw -o preallocation=full image 64M",
        "-f qcow2 -o preallocation=full image 64M",
        "-f qcow2 -o preallocation=metadata image 1T",
        "-f vhdx image 64G",
    ] {
        fs::write(bench.path("image"), &before).unwrap();
        let all = ["create"].into_iter().chain(words.split(' '));
        // The limit on file sizes stands in for a full disk.
        let outcome = Outcome::of(&mut bench.command_under(&["prlimit", "--fsize=4194304"], all));
        outcome.fails();
        assert!(fs::read(bench.path("image")).unwrap() == before, "{words}: the old file is gone");
        assert_eq!(bench.names(), ["image"], "{words}");
    }
}

fn an_existing_file_is_replaced_in_place_of_its_name(bench: &Bench) {
    use std::os::unix::fs::PermissionsExt;
    for &format in formats::WRITTEN {
        fs::write(bench.path("image"), disk::pattern(0, 300_000, 3)).unwrap();
        fs::set_permissions(bench.path("image"), fs::Permissions::from_mode(0o600)).unwrap();
        bench.instar(["create", "-q", "-f", format, "image", "1M"]).succeeds();
        bench.qemu(["create", "-q", "-f", format, "new", "1M"]).succeeds();
        let outcome = bench.qemu(["compare", "-f", format, "-F", format, "image", "new"]);
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        assert_eq!(bench.path("image").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

fn a_file_with_two_names_is_written_in_place(bench: &Bench) {
    for &format in formats::WRITTEN {
        let _ = fs::remove_file(bench.path("other"));
        fs::write(bench.path("image"), disk::pattern(0, 300_000, 3)).unwrap();
        fs::hard_link(bench.path("image"), bench.path("other")).unwrap();
        bench.instar(["create", "-q", "-f", format, "image", "1M"]).succeeds();
        bench.qemu(["create", "-q", "-f", format, "new", "1M"]).succeeds();
        let outcome = bench.qemu(["compare", "-f", format, "-F", format, "other", "new"]);
        assert_eq!(outcome.code(), Some(0), "{format}: {outcome}");
    }
}

fn a_kill_leaves_no_target_and_keeps_the_old_one(bench: &Bench) {
    // Memory is filled faster than this waits.
    let bench = &bench.on_disk();
    let before = disk::pattern(0, 300_000, 9);
    for old in [false, true] {
        for words in ["-f raw -o preallocation=full image 20G", "-f qcow2 -o preallocation=full image 20G"] {
            let _ = fs::remove_file(bench.path("image"));
            if old {
                fs::write(bench.path("image"), &before).unwrap();
            }
            let mut running = bench.start(["create"].into_iter().chain(words.split(' ')));
            std::thread::sleep(std::time::Duration::from_millis(400));
            assert!(running.runs(), "the image was complete before it could be stopped");
            running.signal("KILL");
            running.finish();
            if old {
                assert!(fs::read(bench.path("image")).unwrap() == before, "{words}");
            } else {
                assert!(!bench.path("image").exists(), "{words}: a partial image stands under its name");
            }
        }
    }
}

fn names_in_a_layer_below_open_by_the_gates_policies(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    disk::usual(&bench.path("elsewhere/deep.raw"));
    let layer = ["create", "-q", "-f", "qcow2", "-b", "elsewhere/deep.raw", "-F", "raw", "layer"];
    bench.qemu(layer).succeeds();
    let hostile = Crafted::image(bench, "hostile", "4M", "", 0);
    hostile.backing(b"/etc/passwd");
    let above = |below: &'static str| ["create", "-f", "qcow2", "-b", below, "-F", "qcow2", "image"];
    // The new image needs the size of its layer alone; that nothing will be read through it is said at once.
    for below in ["layer", "hostile"] {
        let made = bench.instar(above(below));
        assert_eq!(made.code(), Some(0), "{made}");
        assert!(made.message().starts_with("warning: ") && made.errors().contains("--allow-dir"), "{made}");
        bench.instar(["convert", "-O", "raw", "image", "never"]).fails_with("--allow-dir");
    }
    let untrusted = |below| ["create", "--untrusted", "-f", "qcow2", "-b", below, "-F", "qcow2", "image"];
    bench.instar(untrusted("layer")).fails_with("--untrusted");
    let unchecked = ["create", "-q", "-u", "-f", "qcow2", "-b", "hostile", "-F", "qcow2", "image", "4M"];
    bench.instar(unchecked).succeeds();
}

fn command_lines_of_callers_work_under_their_limits(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2"]).succeeds();
    let limits: &[&str] = &["prlimit", "--cpu=2", "--as=1073741824"];
    let little: &[&str] = &["prlimit", "--as=268435456"];
    for limits in [limits, little] {
        for words in [
            // Nova, libvirt
            "create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 image",
            "create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2,compat=1.1 image",
            // KubeVirt
            "create -f raw -o preallocation=falloc image 8388608",
            "create -f raw image 1G",
            // Proxmox
            "create -o preallocation=off -f raw image 1048576K",
            "create -q -f qcow2 -o extended_l2=on,cluster_size=128k,backing_file=base.qcow2,backing_fmt=qcow2 image",
            "measure --output=json --size 1048576K -O qcow2 -o cluster_size=128k,extended_l2=on",
            // Packer
            "create -f qcow2 -F qcow2 -b base.qcow2 image 10G",
            // vdsm, ovirt-imageio
            "measure --output json -f qcow2 -O qcow2 base.qcow2",
            "measure --output json -O qcow2 json:{\"file\":{\"driver\":\"file\",\"filename\":\"base.raw\"},\"driver\":\"raw\"}",
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let theirs = bench.qemu(&words);
            let ours = Outcome::of(&mut bench.command_under(limits, &words));
            assert_eq!(theirs.succeeds().text(), ours.succeeds().text());
        }
    }
}

fn create_names_what_it_does_not_support(bench: &Bench) {
    let words = ["create", "-q", "-f", "vmdk", "image", "300T"];
    let [theirs, ours] = [bench.qemu(words), bench.instar(words)];
    ours.fails();
    ledger::deviates("vmdk-size", &theirs.code(), &ours.code());
    let _ = fs::remove_file(bench.path("image"));

    let words = ["create", "-q", "/dev/null", "0"];
    let [theirs, ours] = [bench.qemu(words), bench.instar(words)];
    ours.fails();
    ledger::deviates("character-devices", &theirs.code(), &ours.code());
}

/// Programs that bypass the page cache find the alignment that they need by reading data, which a hole does not tell.
fn a_new_raw_image_has_its_first_block(bench: &Bench) {
    let allocated = |name: &str| instar_tests::compare::allocated(&bench.path(name));
    let empty = fs::File::create(bench.path("holes")).unwrap();
    for size in ["0", "512", "1000", "4096", "5000", "64k", "1M"] {
        let bytes = size.replace('k', "000").replace('M', "000000").parse().unwrap();
        empty.set_len(bytes).unwrap();
        for line in [
            ["create", "-q", "-f", "raw", "TARGET", size].as_slice(),
            &["create", "-q", "-f", "raw", "-o", "preallocation=falloc", "TARGET", size],
            &["create", "-q", "-f", "raw", "-o", "preallocation=full", "TARGET", size],
            &["convert", "-f", "raw", "-O", "raw", "holes", "TARGET"],
            &["convert", "-f", "raw", "-O", "raw", "-t", "none", "holes", "TARGET"],
            &["convert", "-C", "-f", "raw", "-O", "raw", "holes", "TARGET"],
            &["create", "-q", "-f", "vpc", "-o", "subformat=fixed", "TARGET", "1M"],
        ] {
            let words = |target| {
                line.iter().map(|word| if *word == "TARGET" { target } else { *word }).collect::<Vec<_>>()
            };
            let what = line.join(" ");
            bench.qemu(words("theirs")).succeeds();
            bench.instar(words("ours")).succeeds();
            assert_eq!(allocated("theirs"), allocated("ours"), "{what} of {size}");
            // The first block is data, not space that is kept for it.
            let map = |image| bench.qemu(["map", "--output=json", "-f", "raw", image]).succeeds().text();
            if !what.contains("vpc") && !what.contains("falloc") {
                assert_eq!(map("theirs"), map("ours"), "{what} of {size}");
            }
            for target in ["theirs", "ours"] {
                fs::remove_file(bench.path(target)).unwrap();
            }
        }
    }
}

fn leaves_holes_where_qemu_img_writes_zeros(bench: &Bench) {
    let allocated = |name: &str| instar_tests::compare::allocated(&bench.path(name));
    bench.qemu(["create", "-q", "-f", "qcow2", "theirs", "1G"]).succeeds();
    bench.instar(["create", "-q", "-f", "qcow2", "ours", "1G"]).succeeds();
    let [theirs, ours] = ["theirs", "ours"].map(allocated);
    assert!(ours < theirs, "{ours} bytes allocated, {theirs} by qemu-img");
    ledger::deviates("create-keeps-holes", &theirs, &ours);
}

/// The usual disk has an odd number of kibibytes, so that sizes taken from a layer below are noticed.
#[test]
fn the_usual_disk_has_an_odd_size() {
    assert_ne!(USUAL_BYTES % 4096, 0);
}
