//! Bitmaps made, removed, cleared, switched and joined, beside qemu-img; their bits are read by a parser of our own here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use instar_disk::job::{BitmapAction, ChangeBitmaps, Source};
use instar_disk::{Action, File, Host, Image, IoError, Slot, Undone, fault};
use instar_qcow2::OpenOptions;
use instar_testkit::{Failing, Native, State, Torn, Watch, Watched};

use crate::support::Bench;

/// Layouts of a small image that differ in what bitmaps have to do with: clusters, room in the header, where its extensions stand.
const LAYOUTS: [&str; 8] = [
    "cluster_size=512",
    "cluster_size=1k",
    "cluster_size=4k",
    "cluster_size=64k",
    "cluster_size=64k,extended_l2=on",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=8k,refcount_bits=64",
    "cluster_size=64k,data_file=data",
];

/// The bits of a bitmap: what each stands for, whether it records, whether it is inconsistent, and the numbers of those set.
pub(crate) type Bits = (u64, bool, bool, Vec<u64>);

/// The bitmaps that a reader takes for good, by name. As the specification says, and nothing of ours.
pub(crate) fn bitmaps(bytes: &[u8]) -> BTreeMap<Vec<u8>, Bits> {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut all = BTreeMap::new();
    if word(4) < 3 || long(88) & 1 == 0 {
        return all;
    }
    let (cluster, size) = (1_usize << word(20), long(24));
    let mut at = word(100);
    let end = match long(8) {
        0 => cluster,
        name => name as usize,
    };
    let (mut directory, mut count, mut directory_end) = (0, 0, 0);
    while at + 8 <= end && word(at) != 0 {
        if word(at) == 0x2385_2875 {
            assert_eq!(word(at + 4), 24);
            count = word(at + 8);
            directory = long(at + 24) as usize;
            directory_end = directory + long(at + 16) as usize;
        }
        at += 8 + word(at + 4).next_multiple_of(8);
    }
    assert_eq!(directory % cluster, 0);
    while directory < directory_end {
        let (table, entries) = (long(directory) as usize, word(directory + 8));
        let (flags, kind, granularity) = (word(directory + 12), bytes[directory + 16], bytes[directory + 17]);
        let name_size = usize::from(u16::from_be_bytes(
            bytes[directory + 18..][..2].try_into().unwrap(),
        ));
        assert_eq!((kind, word(directory + 20), flags & !3), (1, 0, 0));
        let name = bytes[directory + 24..][..name_size].to_vec();
        directory += (24 + name_size).next_multiple_of(8);
        let granularity = 1_u64 << granularity;
        let last = size.div_ceil(granularity);
        assert_eq!(
            entries as u64,
            last.div_ceil(8).div_ceil(cluster as u64),
            "entries of the table"
        );
        let mut set = Vec::new();
        for bit in 0..last {
            let entry = long(table + (bit / 8) as usize / cluster * 8);
            let is_set = match entry {
                0 => false,
                1 => true,
                place => bytes[place as usize + (bit / 8) as usize % cluster] >> (bit % 8) & 1 != 0,
            };
            if is_set {
                set.push(bit);
            }
        }
        let known = all.insert(name, (granularity, flags & 2 != 0, flags & 1 != 0, set));
        assert!(known.is_none(), "two of that name");
    }
    assert_eq!(all.len(), count);
    all
}

fn job(name: &str, actions: &[BitmapAction]) -> ChangeBitmaps {
    ChangeBitmaps {
        image: Source::new(Slot(0), None),
        name: name.into(),
        actions: actions.to_vec(),
        from: None,
    }
}

fn carry_out(
    host: &dyn Host,
    facts: instar_disk::FileFacts,
    job: &ChangeBitmaps,
    from: Option<&mut dyn Image>,
) -> Result<(), Undone> {
    let mut image = instar_qcow2::edit(File::new(host, facts))?;
    let mut bitmaps = image.bitmaps()?;
    bitmaps.change(job, from)
}

fn change(bench: &Bench, image: &str, name: &str, actions: &[BitmapAction]) -> Result<(), Undone> {
    let native = Native::new(1);
    let facts = native.existing(bench.path(image));
    carry_out(&native, facts, &job(name, actions), None)
}

fn merge(source: &str) -> BitmapAction {
    BitmapAction::Merge(source.into())
}

/// The option of qemu-img for an action.
fn word(action: &BitmapAction) -> String {
    match action {
        BitmapAction::Add(0) => "--add".into(),
        BitmapAction::Add(granularity) => format!("--add -g {granularity}"),
        BitmapAction::Remove => "--remove".into(),
        BitmapAction::RemoveAll => "--remove-all".into(),
        BitmapAction::Clear => "--clear".into(),
        BitmapAction::Enable => "--enable".into(),
        BitmapAction::Disable => "--disable".into(),
        BitmapAction::Merge(source) => format!("--merge {}", String::from_utf8(source.clone()).unwrap()),
    }
}

/// An image of 3000 KiB with two bitmaps, `fine` and `coarse`, that recorded different writes, and `other`, which has recorded nothing.
fn image(bench: &Bench, layout: &str) {
    bench.qemu_img(&format!("create -q -f qcow2 -o {layout} image 3000k"));
    bench.qemu_img("bitmap --add -g 512 image fine");
    bench.qemu_io("image", &["write -P 1 100k 33k", "write -P 2 1023k 3k"]);
    bench.qemu_img("bitmap --disable image fine");
    bench.qemu_img("bitmap --add -g 16k image coarse");
    bench.qemu_io(
        "image",
        &["write -P 3 0 1k", "write -P 4 2990k 10k", "write -P 5 1100k 200k"],
    );
    bench.qemu_img("bitmap --disable image coarse");
    bench.qemu_img("bitmap --add --disable -g 64k image other");
}

fn assert_clean(bench: &Bench, image: &str, what: &str) {
    let output = bench.try_qemu_img(&format!("check {image}"));
    assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
    // qemu-img reads each bit when it opens an image to write to it.
    let before = bitmaps(&bench.bytes(image));
    bench.qemu_io(image, &["flush"]);
    assert_eq!(
        bitmaps(&bench.bytes(image)),
        before,
        "{what}: what qemu-img makes of them"
    );
}

/// Lines of actions on a bitmap, one after the other on the same image.
fn lines() -> Vec<(&'static str, Vec<BitmapAction>)> {
    use BitmapAction::{Add, Clear, Disable, Enable, Remove};
    vec![
        ("new", vec![Add(0)]),
        ("new", vec![Disable, merge("fine")]),
        ("large", vec![Add(1 << 20), merge("fine"), Disable]),
        ("small", vec![Add(512), merge("coarse"), merge("new"), Disable]),
        ("fine", vec![merge("coarse")]),
        ("coarse", vec![merge("fine"), merge("coarse")]),
        ("coarse", vec![Enable, Disable, Enable, Disable]),
        ("other", vec![merge("large"), Clear, merge("small")]),
        ("new", vec![Remove, Add(4096), merge("small"), Disable]),
        ("fine", vec![Clear]),
        ("fine", vec![Remove]),
        ("other", vec![Remove]),
        ("large", vec![Remove]),
        ("small", vec![Remove]),
        ("coarse", vec![Remove]),
        ("new", vec![Remove]),
        ("last", vec![Add(2048), Disable]),
    ]
}

#[test]
fn bitmaps_are_those_that_qemu_img_makes() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout);
        let bytes = bench.bytes("image");
        bench.put("theirs", &bytes);
        let disk = bench.reference("image", "-f qcow2");
        for (name, actions) in lines() {
            let what = format!("{layout}, {name}: {actions:?}");
            let words: Vec<String> = actions.iter().map(word).collect();
            bench.qemu_img(&format!("bitmap {} theirs {name}", words.join(" ")));
            change(&bench, "image", name, &actions).unwrap_or_else(|undone| panic!("{what}: {undone:?}"));
            let (ours, theirs) = (bitmaps(&bench.bytes("image")), bitmaps(&bench.bytes("theirs")));
            assert_eq!(ours, theirs, "{what}");
            assert_clean(&bench, "image", &what);
        }
        assert!(
            bench.reference("image", "-f qcow2") == disk,
            "{layout}: another disk"
        );
    }
}

/// Names of backing and data files that move what stands behind them in the header.
#[test]
fn a_header_of_any_length_leads_to_bitmaps() {
    for cluster in ["512", "1k", "2k", "4k", "64k"] {
        for length in [
            1_usize, 30, 200, 340, 348, 356, 364, 372, 380, 388, 396, 500, 800, 1023,
        ] {
            let bench = Bench::new();
            let name = "./".repeat(length.div_ceil(2) - 1) + &"b".repeat(2 - length % 2);
            bench.put("b", &[]);
            bench.put("bb", &[]);
            let words = format!(
                "create -q -u -f qcow2 -o cluster_size={cluster},backing_fmt=raw -b {name} image 3000k"
            );
            if !bench.try_qemu_img(&words).status.success() {
                continue;
            }
            let what = format!("{cluster}, {length}");
            let backing = bench
                .qemu_img("info image")
                .lines()
                .find(|line| line.contains("backing file:"))
                .unwrap()
                .to_owned();
            for (name, actions) in [
                ("one", [BitmapAction::Add(0)]),
                ("two", [BitmapAction::Add(512)]),
                ("one", [BitmapAction::Remove]),
                ("two", [BitmapAction::Remove]),
            ] {
                let theirs = bench.bytes("image");
                match change(&bench, "image", name, &actions) {
                    Ok(()) => {}
                    Err(undone) if undone.fault.code == fault::qcow2_write::HEADER_NO_ROOM => {
                        assert!(matches!(cluster, "1k" | "2k") && length > 300, "{what}");
                        assert!(bench.bytes("image") == theirs, "{what}: refused, and changed");
                        break;
                    }
                    Err(undone) => {
                        // The name leaves no room for an extension at all.
                        assert_eq!(undone.fault.code, fault::qcow2_write::HEADER_TOO_LONG, "{what}");
                        assert!(bench.bytes("image") == theirs, "{what}: refused, and changed");
                        bench.refusal(&format!("bitmap --add image {name}"));
                        break;
                    }
                }
                let info = bench.qemu_img("info image");
                assert!(info.contains(&backing), "{what}: {info}");
                assert_eq!(bench.try_qemu_img("check image").status.code(), Some(0), "{what}");
            }
        }
    }
}

/// After a power cut at any moment the bitmaps are those from before or those from after, and nothing is wrong but leaks. Gives how
/// many states were looked at.
fn survives(bench: &Bench, image: &str, name: &str, actions: &[BitmapAction]) -> usize {
    let torn = Torn::default();
    let facts = torn.native.existing(bench.path(image));
    let old = bench.bytes(image);
    let (before, disk) = (bitmaps(&old), bench.ours(image));
    carry_out(&torn, facts, &job(name, actions), None).unwrap();
    let after = bitmaps(&bench.bytes(image));
    let mut number = 0;
    torn.states(&State::from([(facts.slot, old.into())]), &mut |state, what| {
        number += 1;
        let found = bitmaps(&state[&facts.slot].bytes());
        assert!(
            found == before || found == after,
            "{name} {actions:?}, {what}: {found:?}"
        );
        if number % LOOKED_AT != 0 {
            return;
        }
        state[&facts.slot].put(&bench.path("cut"));
        assert!(
            bench.ours("cut") == disk,
            "{name} {actions:?}, {what}: another disk"
        );
        let native = Native::new(1);
        let mut findings = instar_disk::Findings::new(&native);
        let file = File::new(&native, native.source(bench.path("cut")));
        let checked = instar_qcow2::check(file).unwrap().run(&mut findings).unwrap();
        assert_eq!(
            (checked.corruptions, checked.check_errors),
            (0, 0),
            "{name} {actions:?}, {what}"
        );
        if number % (LOOKED_AT * 8) == 0 {
            let output = bench.try_qemu_img("check -r leaks cut");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{name} {actions:?}, {what}: {output:?}"
            );
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!stderr.contains("lacking bitmap support"), "{what}: {stderr}");
            assert_eq!(bitmaps(&bench.bytes("cut")), found, "{name} {actions:?}, {what}");
            assert_clean(bench, "cut", what);
        }
    })
}

/// Of the states whose bitmaps are compared, one in so many is checked; of these, qemu-img checks one in eight.
const LOOKED_AT: usize = 7;

#[test]
fn a_power_cut_leaves_the_bitmaps_from_before_or_those_from_after() {
    let mut states = 0;
    for layout in LAYOUTS.iter().filter(|layout| !layout.contains("data_file")) {
        let bench = Bench::new();
        bench.qemu_img("create -q -f raw below 3000k");
        image(&bench, layout);
        if !layout.contains("64k,") {
            // The name follows the extensions, and moves with them.
            bench.qemu_img("rebase -u -f qcow2 -b below -F raw image");
        }
        for (name, actions) in lines() {
            states += survives(&bench, "image", name, &actions);
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_refcount_table_that_grows_meanwhile_is_no_matter() {
    // A table of one cluster of 512 bytes counts 64 blocks of 256 clusters: 8 MiB.
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=512 image 12M");
    bench.qemu_io("image", &["write -P 1 0 7500k"]);
    let mut next = 7500;
    while bench.bytes("image").len() < (8 << 20) - (60 << 10) {
        bench.qemu_io("image", &[&format!("write -P 2 {next}k 10k")]);
        next += 10;
    }
    let table = |bench: &Bench| bench.bytes("image")[48..60].to_vec();
    let mut number = 0;
    loop {
        let before = table(&bench);
        bench.put("earlier", &bench.bytes("image"));
        let actions = [BitmapAction::Add(512), BitmapAction::Disable];
        change(&bench, "image", &format!("{number:01000}"), &actions).unwrap();
        if table(&bench) != before {
            bench.put("image", &bench.bytes("earlier"));
            survives(&bench, "image", &format!("{number:01000}"), &actions);
            assert_ne!(table(&bench), before);
            return;
        }
        number += 1;
        assert!(number < 200, "the table never grew");
    }
}

#[test]
fn a_failure_at_any_write_leaves_bitmaps_that_are_good() {
    for layout in ["cluster_size=512", "cluster_size=64k"] {
        let bench = Bench::new();
        image(&bench, layout);
        let bytes = bench.bytes("image");
        let before = bitmaps(&bytes);
        let line = [BitmapAction::Add(512), merge("fine"), merge("coarse")];
        for allowed in 0.. {
            bench.put("image", &bytes);
            let host = Failing::after(allowed);
            let facts = host.native.existing(bench.path("image"));
            let outcome = carry_out(&host, facts, &job("new", &line), None);
            let found = bitmaps(&bench.bytes("image"));
            let code = bench.try_qemu_img("check image").status.code();
            assert!(matches!(code, Some(0 | 3)), "{layout}, {allowed}: {code:?}");
            if outcome.is_ok() {
                assert_eq!(found.len(), before.len() + 1);
                break;
            }
            assert!(
                found == before || found.len() == before.len() + 1,
                "{layout}, {allowed}"
            );
            assert!(allowed < 200);
        }
    }
}

/// A disk on which only so many more clusters behind the end of the file find room.
struct Full {
    end: u64,
    room: AtomicU64,
}

impl Watch for Full {
    fn before(&self, action: &Action<'_>) -> Result<(), IoError> {
        match action {
            Action::Write { offset, .. } if *offset >= self.end => {
                let left = self.room.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                left.map(|_| ()).map_err(|_| IoError(28))
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let bench = Bench::new();
    image(&bench, "cluster_size=512");
    // Nothing is free in it.
    bench.qemu_img("convert --bitmaps -O qcow2 -o cluster_size=512 image packed");
    bench.put("image", &bench.bytes("packed"));
    let before = bitmaps(&bench.bytes("image"));
    for room in 0.. {
        let native = Native::new(1);
        let facts = native.existing(bench.path("image"));
        let watch = Full {
            end: facts.size,
            room: room.into(),
        };
        let host = Watched { native, watch };
        let line = [BitmapAction::Add(512), merge("fine"), merge("coarse")];
        let Err(undone) = carry_out(&host, facts, &job("new", &line), None) else {
            assert!(room > 0, "it was never full");
            break;
        };
        assert_eq!(undone.fault.code, fault::core::IO);
        assert_eq!(bitmaps(&bench.bytes("image")), before);
        assert_clean(&bench, "image", &format!("room for {room}"));
        assert!(room < 100);
    }
}

#[test]
fn bitmaps_of_another_image_are_joined() {
    for (layout, theirs) in [
        ("cluster_size=64k", "cluster_size=512"),
        ("cluster_size=4k", "cluster_size=2M"),
    ] {
        let bench = Bench::new();
        image(&bench, layout);
        bench.qemu_img(&format!("create -q -f qcow2 -o {theirs} other 3000k"));
        bench.qemu_img("bitmap --add -g 1k other x");
        bench.qemu_io("other", &["write 5k 1k", "write 64k 700k", "write 2999k 1k"]);
        bench.put("theirs", &bench.bytes("image"));
        for name in ["fine", "coarse", "other"] {
            bench.qemu_img(&format!("bitmap --merge x -b other theirs {name}"));
            let native = Native::new(1);
            let facts = native.existing(bench.path("image"));
            let source = File::new(&native, native.source(bench.path("other")));
            let mut source = instar_qcow2::open(source, OpenOptions { info_only: true }).unwrap();
            carry_out(&native, facts, &job(name, &[merge("x")]), Some(&mut *source)).unwrap();
            assert_eq!(
                bitmaps(&bench.bytes("image")),
                bitmaps(&bench.bytes("theirs")),
                "{layout}, {name}"
            );
            assert_clean(&bench, "image", name);
        }
    }
}
