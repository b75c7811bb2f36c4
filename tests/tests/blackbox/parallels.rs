//! Parallels disks beside qemu-img, where the lists of formats of other tests do not reach: options, messages, damage, the extension.

use std::fs;

use instar_tests::compare::{checks_clean_as, same_bytes, same_outcome};
use instar_tests::seal::Edited;
use instar_tests::{Bench, Pair, both_sandboxes, disk};

fn lines(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "parallels", "disk.raw", "image"]).succeeds();
    bench
        .qemu(["convert", "-f", "raw", "-O", "parallels", "-o", "cluster_size=49152", "disk.raw", "small"])
        .succeeds();
    bench.qemu(["create", "-q", "-f", "parallels", "empty", "8M"]).succeeds();
}

/// `_` stands for an empty word.
const LINES: &[&str] = &[
    "create -f parallels -o help",
    "create -f parallels -o help new",
    "create -f parallels new 0",
    "map new",
    "check new",
    "create -f parallels new 1",
    "create -f parallels -o cluster_size=100000 new 10M",
    "check new",
    "create -f parallels -o cluster_size=512 new 1M",
    "check new",
    "create -f parallels -o cluster_size=0 new 1M",
    "create -f parallels -o cluster_size=3G new 1M",
    "create -f parallels -o cluster_size=2G new 1M",
    "create -f parallels -o cluster_size=512 new 3T",
    "create -f parallels -o cluster_size=x new 3T",
    "create -f parallels -o preallocation=metadata new 1M",
    "create -f parallels -o preallocation=foo new 1M",
    "create -f parallels -o compat=1.1 new 1M",
    "create -f parallels -b image new 1M",
    "create -f parallels -b image -F parallels new 1M",
    "create -f parallels new",
    "create -f parallels new 8E",
    "info image",
    "map image",
    "map small",
    "map empty",
    "map --output=json image",
    "map --output=json small",
    "check image",
    "check small",
    "check --output=json image",
    "check --output=json empty",
    "check -r leaks image",
    "check -r all --output=json small",
    "measure -O raw image",
    "measure -O qcow2 small",
    "amend -o cluster_size=4k image",
    "amend -f parallels -o help",
    "amend -o help image",
    "snapshot -l image",
    "snapshot -c a image",
    "snapshot -a a image",
    "snapshot -d a image",
    "bitmap --remove image x",
    "convert -l a -O raw image new",
    "convert -c -O parallels disk.raw new",
    "convert -n -O parallels disk.raw empty",
    "map --output=json empty",
    "check empty",
    "convert -O parallels -o backing_file=image image new",
    "resize empty 1000000",
    "resize empty 9000000",
    "resize --shrink empty 1M",
    "resize --preallocation=full empty 20M",
    "resize empty +1M",
    "rebase -u -b image -F parallels small",
    "rebase -u -b image -F foo small",
    "rebase -u -b _ small",
    "rebase -b empty -F parallels small",
    "rebase -b _ small",
    "dd -O parallels if=disk.raw of=new bs=64k",
    "check new",
    "dd -f parallels -O raw if=small of=new bs=64k skip=3 count=20",
];

both_sandboxes!(
    check_counts_the_entries_of_the_table,
    parallels_is_handled_in_the_words_of_qemu_img,
    damage_is_found_and_repaired_as_by_qemu_img,
    an_extension_is_judged_as_by_qemu_img,
    writing_drops_the_extension,
    old_images_are_read_and_written,
    map_shows_clusters_as_whole_wherever_the_file_ends,
);

fn parallels_is_handled_in_the_words_of_qemu_img(bench: &Bench) {
    let pair = Pair::new(bench, &lines);
    assert!(pair.agree_on(LINES) > 20);
}

/// The image with the old magic, whose entries count sectors.
fn make_old(image: &Edited) {
    let word = |at| u32::from_le_bytes(image.get(at, 4).try_into().unwrap());
    let (tracks, entries) = (word(28), word(32));
    image.put(0, b"WithoutFreeSpace");
    for at in (0..entries).map(|entry| 64 + 4 * u64::from(entry)) {
        image.put(at, &(word(at) * tracks).to_le_bytes());
    }
}

/// What is put where.
type Damage = &'static [(u64, &'static [u8])];

/// Images of clusters of 64 KiB, the first of which is at 65536.
const DAMAGE: &[Damage] = &[
    &[(44, b"Ynot")],
    &[(44, b"v2.1")],
    &[(48, &[1, 0, 0, 0])],
    &[(48, &[0, 0, 0, 1])],
    // A cluster behind the end, one that another entry has, and two of them.
    &[(68, &[0, 0, 1, 0])],
    &[(68, &[1, 0, 0, 0])],
    &[(68, &[1, 0, 0, 0]), (72, &[1, 0, 0, 0])],
];

fn damage_is_found_and_repaired_as_by_qemu_img(bench: &Bench) {
    for (number, damage) in bench.share(DAMAGE.iter().enumerate()) {
        for is_old in [false, true] {
            if is_old && number > 3 {
                continue;
            }
            for (length, repair) in [(0, "all"), (0, "leaks"), (70_000, "leaks"), (100 << 10, "all")] {
                let pair = Pair::new(bench, &|bench| {
                    disk::usual(&bench.path("disk.raw"));
                    bench
                        .qemu([
                            "convert",
                            "-f",
                            "raw",
                            "-O",
                            "parallels",
                            "-o",
                            "cluster_size=64k",
                            "disk.raw",
                            "image",
                        ])
                        .succeeds();
                    let image = Edited::open(&bench.path("image"));
                    if is_old {
                        make_old(&image);
                    }
                    for (at, bytes) in *damage {
                        image.put(*at, bytes);
                    }
                    image.length(image.end() + length);
                });
                let what = format!("{damage:?} {is_old} {length} {repair}");
                // An assertion of theirs fails for places outside the file, unless they are removed first.
                if pair.theirs.qemu(["check", "image"]).code().is_some() {
                    pair.agree(&["check", "image"]);
                    pair.agree(&["check", "--output=json", "image"]);
                } else {
                    assert_eq!(pair.ours.instar(["check", "image"]).code(), Some(2), "{what}");
                    if repair == "leaks" {
                        continue;
                    }
                }
                pair.agree(&["check", "-r", repair, "image"]);
                let second = pair.theirs.qemu(["check", "image"]);
                if second.code().is_some() {
                    pair.agree(&["check", "image"]);
                }
                if repair == "all" {
                    for bench in [&pair.theirs, &pair.ours] {
                        checks_clean_as(bench, "parallels", "image", &what);
                    }
                    let disks = [&pair.theirs, &pair.ours].map(|bench| {
                        bench.qemu(["convert", "-f", "parallels", "-O", "raw", "image", "after"]).succeeds();
                        fs::read(bench.path("after")).unwrap()
                    });
                    assert!(disks[0] == disks[1], "{what}");
                    let images =
                        [&pair.theirs, &pair.ours].map(|bench| fs::read(bench.path("image")).unwrap());
                    assert!(images[0] == images[1], "{what}");
                }
            }
        }
    }
}

/// A feature with its header, up to a bound of 8.
fn feature(magic: u64, flags: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = [magic, flags].map(u64::to_le_bytes).concat();
    bytes.extend_from_slice(&(data.len() as u64).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

const BITMAP: u64 = 0x2038_5fae_252c_b34a;

/// The data of a bitmap: sectors of the disk, sectors of a bit, entries, the table.
fn bitmap(sectors: u64, granularity: u32, entries: u32, table: &[u64]) -> Vec<u8> {
    let mut data = sectors.to_le_bytes().to_vec();
    data.extend_from_slice(b"0123456789abcdef");
    data.extend_from_slice(&granularity.to_le_bytes());
    data.extend_from_slice(&entries.to_le_bytes());
    data.extend(table.iter().flat_map(|entry| entry.to_le_bytes()));
    data
}

/// `image` of clusters of 64 KiB with an extension behind it. Gives where that is.
fn extended(bench: &Bench, features: &[u8]) -> u64 {
    bench.qemu(["create", "-q", "-f", "parallels", "-o", "cluster_size=64k", "image", "4M"]).succeeds();
    instar_tests::variant::io_as(bench, "parallels", "image", &["write -P 7 0 100k"]);
    let image = Edited::open(&bench.path("image"));
    let at = image.end();
    let mut rest = features.to_vec();
    rest.resize((64 << 10) - 24, 0);
    let told = instar_testkit::packed("md5sum", &[], &rest);
    let told = std::str::from_utf8(&told).unwrap();
    let sum: Vec<u8> =
        (0..16).map(|byte| u8::from_str_radix(&told[2 * byte..2 * byte + 2], 16).unwrap()).collect();
    image
        .put(at, &0xab23_4cef_23dc_ea87_u64.to_le_bytes())
        .put(at + 8, &sum)
        .put(at + 24, &rest)
        .put(56, &(at / 512).to_le_bytes());
    at
}

fn an_extension_is_judged_as_by_qemu_img(bench: &Bench) {
    let sectors = 8192;
    let sound = feature(BITMAP, 0, &bitmap(sectors, 128, 1, &[0]));
    let mut refused = 0;
    for features in [
        vec![],
        sound.clone(),
        [sound.as_slice(), &feature(BITMAP, 0, &bitmap(sectors, 1, 1, &[1]))].concat(),
        feature(BITMAP, 0, &bitmap(sectors, 128, 1, &[128])),
        feature(BITMAP, 0, &bitmap(sectors, 128, 1, &[1 << 40])),
        feature(BITMAP, 0, &bitmap(sectors + 1, 128, 1, &[0])),
        feature(BITMAP, 0, &bitmap(sectors, 128, 2, &[0])),
        feature(BITMAP, 0, &bitmap(sectors, 128, 2, &[0, 0])),
        feature(BITMAP, 0, &bitmap(sectors, 128, 0, &[])),
        feature(BITMAP, 0, b"short"),
        feature(BITMAP, 1, &[]),
        feature(0x1234, 0, &[]),
        feature(0, 3, &[]),
        feature(BITMAP, 0, &vec![0; 70_000])[..60_000].to_vec(),
    ] {
        let pair = Pair::new(bench, &|bench| {
            extended(bench, &features);
        });
        for words in [
            ["info", "image"].as_slice(),
            &["check", "image"],
            &["map", "image"],
            &["convert", "-O", "raw", "image", "out"],
            &["convert", "--bitmaps", "-O", "qcow2", "image", "with"],
        ] {
            refused += usize::from(!pair.agree(words));
        }
    }
    for (at, byte) in [(0, 0), (9, 1), (4000, 1)] {
        let pair = Pair::new(bench, &|bench| {
            let start = extended(bench, &sound);
            Edited::open(&bench.path("image")).put(start + at, &[byte]);
        });
        refused += usize::from(!pair.agree(&["info", "image"]));
    }
    let pair = Pair::new(bench, &|bench| {
        extended(bench, &sound);
        Edited::open(&bench.path("image")).put(63, &[0x40]);
    });
    refused += usize::from(!pair.agree(&["info", "image"]));
    assert!(refused > 20, "{refused}");
}

fn writing_drops_the_extension(bench: &Bench) {
    let sound = feature(BITMAP, 0, &bitmap(8192, 128, 1, &[0]));
    fs::write(bench.path("disk.raw"), disk::pattern(0, 4 << 20, 3)).unwrap();
    extended(bench, &sound);
    bench.instar(["convert", "-n", "-f", "raw", "-O", "parallels", "disk.raw", "image"]).succeeds();
    assert_eq!(Edited::open(&bench.path("image")).get(56, 8), [0; 8]);
    checks_clean_as(bench, "parallels", "image", "written");
    bench.qemu(["convert", "-f", "parallels", "-O", "raw", "image", "after.raw"]).succeeds();
    same_bytes(bench, "disk.raw", "after.raw", "written");
}

fn old_images_are_read_and_written(bench: &Bench) {
    for cluster in ["cluster_size=49152", "cluster_size=258048", "cluster_size=1M"] {
        disk::usual(&bench.path("disk.raw"));
        bench
            .qemu(["convert", "-f", "raw", "-O", "parallels", "-o", cluster, "disk.raw", "image"])
            .succeeds();
        let image = Edited::open(&bench.path("image"));
        make_old(&image);
        // The upper half of the size is somebody else's, and the start of the data is not said.
        image.put(40, &[9, 9, 9, 9]);
        if image.get(32, 4) == [5, 0, 0, 0] {
            image.put(48, &[0; 4]);
        }
        bench.instar(["convert", "-f", "parallels", "-O", "raw", "image", "out"]).succeeds();
        same_bytes(bench, "disk.raw", "out", cluster);
        fs::write(bench.path("new.raw"), disk::text(7, 2 << 20)).unwrap();
        fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
        let words = |image| ["convert", "-n", "-f", "raw", "-O", "parallels", "new.raw", image];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("image")).succeeds();
        for name in ["theirs", "image"] {
            let to = format!("{name}.raw");
            bench.qemu(["convert", "-f", "parallels", "-O", "raw", name, &to]).succeeds();
        }
        same_bytes(bench, "theirs.raw", "image.raw", cluster);
        checks_clean_as(bench, "parallels", "image", cluster);
    }
}

fn check_counts_the_entries_of_the_table(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "parallels", "image", "3M"]).succeeds();
    // Entries behind the end of the disk: the table ends where the data starts, at 1 MiB.
    Edited::open(&bench.path("image")).put(32, &2049_u32.to_le_bytes());
    for words in [&["check", "-f", "parallels", "image"][..], &["check", "--output=json", "image"]] {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.succeeds().text(), ours.succeeds().text());
    }
}

fn map_shows_clusters_as_whole_wherever_the_file_ends(bench: &Bench) {
    for cut in [1, 511, 512, 700, 3000] {
        fs::write(bench.path("disk.raw"), disk::text(3, 12288)).unwrap();
        bench
            .qemu(["convert", "-f", "raw", "-O", "parallels", "-o", "cluster_size=4096", "disk.raw", "image"])
            .succeeds();
        let image = Edited::open(&bench.path("image"));
        image.length(image.end() - cut);
        bench.qemu(["convert", "-f", "parallels", "-O", "raw", "image", "theirs"]).succeeds();
        bench.instar(["convert", "-f", "parallels", "-O", "raw", "image", "ours"]).succeeds();
        same_bytes(bench, "theirs", "ours", "what is not in the file is zeros");
        for words in [
            ["map", "-f", "parallels", "image"].as_slice(),
            &["map", "--output=json", "-f", "parallels", "image"],
            &["measure", "-f", "parallels", "-O", "qcow2", "image"],
            &["compare", "-f", "parallels", "-F", "raw", "image", "theirs"],
            &["compare", "-s", "-f", "parallels", "-F", "raw", "image", "theirs"],
        ] {
            same_outcome(bench, words, &format!("{cut} bytes are missing: {words:?}"));
        }
    }
}
