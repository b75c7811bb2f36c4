//! `bench`: words, exit codes and what `-w` leaves are those of the installed qemu-img.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{checks_clean, checks_clean_as, qemu_reads, same_bytes};
use instar_tests::craft::{COPIED, Crafted, field};
use instar_tests::disk::{self, Piece, USUAL_BYTES};
use instar_tests::holder::Holder;
use instar_tests::ledger::{deviates, skip};
use instar_tests::reference::{Reference, lacks_option};
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, Outcome, both_sandboxes};

/// Standard output without the time that it tells.
fn timeless(outcome: &Outcome) -> String {
    let text = outcome.text();
    let Some((before, after)) = text.split_once("Run completed in ") else {
        return text;
    };
    let (seconds, end) = after.split_once(' ').unwrap();
    let (whole, part) = seconds.split_once('.').unwrap();
    assert!(whole.parse::<u32>().is_ok() && part.len() == 3, "{text}");
    format!("{before}Run completed in N {end}")
}

/// Both programs say the same of the same words; gives ours.
#[track_caller]
fn same(bench: &Bench, words: &[&str], what: &str) -> Outcome {
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    if theirs.code().is_none() && Reference::installed().series == "7.2" {
        // It divides by the size of the disk.
        ours.is_civil();
        skip("qemu-img 7.2 crashes over disks of no bytes");
    } else if !lacks_option(&theirs, &ours) {
        alike(&theirs, &ours, &format!("{what}: {words:?}"));
    }
    ours
}

#[track_caller]
fn alike(theirs: &Outcome, ours: &Outcome, what: &str) {
    assert_eq!(theirs.code(), ours.code(), "{what}\n{theirs}{ours}");
    assert_eq!(timeless(theirs), timeless(ours), "{what}");
    assert_eq!(theirs.message(), ours.message(), "{what}");
}

/// Requests in every way: sizes that do not divide anything, steps, starts, queues, flushes.
const REQUESTS: &[&str] = &[
    "-c 40",
    "-c 1 -s 1",
    "-c 70 -s 4096 -S 61440 -d 7",
    "-c 33 -s 512 -S 513 -o 77 -d 1",
    "-c 19 -s 70000 -S 130000 -d 64",
    "-c 3 -s 1500000 -S 1600000 -o 3",
    "-c 200 -s 1000 -S 1700000 -o 12345 -d 100",
    "-c 90 -s 3000 -d 5 --flush-interval 5",
    "-c 90 -s 3000 -d 5 --flush-interval 11 --no-drain",
    "-c 10 -s 4096 -o 4190208 -S 512",
    "-c 300 -s 64k -S 1M -o 63k -d 1000",
];

/// The same requests to two images that start as copies of `image`; both are left.
fn write_both(bench: &Bench, format: &str, options: &str, what: &str) {
    let words = |image| {
        let head = ["bench", "-w", "--pattern", "0xa7", "-f", format];
        let all = head.into_iter().chain(options.split(' ')).chain([image]);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["theirs", "ours"] {
        fs::copy(bench.path("image"), bench.path(name)).unwrap();
    }
    let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
    alike(&theirs, &ours, &format!("{what}: {options}"));
    // The one that fails ends in the middle of what others have begun.
    if theirs.code() == Some(0) {
        bench.qemu(["convert", "-f", format, "-O", "raw", "theirs", "theirs.raw"]).succeeds();
        bench.qemu(["convert", "-f", format, "-O", "raw", "ours", "ours.raw"]).succeeds();
        same_bytes(bench, "theirs.raw", "ours.raw", &format!("{what}: {options}"));
    }
}

/// Writes into each of these, and has qemu-img check what is left.
fn writes_into(bench: &Bench, variants: &[Variant], format: &str) {
    for (number, variant) in variants.iter().enumerate() {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        // Others for each image.
        for options in REQUESTS.iter().cycle().skip(number * 3).take(4) {
            write_both(bench, format, options, variant.name);
            if matches!(format, "qcow2" | "vdi" | "vmdk" | "vhdx") {
                checks_clean_as(bench, format, "ours", variant.name);
            }
        }
    }
}

/// Formats besides raw and qcow2 whose images can be written in place.
const IN_PLACE: &[(&str, &str)] = &[
    ("vdi", "static=off"),
    ("vdi", "static=on"),
    ("vpc", "force_size=on"),
    ("vpc", "subformat=fixed,force_size=on"),
    ("vhdx", "block_size=1M"),
    ("vhdx", "block_size=8M"),
    ("vhdx", "subformat=fixed"),
    ("vmdk", "subformat=monolithicSparse"),
    ("vmdk", "zeroed_grain=on"),
];

both_sandboxes!(
    reads_images_of_every_format,
    reads_through_chains,
    writes_into_raw_files,
    writes_into_qcow2_of_every_cluster_size,
    writes_into_compressed_clusters_and_subclusters,
    writes_into_other_formats,
    writes_into_an_overlay_bring_up_what_lies_below,
    a_request_past_the_end_fails_after_the_first_line,
    a_queue_of_any_depth_is_taken,
    words_that_are_wrong_are_refused_in_the_same_order,
    an_image_that_another_process_writes_to_is_not_written_to,
    a_damaged_image_fails_where_it_is_damaged,
    a_device_queue_past_the_page_cache,
    images_that_cannot_be_written_in_place_stay_as_they_are,
    small_writes_at_random_places_leave_the_rest_alone,
);

fn reads_images_of_every_format(bench: &Bench) {
    for variants in [variant::LAYOUTS, variant::STATES, variant::RAW, variant::FOREIGN, variant::READ_ONLY] {
        for variant in bench.share(variants) {
            let bench = &Bench::new(bench.sandbox());
            variant.make(bench);
            for options in ["-c 500 -s 4096", "-c 20 -s 333333 -S 300000 -d 3"] {
                let words = ["bench"].into_iter().chain(options.split(' ')).chain(["image"]);
                same(bench, &words.collect::<Vec<_>>(), variant.name);
            }
        }
    }
}

fn reads_through_chains(bench: &Bench) {
    for chain in variant::CHAINS {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        same(bench, &["bench", "-c", "300", "-s", "20000", "-d", "9", "image"], chain.name);
    }
}

fn writes_into_raw_files(bench: &Bench) {
    for length in [USUAL_BYTES, 4 << 20, (4 << 20) + 1, (4 << 20) + 511] {
        disk::usual(&bench.path("image"));
        fs::File::options().write(true).open(bench.path("image")).unwrap().set_len(length).unwrap();
        for options in REQUESTS {
            write_both(bench, "raw", options, &format!("{length} bytes"));
        }
    }
}

fn writes_into_qcow2_of_every_cluster_size(bench: &Bench) {
    writes_into(bench, variant::LAYOUTS, "qcow2");
}

fn writes_into_compressed_clusters_and_subclusters(bench: &Bench) {
    writes_into(bench, variant::CLUSTERS, "qcow2");
}

fn writes_into_other_formats(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (format, options) in bench.share(IN_PLACE) {
        bench.qemu(["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "image"]).succeeds();
        for requests in REQUESTS {
            write_both(bench, format, requests, &format!("{format} {options}"));
            if !matches!(*format, "vpc") {
                checks_clean_as(bench, format, "ours", requests);
            }
        }
    }
}

fn writes_into_an_overlay_bring_up_what_lies_below(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "base.raw", "middle"]).succeeds();
    // Shorter and longer than what is below, data of its own, zeros over data, and a snapshot that shares clusters.
    for (size, cluster) in [("4M", "64k"), ("6M", "4k"), ("5000k", "2M"), ("3M", "512")] {
        let options = format!("cluster_size={cluster}");
        bench
            .qemu([
                "create", "-q", "-f", "qcow2", "-o", &options, "-b", "middle", "-F", "qcow2", "image", size,
            ])
            .succeeds();
        variant::io(bench, "image", &["write -P 3 100k 30k", "write -z 1M 100k", "write -P 4 2M 128k"]);
        bench.qemu(["snapshot", "-c", "kept", "image"]).succeeds();
        variant::io(bench, "image", &["write -P 5 2M 64k", "write -z -u 1500k 64k"]);
        bench.qemu(["convert", "-l", "kept", "-O", "raw", "image", "kept.raw"]).succeeds();
        for requests in REQUESTS {
            write_both(bench, "qcow2", requests, &options);
            checks_clean(bench, "ours", requests);
            bench.qemu(["convert", "-l", "kept", "-O", "raw", "ours", "kept-now.raw"]).succeeds();
            same_bytes(bench, "kept.raw", "kept-now.raw", requests);
        }
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn a_request_past_the_end_fails_after_the_first_line(bench: &Bench) {
    disk::usual(&bench.path("image"));
    fs::write(bench.path("empty"), "").unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "none", "0"]).succeeds();
    for words in [
        ["bench", "-f", "raw", "-o", "4M", "image"].as_slice(),
        &["bench", "-f", "raw", "-o", "9223372036854775807", "image"],
        &["bench", "-f", "raw", "-s", "2147483647", "-d", "1", "image"],
        &["bench", "-f", "raw", "-w", "-o", "4M", "-c", "2", "image"],
        &["bench", "-f", "raw", "empty"],
        &["bench", "-f", "raw", "-w", "empty"],
        &["bench", "none"],
        &["bench", "-w", "none"],
    ] {
        let ours = same(bench, words, "past the end");
        assert_eq!(ours.message(), "Failed request: Input/output error", "{words:?}");
        assert_eq!(ours.text().lines().count(), 1, "{words:?}");
    }
    // Since 10.1 it goes on at the start of the disk instead.
    same(bench, &["bench", "-f", "raw", "-c", "100000", "-S", "1000", "image"], "over the end");
    // As long as the failing one is not sent, nothing is wrong.
    same(
        bench,
        &["bench", "-f", "raw", "-c", "1000", "-s", "512", "-S", "1024", "-o", "512", "image"],
        "to the very end",
    );
}

fn a_queue_of_any_depth_is_taken(bench: &Bench) {
    disk::usual(&bench.path("image"));
    for words in [
        ["bench", "-f", "raw", "-s", "1M", "-c", "4", "-d", "2147483647", "image"].as_slice(),
        &["bench", "-f", "raw", "-s", "1", "-d", "2147483647", "image"],
    ] {
        let ours = bench.instar(words);
        ours.succeeds();
        deviates("bench-depth", &bench.qemu(words).code(), &ours.code());
    }
}

fn words_that_are_wrong_are_refused_in_the_same_order(bench: &Bench) {
    disk::usual(&bench.path("r"));
    bench.qemu(["create", "-q", "-f", "qcow2", "q", "1M"]).succeeds();
    fs::create_dir(bench.path("d")).unwrap();
    for line in WRONG.lines() {
        if Reference::installed().series == "7.2"
            && ["-c 0 ", "-d 0 ", "-s 0 ", "-s 2147483648 "].iter().any(|zero| line.starts_with(zero))
        {
            skip(
                "qemu-img 7.2 takes a count and a size of 0 for bench, as its messages say, and waits for ever with a depth of 0",
            );
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        same(bench, &[&["bench"], words.as_slice()].concat(), line);
    }
}

fn an_image_that_another_process_writes_to_is_not_written_to(bench: &Bench) {
    for format in ["raw", "qcow2"] {
        bench.qemu(["create", "-q", "-f", format, "image", "4M"]).succeeds();
        let _holder = Holder::of(bench, format, "image");
        for words in [
            ["bench", "-f", format, "-c", "10", "image"].as_slice(),
            &["bench", "-f", format, "-c", "10", "-U", "image"],
        ] {
            same(bench, words, format);
        }
        let words = ["bench", "-f", format, "-c", "10", "-w", "image"];
        let ours = bench.instar(words);
        ours.fails_with("Failed to get ");
        if format == "raw" {
            deviates("raw-in-use", &bench.qemu(words).code(), &ours.code());
        } else {
            same(bench, &words, format);
        }
    }
}

fn a_damaged_image_fails_where_it_is_damaged(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 4 * 65536);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    image.u64(l2 + 16, COPIED | 0x600);
    for words in [["bench", "-c", "256", "image"].as_slice(), &["bench", "-c", "1", "-o", "128k", "image"]] {
        let ours = bench.instar(words);
        ours.fails_with("Failed request: ").within(Duration::from_secs(20));
        assert_eq!(bench.qemu(words).code(), ours.code());
    }
}

fn a_device_queue_past_the_page_cache(bench: &Bench) {
    bench.make_image(USUAL_BYTES, &disk::usual_pieces(1), "qcow2", "");
    for mode in ["none", "directsync", "writeback", "writethrough", "unsafe"] {
        same(bench, &["bench", "-t", mode, "-c", "300", "image"], mode);
        write_both(bench, "qcow2", &format!("-t {mode} -c 30 -s 5000 -S 9000 -d 8 --flush-interval 8"), mode);
        checks_clean(bench, "ours", mode);
    }
    same(bench, &["bench", "-t", "none", "-n", "-c", "30", "image"], "native");
}

fn images_that_cannot_be_written_in_place_stay_as_they_are(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse", "streamOptimized"] {
        bench
            .qemu([
                "convert",
                "-f",
                "raw",
                "-O",
                "vmdk",
                "-o",
                &format!("subformat={subformat}"),
                "disk.raw",
                "image",
            ])
            .succeeds();
        let before = fs::read(bench.path("image")).unwrap();
        bench.instar(["bench", "-w", "-c", "1", "image"]).fails_with("Could not open 'image': ");
        assert!(fs::read(bench.path("image")).unwrap() == before, "{subformat}");
    }
    // A part of a file.
    bench
        .instar([
            "bench",
            "-w",
            "-c",
            "1",
            "--image-opts",
            "driver=raw,offset=1M,size=1M,file.filename=disk.raw",
        ])
        .fails_with("is read, and not changed");
    same(
        bench,
        &["bench", "-c", "9", "--image-opts", "driver=raw,offset=1M,size=1M,file.filename=disk.raw"],
        "a part",
    );
}

/// Every unit that a request reaches into keeps what stands beside it, however requests lie in their units.
fn small_writes_at_random_places_leave_the_rest_alone(bench: &Bench) {
    disk::make(&bench.path("base.raw"), 8 << 20, &[Piece::Data(0, 8 << 20, 9)]);
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "image"]).succeeds();
    for prime in [4099_u64, 65_537, 104_729, 1_299_709] {
        let options = format!("-c 400 -s 700 -S {prime} -o {}", prime / 3);
        write_both(bench, "qcow2", &options, "primes");
        checks_clean(bench, "ours", &options);
        qemu_reads(bench, "theirs", "ours.raw", &options);
    }
}

/// Command lines that are refused, or that look as if they ought to be.
const WRONG: &str = "\
--depth=x r
--depth -1 r
--depth=2147483648 r
--buffer-size=0 r
--step-size=2147483648 r
--offset=18446744073709551616 r
--pattern=x r
--flush-interval=2147483648 r
--flush-interval=x r
-w --flush-interval 63 -c 3 -f raw r
-w --flush-interval 1 -d 1 -c 3 -f raw r
--cache=off -c 3 -f raw r
-i io_uring -n -c 3 -f raw r
-wn -c 3 -f raw r
-d1 -c3 q
-c 3 -c x q
-c 3 -c 4 q
--image-opts -c 3 driver=raw
--image-opts -c 3 driver=foo,file.filename=r
--image-opts -w -c 3 driver=qcow2,file.filename=q
--image-opts -c 3 driver=qcow2,file.filename=q,foo=bar
--image-opts -n -t none -c 3 driver=raw,file.filename=r
--force-share -w -f raw r
-c 0 r
-c x r
-c 1k r
-c -1 r
-c 1.5 r
-c 2147483648 r
-d 0 r
-d 1k r
-s 0 r
-s x r
-s -1 r
-s 2147483648 r
-S x r
-S -1 r
-S 2G r
-o x r
-o -1 r
-o 8E r
--pattern 256 r
--pattern -1 r
--pattern 1k r
--flush-interval 3 r
--flush-interval 3 absent
--flush-interval -1 r
--flush-interval 1k r
-w --flush-interval 3 absent
-w --flush-interval 3
--flush-interval 3
-t foo r
-t foo -c 0 r
-c 0 -t foo r
-i foo r
-i foo -t foo absent
-i native -f raw r
-n -f raw r
-n -i threads -f raw r
-n absent
-n -w -U r
-n -f foo r
-n --image-opts driver=raw,file.filename=r
-n -c 3 --image-opts driver=raw,file.filename=r,cache.direct=on
-w -U r
-w -U absent
-U absent
absent
-w absent
d
-w d
-f foo r
-f qcow2 r
-w -f qcow2 r
--image-opts -f raw r
--image-opts -f raw --flush-interval 3 r
-w -c 3 --image-opts driver=qcow2,read-only=on,file.filename=q
-c 3 r r
-c 3
--native
--bogus
-x
-c
--f raw
--n
--c 3
-w -c 3 r
-c 0x10 -f raw r
-c 010 -f raw r
-c +5 -f raw r
-s 1.5k -c 3 -f raw r
--no-drain -c 3 -f raw r
--pattern 0x41 -c 3 -f raw r
-w --flush-interval 0 -c 3 -f raw r
-w --flush-interval 64 -c 100 -f raw r
-w --flush-interval 64 --no-drain -c 100 -f raw r
-q -c 3 -f raw r
-i io_uring -c 3 -f raw r
-i threads -c 3 -f raw r
--buffer-size 1k --step-size 2k --offset 1k --cache writeback --aio threads --depth 3 --count 7 --format raw --force-share r";
